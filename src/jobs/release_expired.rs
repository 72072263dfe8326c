//! Releases reservations and holds whose time is over (US-NUM-010), within two seconds whatever happens to Redis.
//!
//! A notice of Redis wakes it at once. Without one it knows the next deadline from PostgreSQL, and looks again often enough for
//! those that came meanwhile; the schedule is the sweep every 60 seconds, for what both have missed.

use std::sync::Arc;
use std::time::Duration;

use super::sweep::{Kind, Sweep};
use crate::operations::numbers::Numbers;
use crate::store::Store;
use crate::store::due::Due;

/// The job's name.
pub const NAME: &str = "release_expired";

const KIND: Kind = Kind {
    name: NAME,
    role: "job:release_expired",
    due: Due::Reservations,
    counted: "released",
    look_every: Duration::from_millis(250),
};

/// The job, by this schedule at the latest.
#[must_use]
pub fn job(store: Store, numbers: Arc<Numbers>, schedule: &str) -> Sweep {
    Sweep::new(&KIND, store, numbers, schedule)
}
