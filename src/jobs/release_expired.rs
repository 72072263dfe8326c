//! Releases reservations and holds whose time is over (US-NUM-010), within two seconds whatever happens to Redis.
//!
//! A notice of Redis wakes it at once. Without one it knows the next deadline from PostgreSQL, and looks again often enough for
//! those that came meanwhile; the schedule is the sweep every 60 seconds, for what both have missed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::sweep::Sweep;
use super::{Job, JobError, Run};
use crate::operations::numbers::Numbers;
use crate::store::due::Due;
use crate::store::{Store, StoreError};

/// The job's name.
pub const NAME: &str = "release_expired";

/// How often it looks for deadlines that came since it looked last.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub struct ReleaseExpired {
    sweep: Sweep,
    schedule: String,
}

impl ReleaseExpired {
    /// By this schedule at the latest.
    #[must_use]
    pub fn new(store: Store, numbers: Arc<Numbers>, schedule: &str) -> Self {
        let sweep = Sweep { due: Due::Reservations, counted: "released", store, numbers };
        Self { sweep, schedule: schedule.to_owned() }
    }
}

impl Job for ReleaseExpired {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:release_expired"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    /// A reservation shorter than this is released so much too late at most.
    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        self.sweep.store.next_due(self.sweep.due).await
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        self.sweep.run(run).await
    }
}
