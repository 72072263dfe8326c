//! What the service rests on dies, stands still and comes back in the middle of traffic, and so does the service itself.
//! Whatever broke, what was acknowledged stands, nothing is half done, and the [`books`] balance.
//!
//! Each test breaks servers of its own: nothing here disturbs the tests beside it.

mod allocation;
pub(crate) mod books;
mod clock;
mod incoming;
mod jobs;
mod nats;
mod postgres;
mod recalls;
mod redis;
mod renewal;
mod replica;
mod service;
pub(crate) mod traffic;

use tempfile::TempDir;

use crate::support::{PATIENCE, until};

/// A directory that PostgreSQL's own user may pass through when the tests run as root.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("numbering-faults-").tempdir_in("/var/tmp").unwrap()
}
