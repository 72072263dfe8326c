//! Reports of a day, read from the journal, and the entries that publish them.
//!
//! What must stay true: a day's report is published once, by an entry of its own that has a version like those of numbers.

use jiff::Timestamp;
use jiff::civil::Date;
use numbering_domain::IdentifierClass;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::commit::Origin;
use super::leadership::Leadership;
use super::rows::Reading;
use super::{Store, StoreError};

/// A quarantine that an admin ended before its time (US-NUM-006).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// The number, as registered.
    pub identifier: String,
    /// Its class.
    pub class: IdentifierClass,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The request that it came in.
    pub request_id: String,
    /// Why.
    pub justification: String,
    /// When the quarantine would have ended.
    pub available_at: Timestamp,
    /// The lease that had ended.
    pub lease_id: Option<Uuid>,
    /// Whose it was.
    pub tenant: Option<String>,
}

impl Overridden {
    /// How much of the quarantine was left, in whole seconds.
    #[must_use]
    pub fn early_by_seconds(&self) -> i64 {
        self.available_at.duration_since(self.at).as_secs()
    }
}

/// The overrides of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverridesOfDay {
    /// How many there were.
    pub count: i64,
    /// The first of them, in their order.
    pub items: Vec<Overridden>,
}

impl Store {
    /// The quarantines that were ended before their time on a day (UTC), `most` of them.
    pub async fn overrides_of_day(&self, day: Date, most: i64) -> Result<OverridesOfDay, StoreError> {
        let rows = self.query(include_str!("overrides_of_day.sql"), &[&day, &most]).await?;
        let count = rows.first().map(|row| row.try_get("total")).transpose()?.unwrap_or_default();
        Ok(OverridesOfDay { count, items: rows.iter().map(overridden).collect::<Result<_, _>>()? })
    }

    /// The days before `today` (UTC) that the report `name` has not been published for, oldest first: since there is a journal,
    /// and no further back than `most_days`.
    pub async fn unreported_days(&self, name: &str, today: Date, most_days: i32) -> Result<Vec<Date>, StoreError> {
        let rows = self.query(include_str!("report_days.sql"), &[&name, &today, &most_days]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Publishes the report `name` of a day, on the strength of a job's role; `false` where that has been done already, or the
    /// role has gone to another.
    pub async fn publish_report(
        &self,
        role: &Leadership,
        report: &Report<'_>,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let subject = format!("{}/{}", report.name, report.day);
        let row = self
            .query_opt(
                include_str!("report_publish.sql"),
                &[
                    &role.role,
                    &role.holder,
                    &role.term,
                    &subject,
                    &Uuid::now_v7(),
                    &report.event_type,
                    &report.data,
                    &origin.actor,
                    &origin.request_id,
                    &report.at,
                ],
            )
            .await?;
        Ok(row.is_some())
    }
}

/// A report to publish.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Which report.
    pub name: &'static str,
    /// Of which day (UTC).
    pub day: Date,
    /// The event's type.
    pub event_type: &'static str,
    /// The event's data.
    pub data: &'a Value,
    /// When it is published.
    pub at: Timestamp,
}

fn overridden(row: &Row) -> Result<Overridden, StoreError> {
    let reading = Reading::new(row, "the journal entry of an override");
    Ok(Overridden {
        identifier: reading.needed("identifier")?,
        class: reading.class()?,
        at: reading.get("at")?,
        actor: reading.get("actor")?,
        request_id: reading.get("request_id")?,
        justification: reading.needed("justification")?,
        available_at: reading.needed("available_at")?,
        lease_id: reading.get("lease_id")?,
        tenant: reading.get("tenant_id")?,
    })
}
