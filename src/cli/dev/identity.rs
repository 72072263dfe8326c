//! Who may do what in a development installation: its token issuer, and the tokens that everybody is given.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::auth::{Permission, machine_clock};
use crate::cli::signing_key::{KeyAlgorithm, SigningKey};
use crate::config::Period;
use crate::devstack::{Advised, files, secrets};

/// What `iss` is in a development installation.
pub(super) const ISSUER: &str = "numbering-dev";

/// What `aud` is in a development installation.
pub(super) const AUDIENCE: &str = "numbering";

/// How long the tokens in `dev.env` are good for.
const TTL: Period = Period::from_days(365);

/// What a token says of its bearer.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Claims<'a> {
    /// Who acts.
    pub(in crate::cli) sub: &'a str,
    /// The tenant acted for.
    pub(in crate::cli) tenant: Option<&'a str>,
    /// What they may do.
    pub(in crate::cli) permissions: &'a [&'a str],
}

const TENANT: [&str; 2] = [Permission::NumbersRead.as_str(), Permission::NumbersWrite.as_str()];

/// The tokens of `dev.env`, by name.
const TOKENS: [(&str, Claims<'static>); 6] = [
    (
        "ADMIN_TOKEN",
        Claims {
            sub: "dev-admin",
            tenant: None,
            permissions: &[
                Permission::NumberingAdmin.as_str(),
                Permission::NumbersRead.as_str(),
                Permission::NumbersWrite.as_str(),
                Permission::NumbersLeaseBypass.as_str(),
            ],
        },
    ),
    (
        "COMPLIANCE_TOKEN",
        Claims {
            sub: "dev-compliance",
            tenant: None,
            permissions: &[Permission::NumberingCompliance.as_str(), Permission::NumbersRead.as_str()],
        },
    ),
    (
        "VALIDATOR_TOKEN",
        Claims { sub: "dev-sms-orchestrator", tenant: None, permissions: &[Permission::LeasesValidate.as_str()] },
    ),
    ("TENANT_A_TOKEN", Claims { sub: "dev-user-a", tenant: Some("tenant-a"), permissions: &TENANT }),
    ("TENANT_B_TOKEN", Claims { sub: "dev-user-b", tenant: Some("tenant-b"), permissions: &TENANT }),
    ("TENANT_C_TOKEN", Claims { sub: "dev-user-c", tenant: Some("tenant-c"), permissions: &TENANT }),
];

/// The issuer of a development installation's tokens.
pub(in crate::cli) struct Issuer {
    kid: String,
    key: EncodingKey,
}

impl Issuer {
    /// The issuer under `directory`, made on the first call; its public key is written to [`jwks_file`].
    pub(super) fn make(directory: &Path) -> anyhow::Result<Self> {
        let make = || SigningKey::generate(KeyAlgorithm::Ed25519)?.private_pem();
        let issuer = Self::from_pem(&secrets::keep(&key_file(directory), make)?)?;
        files::replace(&jwks_file(directory), issuer.jwks.as_bytes(), 0o644)?;
        Ok(issuer.issuer)
    }

    /// The issuer that an earlier `numbering dev` made under `directory`.
    pub(in crate::cli) fn existing(directory: &Path) -> anyhow::Result<Self> {
        let file = key_file(directory);
        let pem = std::fs::read_to_string(&file).map_err(|error| {
            Advised::new(
                format!("cannot read the key that tokens are signed with, {}: {error}", file.display()),
                format!("`numbering dev --data-dir {}` makes it; --data-dir names another place", directory.display()),
            )
        })?;
        Ok(Self::from_pem(&pem)?.issuer)
    }

    fn from_pem(pem: &str) -> anyhow::Result<IssuerWithKeySet> {
        let key = SigningKey::from_pem(pem)?;
        let public = key.ed25519_public_key().context("the key that tokens are signed with is not of Ed25519")?;
        let kid = hex::encode(&digest(&SHA256, public).as_ref()[..8]);
        let x = URL_SAFE_NO_PAD.encode(public);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x});
        let jwks = serde_json::to_string_pretty(&json!({"keys": [jwk]}))?;
        let key =
            EncodingKey::from_ed_pem(pem.as_bytes()).context("the key that tokens are signed with is unusable")?;
        Ok(IssuerWithKeySet { issuer: Self { kid, key }, jwks })
    }

    /// A token with these claims, good from now on for `ttl`.
    pub(in crate::cli) fn token(&self, claims: &Claims<'_>, ttl: Period) -> anyhow::Result<String> {
        let now = machine_clock();
        let mut body = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": claims.sub,
            "iat": now.as_second(),
            "exp": now.checked_add(ttl.signed()).context("the token would outlive the calendar")?.as_second(),
            "permissions": claims.permissions,
        });
        if let Some(tenant) = claims.tenant {
            body["tenant_id"] = tenant.into();
        }
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &body, &self.key).context("the token cannot be signed")
    }

    /// The tokens of `dev.env`, by name.
    pub(super) fn tokens(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        TOKENS.iter().map(|(name, claims)| Ok((*name, self.token(claims, TTL)?))).collect()
    }
}

struct IssuerWithKeySet {
    issuer: Issuer,
    jwks: String,
}

fn key_file(directory: &Path) -> PathBuf {
    directory.join("keys/tokens.pem")
}

/// The key set that the service checks tokens against.
pub(super) fn jwks_file(directory: &Path) -> PathBuf {
    directory.join("jwks.json")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::{Caller, Verifier};
    use crate::config::{Auth, TokenAlgorithm};
    use crate::telemetry::Metrics;

    async fn seen_by_the_service(directory: &Path, token: &str) -> Arc<Caller> {
        let auth = Auth {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks: jwks_file(directory).display().to_string(),
            algorithms: vec![TokenAlgorithm::EdDsa],
            leeway: Period::from_secs(30),
            refresh: Period::from_mins(5),
        };
        let verifier = Verifier::new(&auth, Arc::new(Metrics::default()), machine_clock).unwrap();
        verifier.refresh_keys().await.unwrap();
        verifier.authenticate([format!("Bearer {token}").as_bytes()]).await.unwrap()
    }

    #[tokio::test]
    async fn the_service_believes_the_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let issuer = Issuer::make(directory.path()).unwrap();
        for ((_, token), (name, claims)) in issuer.tokens().unwrap().iter().zip(TOKENS) {
            let caller = seen_by_the_service(directory.path(), token).await;
            assert_eq!(caller.sub, claims.sub, "{name}");
            assert_eq!(caller.tenant.as_ref().map(numbering_domain::TenantId::as_str), claims.tenant, "{name}");
            for permission in Permission::ALL {
                assert_eq!(caller.may(permission), claims.permissions.contains(&permission.as_str()), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn the_issuer_stays_the_same_and_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Issuer::existing(directory.path()).is_err());
        let made = Issuer::make(directory.path()).unwrap();
        let again = Issuer::make(directory.path()).unwrap();
        assert_eq!(made.kid, again.kid);
        let found = Issuer::existing(directory.path()).unwrap();
        let token = found.token(&TOKENS[3].1, Period::from_secs(5)).unwrap();
        assert_eq!(seen_by_the_service(directory.path(), &token).await.sub, "dev-user-a");
    }
}
