//! The outbox: which journal entries JetStream has not acknowledged yet.
//!
//! What must stay true: a pointer is made by the commit that makes its entry, and goes only once the entry is
//! acknowledged. Nothing is read by a high-water mark: sequence numbers ascend out of commit order (1,800 events, 599
//! lost, when this was tried).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::leadership::Leadership;
use super::{Store, StoreError};
use crate::boot_clock::BootInstant;

/// The most pointers that are counted; of more, this many are told.
const BACKLOG_COUNTED_MAX: i64 = 1_000_000;

/// A journal entry that waits to be published.
#[derive(Debug)]
pub struct OutboxEntry {
    /// What the journal files it under; entries of one subject are published in their order.
    pub subject: String,
    /// Its place in the journal.
    pub seq: i64,
    /// The event's id, the same however often it is published.
    pub event_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// What it is about, as shown: the identifier, tenant, block or operator.
    pub about: String,
    /// When it was committed.
    pub at: Timestamp,
    /// The event's data.
    pub data: Box<RawValue>,
}

/// The next entries to publish, and the leadership under which they may be.
#[derive(Debug)]
pub struct OutboxWave {
    /// The relay's leadership, as just confirmed.
    pub leadership: Leadership,
    /// PostgreSQL's time when it was read.
    pub read_at: Timestamp,
    /// The entries in journal order.
    pub entries: Vec<OutboxEntry>,
}

/// How much waits to be published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutboxBacklog {
    /// How many entries, up to a million.
    pub entries: i64,
    /// How long ago the first of them was committed, in seconds.
    pub oldest_age_seconds: f64,
}

/// A page of the journal, read backwards.
#[derive(Clone, Copy, Debug)]
pub struct JournalPage {
    /// The place of its first entry.
    pub first: i64,
    /// The latest time in it.
    pub latest: Timestamp,
}

/// A page of the journal that was put back into the outbox.
#[derive(Clone, Copy, Debug)]
pub struct PutBack {
    /// The place of its last entry.
    pub last: i64,
    /// How many entries wait again that did not wait before.
    pub put_back: u64,
}

impl Store {
    /// The next `limit` entries of subjects that are not `held_back`; `None` when the leadership is over. The same
    /// statement confirms the leadership, and prolongs it to `length` once a third of it is gone.
    pub async fn next_outbox_wave(
        &self,
        held: &Leadership,
        length: Duration,
        limit: u32,
        held_back: &[&str],
    ) -> Result<Option<OutboxWave>, StoreError> {
        let sent_at = BootInstant::now();
        let rows = self
            .query(
                include_str!("outbox_next.sql"),
                &[&held.role, &held.holder, &held.term, &length.as_secs_f64(), &i64::from(limit), &held_back],
            )
            .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let leadership = held.lasting(sent_at, first.try_get("remaining_seconds")?);
        let read_at = first.try_get("read_at")?;
        let entries = rows.iter().filter_map(|row| entry(row).transpose()).collect::<Result<_, _>>()?;
        Ok(Some(OutboxWave { leadership, read_at, entries }))
    }

    /// Takes entries out of the outbox that JetStream has acknowledged, as `(subject, seq)`. Does nothing once another
    /// holder has the role: by then they may have been put back to be published again.
    pub async fn settle_published(&self, held: &Leadership, published: &[(String, i64)]) -> Result<(), StoreError> {
        let (subjects, seqs): (Vec<&str>, Vec<i64>) =
            published.iter().map(|(subject, seq)| (subject.as_str(), *seq)).unzip();
        self.query(include_str!("outbox_published.sql"), &[&held.role, &held.holder, &held.term, &subjects, &seqs])
            .await?;
        Ok(())
    }

    /// How much waits to be published.
    pub async fn outbox_backlog(&self) -> Result<OutboxBacklog, StoreError> {
        let row = self.query_opt(include_str!("outbox_backlog.sql"), &[&BACKLOG_COUNTED_MAX]).await?;
        let Some(row) = row else { return Ok(OutboxBacklog { entries: 0, oldest_age_seconds: 0.0 }) };
        Ok(OutboxBacklog { entries: row.try_get("entries")?, oldest_age_seconds: row.try_get("oldest_age_seconds")? })
    }

    /// The last place of the journal; `None` while it is empty.
    pub async fn journal_end(&self) -> Result<Option<i64>, StoreError> {
        let row = self.query_opt(include_str!("journal_end.sql"), &[]).await?;
        Ok(row.map(|row| row.try_get("seq")).transpose()?)
    }

    /// The page of at most `limit` entries that ends at the place `last`; `None` before the first.
    pub async fn journal_page_back(&self, last: i64, limit: i64) -> Result<Option<JournalPage>, StoreError> {
        let Some(row) = self.query_opt(include_str!("journal_page_back.sql"), &[&last, &limit]).await? else {
            return Ok(None);
        };
        let (first, latest): (Option<i64>, Option<Timestamp>) = (row.try_get("first")?, row.try_get("latest")?);
        Ok(first.zip(latest).map(|(first, latest)| JournalPage { first, latest }))
    }

    /// Puts entries of the `types` that were committed at `since` or later back into the outbox: those among the `limit`
    /// entries after the place `after` and up to `end`.
    pub async fn put_back_page(
        &self,
        after: i64,
        end: i64,
        limit: i64,
        since: Timestamp,
        types: &[&str],
    ) -> Result<PutBack, StoreError> {
        let row = self.query_opt(include_str!("outbox_put_back.sql"), &[&after, &end, &limit, &since, &types]).await?;
        let Some(row) = row else { return Ok(PutBack { last: end, put_back: 0 }) };
        let put_back: i64 = row.try_get("put_back")?;
        Ok(PutBack { last: row.try_get("last")?, put_back: u64::try_from(put_back).unwrap_or_default() })
    }
}

/// A row of `outbox_next.sql`; `None` for the one that only confirms the leadership.
fn entry(row: &Row) -> Result<Option<OutboxEntry>, StoreError> {
    let Some(seq) = row.try_get("seq")? else { return Ok(None) };
    let Json(data) = row.try_get("data")?;
    Ok(Some(OutboxEntry {
        subject: row.try_get("subject")?,
        seq,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("type")?,
        about: row.try_get("about")?,
        at: row.try_get("at")?,
        data,
    }))
}
