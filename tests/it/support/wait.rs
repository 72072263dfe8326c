//! What a test waits for comes in the end, on whatever machine: it looks again and again, and gives up late.

use std::time::Duration;

/// How long a test waits for what must come, and how long anything may take to come right by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
