//! The journal as people read it: a number's history, and the audit trail.

use jiff::{SignedDuration, Timestamp};
use numbering_domain::{Identifier, StateName};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Store, StoreError};

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the journal, where the reader goes by it.
    pub seq: i64,
    /// What it is about: a canonical identifier, a block, an operator, a tenant.
    pub subject: String,
    /// The number's version after it; the entry of the block that a number came in is 0.
    pub version: Option<i64>,
    /// What happened, by the event's type.
    pub event_type: String,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The request that it came in.
    pub request_id: String,
    /// The event's data.
    pub data: Value,
}

/// What the audit trail is searched by; filters combine.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only about one of these subjects.
    pub subjects: Option<Vec<String>>,
    /// Only of this type.
    pub event_type: Option<String>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only about this tenant.
    pub tenant: Option<String>,
    /// Not before then.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
}

/// A stretch of the audit trail.
#[derive(Clone, Debug)]
pub struct AuditStretch {
    /// What matched, newest first.
    pub entries: Vec<Entry>,
    /// Where the next stretch goes on; `None` where the trail begins.
    pub resume_before: Option<i64>,
}

/// The most entries of the journal that one stretch looks at.
const LOOKED_AT_MOST: i64 = 20_000;
/// By how much `at` may be out of the order of `seq` at most. An entry's `at` is the moment of its statement, which takes minutes at
/// the longest, on a clock that is not believed once it is off by more than `clock.stop_skew`. What is further out may be left out
/// of an export that asks for a time.
const OUT_OF_ORDER: SignedDuration = SignedDuration::from_hours(1);

/// How a number stood at a moment, as the journal has it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The state.
    pub state: StateName,
    /// Who held it.
    pub tenant: Option<String>,
    /// The lease in force.
    pub lease_id: Option<Uuid>,
    /// When time alone moved it on.
    pub deadline: Option<Timestamp>,
    /// Since when it stood so.
    pub since: Timestamp,
    /// Whether the lease in force was a vanity lease.
    pub vanity: bool,
}

impl Store {
    /// The number's entries after version `after` (-1 for the beginning), oldest first, at most `most`.
    pub async fn history(&self, identifier: &Identifier, after: i64, most: i64) -> Result<Vec<Entry>, StoreError> {
        let rows = self.query(include_str!("number_history.sql"), &[&identifier.key(), &after, &most]).await?;
        rows.iter().map(|row| entry(row, 0, identifier.key().to_owned())).collect()
    }

    /// How the number stood at `moment`; `None` before it came into the inventory.
    pub async fn standing_at(
        &self,
        identifier: &Identifier,
        moment: Timestamp,
    ) -> Result<Option<Standing>, StoreError> {
        let row = self.query_opt(include_str!("number_at.sql"), &[&identifier.key(), &moment]).await?;
        row.map(|row| {
            let state = StateName::parse(row.try_get("state")?).ok_or_else(|| StoreError::Impossible {
                subject: identifier.key().to_owned(),
                what: "a journal entry of a number has a state",
            })?;
            Ok(Standing {
                state,
                tenant: row.try_get("tenant_id")?,
                lease_id: row.try_get("lease_id")?,
                deadline: row.try_get("deadline")?,
                since: row.try_get("since")?,
                vanity: row.try_get::<_, Option<bool>>("vanity")?.unwrap_or(false),
            })
        })
        .transpose()
    }

    /// The audit trail, newest first, before the entry `before`, at most `most`.
    pub async fn audit(&self, filter: &AuditFilter, before: Option<i64>, most: i64) -> Result<Vec<Entry>, StoreError> {
        let AuditFilter { subjects, event_type, actor, tenant, from, to } = filter;
        let before = before.unwrap_or(i64::MAX);
        let rows = if subjects.is_some() {
            let sql = include_str!("audit_of_subjects.sql");
            self.query(sql, &[subjects, event_type, actor, tenant, from, to, &before, &most]).await?
        } else {
            let sql = include_str!("audit.sql");
            self.query(sql, &[event_type, actor, tenant, from, to, &before, &most]).await?
        };
        entries(&rows)
    }

    /// The next stretch of the audit trail, newest first, before the place `before`, at most `most`. It looks at so much of the
    /// journal and no more, so a stretch may have found nothing and not be the last; and at nothing far from the time that is
    /// asked for.
    pub async fn audit_stretch(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        most: i64,
    ) -> Result<AuditStretch, StoreError> {
        let before = match before {
            Some(before) => before,
            None => self.audit_end(filter).await?,
        };
        let AuditFilter { subjects, event_type, actor, tenant, from, to } = filter;
        let (rows, looked_back_to) = if subjects.is_some() {
            let sql = include_str!("audit_of_subjects.sql");
            (self.query(sql, &[subjects, event_type, actor, tenant, from, to, &before, &most]).await?, None)
        } else {
            let sql = include_str!("audit_stretch.sql");
            let begins = match from.and_then(|from| from.checked_sub(OUT_OF_ORDER).ok()) {
                Some(moment) => self.audit_place(moment).await?.0,
                None => 0,
            };
            let looked_back_to = Some(before - LOOKED_AT_MOST).filter(|place| *place > begins + 1);
            let parameters: [&(dyn ToSql + Sync); 8] =
                [event_type, actor, tenant, from, to, &before, &LOOKED_AT_MOST, &most];
            (self.query(sql, &parameters).await?, looked_back_to)
        };
        let entries = entries(&rows)?;
        let full = entries.last().map(|last| last.seq).filter(|_| entries.len() as u64 == most.unsigned_abs());
        Ok(AuditStretch { entries, resume_before: full.or(looked_back_to) })
    }
}

impl Store {
    /// What is from here on in the journal is none of what the filter is after.
    async fn audit_end(&self, filter: &AuditFilter) -> Result<i64, StoreError> {
        match filter.to.and_then(|to| to.checked_add(OUT_OF_ORDER).ok()) {
            Some(moment) => Ok(self.audit_place(moment).await?.1),
            None => Ok(self.journal_end().await?.map_or(0, |end| end + 1)),
        }
    }

    /// A place up to which all is of before `moment`, and one from which on nothing is; but for what is out of order.
    async fn audit_place(&self, moment: Timestamp) -> Result<(i64, i64), StoreError> {
        let row = self.query_opt(include_str!("audit_place.sql"), &[&moment]).await?;
        row.map_or(Ok((0, 0)), |row| Ok((row.try_get("earlier")?, row.try_get("later")?)))
    }
}

fn entries(rows: &[Row]) -> Result<Vec<Entry>, StoreError> {
    rows.iter().map(|row| entry(row, row.try_get("seq")?, row.try_get("subject")?)).collect()
}

fn entry(row: &Row, seq: i64, subject: String) -> Result<Entry, StoreError> {
    Ok(Entry {
        seq,
        subject,
        version: row.try_get("version")?,
        event_type: row.try_get("type")?,
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        request_id: row.try_get("request_id")?,
        data: row.try_get("data")?,
    })
}

#[cfg(test)]
mod tests;
