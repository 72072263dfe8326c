//! Ends leases that were not renewed: QUARANTINE with the cool-down of a recall, or AVAILABLE where there is none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::sweep::Sweep;
use super::{Job, JobError, Run};
use crate::operations::numbers::Numbers;
use crate::store::due::Due;
use crate::store::{Store, StoreError};

/// The job's name.
pub const NAME: &str = "expire_leases";

/// See the module.
#[derive(Debug)]
pub struct ExpireLeases {
    sweep: Sweep,
    schedule: String,
}

impl ExpireLeases {
    /// By this schedule at the latest.
    #[must_use]
    pub fn new(store: Store, numbers: Arc<Numbers>, schedule: &str) -> Self {
        let sweep = Sweep { due: Due::Leases, counted: "expired", store, numbers };
        Self { sweep, schedule: schedule.to_owned() }
    }
}

impl Job for ExpireLeases {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:expire_leases"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        self.sweep.store.next_due(self.sweep.due).await
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        self.sweep.run(run).await
    }
}
