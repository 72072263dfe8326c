//! Which tenants are suspended, and what time it is: read from PostgreSQL every [`POLL_EVERY`].
//!
//! What must stay true: the moment that freshness is counted from is taken before the question is sent, on a clock that
//! counts suspended time, so that a replica that was frozen does not trust what it knew. While the last answer is older than
//! [`TRUSTED_FOR`], no cached snapshot is used. A suspension thereby reaches every answer of every replica within that
//! time, for all the tenant's leases at once, whatever happens to Redis.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use numbering_domain::TenantId;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::boot_clock::BootInstant;
use crate::store::Store;
use crate::store::snapshot::SuspendedTenants;

/// How often PostgreSQL is asked.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// For how long an answer is trusted: with the poll itself, well within the second of US-NUM-004.
pub const TRUSTED_FOR: Duration = Duration::from_millis(700);

/// How long an answer may take.
const POLL_LIMIT: Duration = Duration::from_millis(400);

/// What the last poll said; empty until the first.
#[derive(Debug, Default)]
pub struct Suspended {
    last: ArcSwapOption<Answered>,
}

#[derive(Debug)]
struct Answered {
    asked_at: BootInstant,
    answer: SuspendedTenants,
}

/// An answer that is fresh enough to judge cached snapshots by.
#[derive(Clone, Debug)]
pub struct Trusted {
    answered: Arc<Answered>,
    now: Timestamp,
}

impl Trusted {
    /// What time it is by the database's clock. Never early, and late by no more than the poll took: a lease is over no
    /// later than by the database itself.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether a tenant is suspended.
    #[must_use]
    pub fn is_suspended(&self, tenant: &TenantId) -> bool {
        self.answered.answer.tenants.contains(tenant)
    }
}

impl Suspended {
    /// What is known, where it is fresh enough.
    #[must_use]
    pub fn trusted(&self) -> Option<Trusted> {
        let answered = self.last.load_full()?;
        let age = answered.asked_at.elapsed();
        if age >= TRUSTED_FOR {
            return None;
        }
        // The database read its clock after it was asked, so that this is not early.
        let age = SignedDuration::try_from(age).ok()?;
        let now = answered.answer.now.checked_add(age).ok()?;
        Some(Trusted { answered, now })
    }

    /// Asks PostgreSQL over and over, until told to stop.
    pub async fn follow(&self, store: &Store, stop: &CancellationToken) {
        stop.run_until_cancelled(self.poll(store)).await;
    }

    async fn poll(&self, store: &Store) {
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut answering = true;
        loop {
            ticks.tick().await;
            let asked_at = BootInstant::now();
            let answer = store.suspended_tenants(POLL_LIMIT).await;
            if answer.is_ok() != answering {
                answering = answer.is_ok();
                match &answer {
                    Ok(_) => tracing::info!("cached lease snapshots are trusted again"),
                    Err(error) => tracing::warn!(%error, "cached lease snapshots are not trusted while this lasts"),
                }
            }
            if let Ok(answer) = answer {
                self.learn(asked_at, answer);
            }
        }
    }

    fn learn(&self, asked_at: BootInstant, answer: SuspendedTenants) {
        self.last.store(Some(Arc::new(Answered { asked_at, answer })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(tenants: &[&str]) -> SuspendedTenants {
        SuspendedTenants {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            tenants: tenants.iter().map(|tenant| TenantId::parse(tenant).unwrap()).collect(),
        }
    }

    #[test]
    fn nothing_is_trusted_before_the_first_poll_or_after_its_time() {
        let suspended = Suspended::default();
        assert!(suspended.trusted().is_none());
        suspended.learn(BootInstant::now(), answer(&[]));
        assert!(suspended.trusted().is_some());
        std::thread::sleep(TRUSTED_FOR);
        assert!(suspended.trusted().is_none());
    }

    #[test]
    fn the_database_s_clock_goes_on_between_polls_and_is_never_early() {
        let suspended = Suspended::default();
        let asked_at = BootInstant::now();
        std::thread::sleep(Duration::from_millis(5));
        suspended.learn(asked_at, answer(&["tenant-b"]));
        let trusted = suspended.trusted().unwrap();
        assert!(trusted.now().duration_since(answer(&[]).now) >= SignedDuration::from_millis(5));
        assert!(trusted.is_suspended(&TenantId::parse("tenant-b").unwrap()));
        assert!(!trusted.is_suspended(&TenantId::parse("tenant-a").unwrap()));
    }
}
