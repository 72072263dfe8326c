//! What the sweeps are: jobs that load what is due, decide each, commit the batch, until nothing is due; the next batch is loaded
//! meanwhile. They differ in what that is.

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
/// After so many walks in a row in which nothing moved, the run fails: others keep changing the same rows.
const IN_VAIN_MOST: u32 = 3;

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

/// What came of a walk over all that is due.
#[derive(Clone, Copy, Debug)]
struct Walked {
    found: usize,
    moved: usize,
}

impl Sweep {
    /// By this schedule at the latest.
    pub(super) fn new(kind: &'static Kind, store: Store, numbers: Arc<Numbers>, schedule: &str) -> Self {
        Self { kind, store, numbers, schedule: schedule.to_owned() }
    }

    /// Writes down all that is due, the longest overdue first. What does not move, because others have changed it meanwhile, is left for
    /// the next walk. `None` where it may not go on to the end.
    async fn walk(&self, run: &Run, swept: &mut usize) -> Result<Option<Walked>, StoreError> {
        let mut walked = Walked { found: 0, moved: 0 };
        let mut due = self.due_after(None).await?;
        while !due.is_empty() {
            if !run.may_go_on() {
                return Ok(None);
            }
            let is_full = due.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
            // A row without a deadline cannot be; nothing would come after it.
            let last = due.last().map(|(_, last)| last).filter(|last| is_full && last.state.deadline().is_some());
            // Read while these are written down, of which that does not know yet: so they come after these.
            let next = async {
                match last {
                    Some(last) => self.due_after(Some(last)).await,
                    None => Ok(Vec::new()),
                }
            };
            let (role, origin) = (run.role(), run.origin());
            let (moved, next) = tokio::join!(self.numbers.write_down_time(&role, &due, &origin), next);
            let moved = moved?;
            *swept += moved;
            walked.moved += moved;
            walked.found += due.len();
            due = next?;
        }
        Ok(Some(walked))
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

    /// Until nothing is due any more.
    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let mut swept = 0;
        let mut in_vain = 0;
        while run.may_go_on() {
            let walked = self.walk(run, &mut swept).await;
            let so_far = json!({ self.kind.counted: swept });
            let Walked { found, moved } = match walked {
                Ok(Some(walked)) => walked,
                Ok(None) => return Err(JobError::Interrupted { so_far }),
                Err(error) => return Err(JobError::Failed { what: error.to_string(), so_far }),
            };
            if moved == found {
                return Ok(so_far);
            }
            in_vain = if moved == 0 { in_vain + 1 } else { 0 };
            if in_vain >= IN_VAIN_MOST && run.may_go_on() {
                let what = format!("{found} numbers are due and do not move");
                return Err(JobError::Failed { what, so_far });
            }
        }
        Err(JobError::Interrupted { so_far: json!({ self.kind.counted: swept }) })
    }
}
