//! The alerts of the service itself: stored, told as events, and shown to operators, so that they need no scrape.
//!
//! What must stay true: whoever raises an alert also sees to it that it is resolved; raising one that is open, and resolving
//! one that is not, changes nothing, so that both may be said as often as it is seen. Every alert has a runbook.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::store::alerts::{NewAlert, Severity};
use crate::store::commit::Origin;
use crate::store::{Store, StoreError};

/// The longest summary that is kept, in characters.
const SUMMARY_MOST_CHARS: usize = 1_000;

/// Every alert that the service can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertKind {
    /// The database's clock cannot be trusted; its subject is the replica that says so.
    ClockSkew,
    /// Messages of other services could not be taken; its subject is the stream where they wait for people.
    DeadLetter,
    /// The recall of all that a suspended tenant has waits for an admin; its subject is the cascade.
    CascadeWaiting,
    /// Counters of quotas are not what the rows say; its subject is `tenants`.
    UsageMismatch,
    /// A replica gets no answer from Redis; its subject is the replica.
    RedisDown,
    /// Little is left of a pool; its subject is the pool.
    PoolExhausted,
    /// Next to nothing is left of a pool; its subject is the pool.
    BlockCritical,
}

impl AlertKind {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::ClockSkew,
        Self::DeadLetter,
        Self::CascadeWaiting,
        Self::UsageMismatch,
        Self::RedisDown,
        Self::PoolExhausted,
        Self::BlockCritical,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClockSkew => "numbering_clock_skew",
            Self::DeadLetter => "numbering_dead_letter",
            Self::CascadeWaiting => "numbering_cascade_waiting",
            Self::UsageMismatch => "numbering_usage_mismatch",
            Self::RedisDown => "numbering_redis_down",
            Self::PoolExhausted => "numbering_pool_exhausted",
            Self::BlockCritical => "numbering_block_critical",
        }
    }

    /// How soon somebody must see to it.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::ClockSkew | Self::DeadLetter | Self::CascadeWaiting | Self::UsageMismatch => Severity::Critical,
            Self::RedisDown | Self::PoolExhausted => Severity::Warning,
            Self::BlockCritical => Severity::Sev1,
        }
    }

    /// The page that says what to do.
    #[must_use]
    pub const fn runbook(self) -> &'static str {
        match self {
            Self::ClockSkew => "docs/runbooks/clock-skew.md",
            Self::DeadLetter => "docs/runbooks/dead-letter.md",
            Self::CascadeWaiting => "docs/runbooks/cascade-waiting.md",
            Self::UsageMismatch => "docs/runbooks/usage-mismatch.md",
            Self::RedisDown => "docs/runbooks/redis-down.md",
            Self::PoolExhausted | Self::BlockCritical => "docs/runbooks/pool-exhausted.md",
        }
    }
}

/// Raises and resolves alerts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alerts {
    store: Store,
    committed: Arc<Notify>,
}

impl Alerts {
    /// `committed` is woken after each commit, for the relay of events.
    #[must_use]
    pub const fn new(store: Store, committed: Arc<Notify>) -> Self {
        Self { store, committed }
    }

    /// Says that something is wrong with `subject` (1 to 255 characters); gives whether that is new.
    pub async fn raise(
        &self,
        kind: AlertKind,
        subject: &str,
        summary: &str,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let end = summary.char_indices().nth(SUMMARY_MOST_CHARS).map_or(summary.len(), |(end, _)| end);
        let alert = NewAlert {
            name: kind.name(),
            severity: kind.severity(),
            subject,
            summary: &summary[..end],
            runbook: kind.runbook(),
        };
        let new = self.store.raise_alert(&alert, origin).await?;
        if new {
            tracing::warn!(alert = alert.name, subject, summary = alert.summary, "an alert is raised");
            self.committed.notify_one();
        }
        Ok(new)
    }

    /// Says that all is well with `subject`; gives whether something was wrong before.
    pub async fn resolve(&self, kind: AlertKind, subject: &str, origin: &Origin) -> Result<bool, StoreError> {
        let was_open = self.store.resolve_alert(kind.name(), subject, origin).await?;
        if was_open {
            tracing::info!(alert = kind.name(), subject, "an alert is resolved");
            self.committed.notify_one();
        }
        Ok(was_open)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_alert_has_a_name_of_its_own_and_a_runbook_that_names_it() {
        let names: BTreeSet<&str> = AlertKind::ALL.into_iter().map(AlertKind::name).collect();
        assert_eq!(names.len(), AlertKind::ALL.len());
        for kind in AlertKind::ALL {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind.runbook());
            let page = std::fs::read_to_string(page).unwrap();
            assert!(page.contains(&format!("`{}`", kind.name())), "{}: {page}", kind.runbook());
        }
    }
}
