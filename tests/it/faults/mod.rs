//! What the service rests on dies, stands still and comes back in the middle of traffic, and so does the service itself.
//! Whatever broke, what was acknowledged stands, nothing is half done, and the [`books`] balance.
//!
//! Each test breaks servers of its own: nothing here disturbs the tests beside it.

pub(crate) mod books;
mod clock;
mod jobs;
mod nats;
mod postgres;
mod redis;
mod renewal;
mod replica;
mod service;
pub(crate) mod traffic;

use std::time::Duration;

use tempfile::TempDir;

/// How long anything may take to come right by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that PostgreSQL's own user may pass through when the tests run as root.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("numbering-faults-").tempdir_in("/var/tmp").unwrap()
}

/// Waits until `holds`.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
