//! Who calls, and what they may do: bearer tokens, checked the same way for REST and gRPC.
//!
//! What must stay true: a [`Caller`] exists only for a token whose signature, issuer, audience and times held; one
//! algorithm for each key; and the token itself is never logged or stored, only its hash, in memory (a gRPC connection knows
//! the token that it brought last, for as long as it is open).

mod jwks;
mod permission;
mod refusal;
mod remembered;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::TenantId;
use tokio_util::sync::CancellationToken;

pub use jwks::{JwksFault, UNKNOWN_KEY_PAUSE};
pub use permission::{Permission, Permissions};
pub use refusal::Refusal;
pub use remembered::Verified;

use crate::config::Auth;
use crate::telemetry::{AuthRefusal, Metrics};
use jwks::{Jwks, sha256};
use remembered::Remembered;
use token::{Expected, Unverified};

/// Whoever a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The actor (claim `sub`).
    pub sub: String,
    /// The tenant (claim `tenant_id`), where the actor acts for one.
    pub tenant: Option<TenantId>,
    /// What the actor may do.
    pub permissions: Permissions,
}

impl Caller {
    /// Whether the caller has the permission.
    #[must_use]
    pub const fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }
}

/// Tells what time it is, for `exp` and `nbf`.
pub type Clock = fn() -> Timestamp;

/// The machine's own clock. Tokens are short-lived statements of another machine; no stored deadline is held against it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the times in a token are wall-clock times of the issuer, not PostgreSQL's"
)]
pub fn machine_clock() -> Timestamp {
    Timestamp::now()
}

/// Verifies bearer tokens.
pub struct Verifier {
    keys: Jwks,
    expected: Expected,
    refresh: Duration,
    remembered: Remembered,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier without keys yet: [`Verifier::keep_keys_fresh`] reads them, and so does the first token.
    ///
    /// # Errors
    /// When no HTTP client can be made for the key set's address.
    pub fn new(auth: &Auth, metrics: Arc<Metrics>, clock: Clock) -> Result<Self, JwksFault> {
        Ok(Self {
            keys: Jwks::new(&auth.jwks, &auth.algorithms)?,
            expected: Expected {
                issuer: auth.issuer.clone(),
                audience: auth.audience.clone(),
                leeway_seconds: auth.leeway.signed().as_secs(),
            },
            refresh: auth.refresh.duration(),
            remembered: Remembered::default(),
            metrics,
            clock,
        })
    }

    /// Reads the key set now. Returns how many keys are in force; on failure the last good set stays in force.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn refresh_keys(&self) -> Result<usize, JwksFault> {
        self.keys.refresh().await.inspect_err(|_| {
            self.metrics.jwks_failures.inc();
        })
    }

    /// Reads the key set at once and then every `auth.refresh` (sooner after a failure), until told to stop.
    pub async fn keep_keys_fresh(&self, stop: CancellationToken) {
        loop {
            let wait = match self.refresh_keys().await {
                Ok(_) => self.refresh,
                Err(fault) => {
                    tracing::warn!(%fault, "the key set could not be read; the last good one stays in force");
                    self.refresh.min(UNKNOWN_KEY_PAUSE)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Verifies the one bearer token in these `Authorization` values (HTTP header or gRPC metadata).
    ///
    /// # Errors
    /// Why there is no caller; counted in `numbering_auth_refusals_total`.
    pub async fn authenticate<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<Arc<Caller>, Refusal> {
        self.verify_bearer(values).await.map(|verified| verified.caller)
    }

    /// Like [`Verifier::authenticate`], for who asks again with the same token: see [`Verifier::still_holds`].
    ///
    /// # Errors
    /// As there.
    pub async fn verify_bearer<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<Verified, Refusal> {
        let verified = match bearer(values) {
            Ok(token) => self.verify(token).await,
            Err(refusal) => Err(refusal),
        };
        verified.inspect_err(|refusal| {
            self.metrics.auth_refusals.get_or_create(&AuthRefusal { reason: refusal.label() }).inc();
        })
    }

    /// Whether what was verified before holds still: the token has not expired, and the keys have not changed.
    #[must_use]
    pub fn still_holds(&self, verified: &Verified) -> bool {
        verified.holds(self.now(), self.keys.generation())
    }

    async fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        let hash = sha256(token.as_bytes());
        let mut keys = self.keys.in_force();
        if let Some(verified) = self.remembered.get(&hash, self.now(), keys.generation) {
            return Ok(verified);
        }
        let unverified = Unverified::parse(token)?;
        if keys.get(&unverified.kid).is_none() {
            keys = self.keys_with_news().await;
        }
        if keys.len() == 0 {
            return Err(Refusal::KeysUnavailable);
        }
        let checked = unverified.check(&keys, &self.expected, self.now())?;
        let verified = Verified { caller: Arc::new(checked.caller), until: checked.until, generation: keys.generation };
        self.remembered.put(hash, verified.clone());
        Ok(verified)
    }

    async fn keys_with_news(&self) -> Arc<jwks::KeySet> {
        if let Some(Err(fault)) = self.keys.refresh_for_unknown_key().await {
            self.metrics.jwks_failures.inc();
            tracing::warn!(%fault, "the key set could not be read for an unknown key");
        }
        self.keys.in_force()
    }

    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }
}

/// The token of the one `Bearer` credential.
fn bearer<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Refusal> {
    let mut values = values.into_iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::NotBearer);
    }
    let value = std::str::from_utf8(value).map_err(|_| Refusal::NotBearer)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::NotBearer)?;
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if scheme.eq_ignore_ascii_case("Bearer") && plain { Ok(token) } else { Err(Refusal::NotBearer) }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
