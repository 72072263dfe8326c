//! Lets numbers go whose cool-down is over (US-NUM-006).

use std::sync::Arc;
use std::time::Duration;

use super::sweep::{Kind, Sweep};
use crate::operations::numbers::Numbers;
use crate::store::Store;
use crate::store::due::Due;

/// The job's name.
pub const NAME: &str = "end_quarantine";

const KIND: Kind = Kind {
    name: NAME,
    role: "job:end_quarantine",
    due: Due::Rests,
    counted: "released",
    look_every: Duration::from_secs(1),
};

/// The job, by this schedule at the latest.
#[must_use]
pub fn job(store: Store, numbers: Arc<Numbers>, schedule: &str) -> Sweep {
    Sweep::new(&KIND, store, numbers, schedule)
}
