//! What the service does by itself, on any number of replicas: each job at most once at a time, whoever holds it.
//!
//! What must stay true: a job takes no input; it finds in PostgreSQL what is due, whatever woke it (a notice, a deadline, its
//! schedule, a person), so that a lost wake-up costs time and nothing else. What it changes of numbers goes through
//! [`Numbers::commit_batch`](crate::operations::numbers::Numbers::commit_batch) or
//! [`Numbers::write_down_time`](crate::operations::numbers::Numbers::write_down_time), fenced by the role that it runs on.

pub mod capacity;
pub mod cascade_recalls;
pub mod end_quarantine;
pub mod expire_leases;
pub mod grace_reminders;
pub mod override_report;
pub mod reconcile_usage;
pub mod release_expired;
pub mod renew_leases;
mod runner;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

pub use runner::{Run, Runner, RunnerSettings};
pub use sweep::Sweep;

use crate::store::StoreError;

/// A job.
pub trait Job: Send + Sync + 'static {
    /// Its name, as in `POST /v1/admin/numbering/jobs/{job}/run`.
    fn name(&self) -> &'static str;

    /// The role that whoever runs it holds.
    fn role(&self) -> &'static str;

    /// Its schedule, as cron writes it, UTC: the run that comes in any case.
    fn schedule(&self) -> &str;

    /// How often to look whether something is due, where nothing wakes it.
    fn look_every(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Whether it rests on what time it is, so that it waits while PostgreSQL's clock is not trusted.
    fn rests_on_time(&self) -> bool {
        true
    }

    /// In how long something is due, nothing where it is overdue; `None` where nothing is known to come. Asked often.
    fn due_in(&self) -> impl Future<Output = Result<Option<Duration>, StoreError>> + Send;

    /// Does all that is due, and gives what it did in counts that operators are shown. Asks [`Run::may_go_on`] before each
    /// batch.
    fn run(&self, run: &Run) -> impl Future<Output = Result<Value, JobError>> + Send;
}

/// Why a run did not do all that was due.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service stops, another replica has taken the job over, or PostgreSQL's clock is not trusted; what was done is done.
    #[error("interrupted")]
    Interrupted {
        /// What was done by then.
        so_far: Value,
    },
    /// Something else kept it from its work; what was done is done.
    #[error("{what}")]
    Failed {
        /// What.
        what: String,
        /// What was done by then.
        so_far: Value,
    },
}

/// Wakes jobs of this process by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wakes {
    by_name: Arc<BTreeMap<&'static str, Arc<Notify>>>,
}

impl Wakes {
    /// For these jobs.
    #[must_use]
    pub fn of(names: &[&'static str]) -> Self {
        Self { by_name: Arc::new(names.iter().map(|name| (*name, Arc::default())).collect()) }
    }

    /// What wakes a job; for a job that is not there, nobody hears it.
    #[must_use]
    pub fn of_job(&self, name: &str) -> Arc<Notify> {
        self.by_name.get(name).cloned().unwrap_or_default()
    }

    /// Lets a job look whether something is due, if this replica is the one that runs it.
    pub fn wake(&self, name: &str) {
        if let Some(wake) = self.by_name.get(name) {
            wake.notify_one();
        }
    }
}

/// Every job there is.
pub const NAMES: [&str; 9] = [
    release_expired::NAME,
    end_quarantine::NAME,
    expire_leases::NAME,
    cascade_recalls::NAME,
    renew_leases::NAME,
    grace_reminders::NAME,
    override_report::NAME,
    reconcile_usage::NAME,
    capacity::NAME,
];
