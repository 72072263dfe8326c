//! Ends leases that were not renewed: QUARANTINE with the cool-down of a recall, or AVAILABLE where there is none.

use std::sync::Arc;
use std::time::Duration;

use super::sweep::{Kind, Sweep};
use crate::operations::numbers::Numbers;
use crate::store::Store;
use crate::store::due::Due;

/// The job's name.
pub const NAME: &str = "expire_leases";

const KIND: Kind = Kind {
    name: NAME,
    role: "job:expire_leases",
    due: Due::Leases,
    counted: "expired",
    look_every: Duration::from_secs(1),
};

/// The job, by this schedule at the latest.
#[must_use]
pub fn job(store: Store, numbers: Arc<Numbers>, schedule: &str) -> Sweep {
    Sweep::new(&KIND, store, numbers, schedule)
}
