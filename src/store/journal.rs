//! The journal as people read it: a number's history, and the audit trail.

use jiff::Timestamp;
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
        let rows = self
            .query(
                include_str!("audit.sql"),
                &[
                    &filter.subjects,
                    &filter.event_type,
                    &filter.actor,
                    &filter.tenant,
                    &filter.from,
                    &filter.to,
                    &before,
                    &most,
                ],
            )
            .await?;
        entries(&rows)
    }

    /// The next stretch of the audit trail, newest first, before the place `before`, at most `most`. It looks at so much of the
    /// journal and no more, so a stretch may have found nothing and not be the last.
    pub async fn audit_stretch(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        most: i64,
    ) -> Result<AuditStretch, StoreError> {
        let before = match before {
            Some(before) => before,
            None => self.journal_end().await?.map_or(0, |end| end + 1),
        };
        let AuditFilter { subjects, event_type, actor, tenant, from, to } = filter;
        let (rows, looked_back_to) = if subjects.is_some() {
            let sql = include_str!("audit_of_subjects.sql");
            (self.query(sql, &[subjects, event_type, actor, tenant, from, to, &before, &most]).await?, None)
        } else {
            let sql = include_str!("audit_stretch.sql");
            let looked_back_to = Some(before - LOOKED_AT_MOST).filter(|place| *place > 1);
            let parameters: [&(dyn ToSql + Sync); 8] =
                [event_type, actor, tenant, from, to, &before, &LOOKED_AT_MOST, &most];
            (self.query(sql, &parameters).await?, looked_back_to)
        };
        let entries = entries(&rows)?;
        let full = entries.last().map(|last| last.seq).filter(|_| entries.len() as u64 == most.unsigned_abs());
        Ok(AuditStretch { entries, resume_before: full.or(looked_back_to) })
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
