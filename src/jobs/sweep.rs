//! What the sweeps share: load what is due, decide each, commit the batch, until nothing is due.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{JobError, Run};
use crate::operations::numbers::Numbers;
use crate::store::Store;
use crate::store::due::Due;

/// The most numbers that are loaded, decided and committed at once.
const BATCH: i64 = 1_000;
/// After so many batches in a row of which nothing moved, the run fails: others keep changing the same rows.
const STUCK_AFTER: u32 = 3;

/// Writes down what time has ended.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) due: Due,
    /// What its count is called.
    pub(super) counted: &'static str,
    pub(super) store: Store,
    pub(super) numbers: Arc<Numbers>,
}

impl Sweep {
    /// Until nothing is due any more.
    pub(super) async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let (mut swept, mut stuck) = (0, 0);
        let so_far = |swept: usize| json!({ self.counted: swept });
        while run.may_go_on() {
            let due = self.store.load_due(self.due, BATCH).await?;
            let found = due.len();
            let moved = self.numbers.write_down_time(&run.role(), &due, &run.origin()).await?;
            swept += moved;
            if moved == found && found < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(so_far(swept));
            }
            stuck = if moved == 0 { stuck + 1 } else { 0 };
            if stuck == STUCK_AFTER && run.may_go_on() {
                let what = format!("{found} numbers are due and do not move");
                return Err(JobError::Failed { what, so_far: so_far(swept) });
            }
        }
        Err(JobError::Interrupted { so_far: so_far(swept) })
    }
}
