//! What the sweeps are: jobs that load what is due, decide each, commit the batch, until nothing is due. They differ in what
//! that is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::Number;
use serde_json::{Value, json};

use super::{Job, JobError, Run};
use crate::operations::numbers::Numbers;
use crate::store::due::Due;
use crate::store::{Store, StoreError};

/// The most numbers that are loaded, decided and committed at once.
const BATCH: i64 = 1_000;
/// After so many batches in a row of which nothing moved, the run fails: others keep changing the same rows.
const STUCK_AFTER: u32 = 3;

/// What one sweep has of its own.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    pub(super) due: Due,
    /// What its count is called.
    pub(super) counted: &'static str,
    /// How often it looks for deadlines that came since it looked last: what is shorter is late by so much at most.
    pub(super) look_every: Duration,
}

/// A job that writes down what time has ended.
#[derive(Debug)]
pub struct Sweep {
    kind: &'static Kind,
    store: Store,
    numbers: Arc<Numbers>,
    schedule: String,
}

impl Sweep {
    /// By this schedule at the latest.
    pub(super) fn new(kind: &'static Kind, store: Store, numbers: Arc<Numbers>, schedule: &str) -> Self {
        Self { kind, store, numbers, schedule: schedule.to_owned() }
    }

    /// The next that are due.
    async fn due_after(&self, after: Option<&Number>) -> Result<Vec<(Timestamp, Number)>, StoreError> {
        self.store.load_due(self.kind.due, BATCH, after).await
    }
}

impl Job for Sweep {
    fn name(&self) -> &'static str {
        self.kind.name
    }

    fn role(&self) -> &'static str {
        self.kind.role
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    fn look_every(&self) -> Duration {
        self.kind.look_every
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        self.store.next_due(self.kind.due).await
    }

    /// Until nothing is due any more. While some are written down the next are read: they come after those, whose rows are locked.
    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let (mut swept, mut stuck) = (0, 0);
        let so_far = |swept: usize| json!({ self.kind.counted: swept });
        let mut have_all_moved = true;
        let mut due = self.due_after(None).await?;
        while run.may_go_on() {
            let found = due.len();
            let is_last = found < usize::try_from(BATCH).unwrap_or(usize::MAX);
            let next = async {
                match due.last() {
                    Some((_, last)) if !is_last => self.due_after(Some(last)).await,
                    _ => Ok(Vec::new()),
                }
            };
            let (role, origin) = (run.role(), run.origin());
            let (moved, next) = tokio::join!(self.numbers.write_down_time(&role, &due, &origin), next);
            let moved = moved?;
            swept += moved;
            have_all_moved &= moved == found;
            if is_last && have_all_moved {
                return Ok(so_far(swept));
            }
            stuck = if moved > 0 { 0 } else { stuck + u32::from(found > 0) };
            if stuck == STUCK_AFTER && run.may_go_on() {
                let what = format!("{found} numbers are due and do not move");
                return Err(JobError::Failed { what, so_far: so_far(swept) });
            }
            // Those that did not move are met again from the beginning on.
            due = if is_last { self.due_after(None).await? } else { next? };
            have_all_moved |= is_last;
        }
        Err(JobError::Interrupted { so_far: so_far(swept) })
    }
}
