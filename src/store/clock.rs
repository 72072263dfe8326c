//! PostgreSQL's clock, as it shows itself, and its high-water mark.

use std::time::Duration;

use jiff::Timestamp;

use super::{Store, StoreError};

impl Store {
    /// What the clock shows, unjudged, and the high-water mark where there is one; within `limit`.
    pub async fn read_clock(&self, limit: Duration) -> Result<(Timestamp, Option<Timestamp>), StoreError> {
        let rows = self.query_within(include_str!("clock_read.sql"), &[], limit).await?;
        let row = rows.first().ok_or_else(|| StoreError::Impossible {
            subject: "the clock".to_owned(),
            what: "the query gives one row",
        })?;
        Ok((row.try_get("now")?, row.try_get("high_water")?))
    }

    /// Moves the high-water mark on to `seen`. It never goes back.
    pub async fn mark_clock(&self, seen: Timestamp) -> Result<(), StoreError> {
        self.query(include_str!("clock_mark.sql"), &[&seen]).await.map(drop)
    }
}
