//! Events that other services sent, so that each has one effect however often it comes.
//!
//! What must stay true: the effect of an event and the mark that it is done are one commit. An event that was done before is
//! known for as long as the inbox remembers; what is older than that is never taken up, because nobody could tell.

use std::time::Duration;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{Store, StoreError};

/// Which event: `CloudEvents` tell them apart by source and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventKey {
    /// Who sent it.
    pub source: String,
    /// Its id at that source.
    pub id: String,
    /// Its type.
    pub event_type: String,
}

/// What is known of an event that is about to be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is begun for the so-many-th time.
    Attempt(u32),
    /// Its effect was committed before.
    DoneBefore,
    /// It is older than what the inbox remembers.
    TooOld,
}

impl Store {
    /// Notes that an event is begun, which the stream got at `published`. Events are remembered for `keep`.
    pub async fn begin_event(
        &self,
        event: &EventKey,
        published: Timestamp,
        keep: Duration,
    ) -> Result<Begun, StoreError> {
        let EventKey { source, id, event_type } = event;
        let row = self
            .query_opt(include_str!("inbox_begin.sql"), &[source, id, event_type])
            .await?
            .ok_or_else(|| StoreError::Impossible { subject: id.clone(), what: "an event that is begun has a row" })?;
        let (attempts, done, now): (i32, bool, Timestamp) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let age = Duration::try_from(self.clock().vouched(now).duration_since(published)).unwrap_or_default();
        let too_old = age > keep;
        Ok(match (done, too_old) {
            (true, _) => Begun::DoneBefore,
            (false, true) => Begun::TooOld,
            (false, false) => Begun::Attempt(attempts.unsigned_abs()),
        })
    }

    /// Forgets the attempts at an event that was given up, so that it counts as new when it is sent again.
    pub async fn drop_event(&self, event: &EventKey) -> Result<(), StoreError> {
        self.query(include_str!("inbox_drop.sql"), &[&event.source, &event.id]).await.map(drop)
    }

    /// Forgets events that were received longer than `keep` ago, at most `most`; gives how many.
    pub async fn forget_old_events(&self, keep: Duration, most: i64) -> Result<usize, StoreError> {
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&keep.as_secs_f64(), &most, &expected.now, &expected.tolerance_seconds];
        let rows = self.query(include_str!("inbox_forget.sql"), &parameters).await?;
        Ok(rows.len())
    }
}

/// Marks an event as done in the transaction of its effect; `false` where it was done before, and the effect must not be.
pub(super) async fn done(transaction: &Transaction<'_>, event: &EventKey) -> Result<bool, StoreError> {
    let marked = transaction.query_opt(include_str!("inbox_done.sql"), &[&event.source, &event.id]).await?;
    Ok(marked.is_some())
}
