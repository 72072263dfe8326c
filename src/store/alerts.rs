//! Alerts that the service raises and resolves by itself.
//!
//! What must stay true: one alert of a name is open about a subject at a time, however many replicas raise it; and its row,
//! its journal entry and its event are one commit.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::commit::Origin;
use super::{Store, StoreError};

/// How soon somebody must see to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Now: it pages.
    Sev1,
    /// Today.
    Critical,
    /// Whoever looks next.
    Warning,
}

impl Severity {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Sev1, Self::Critical, Self::Warning];

    /// The word in the database, in events and in REST.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sev1 => "SEV1",
            Self::Critical => "CRITICAL",
            Self::Warning => "WARNING",
        }
    }
}

/// An alert to raise.
#[derive(Clone, Copy, Debug)]
pub struct NewAlert<'a> {
    /// What kind of alert.
    pub name: &'static str,
    /// How soon somebody must see to it.
    pub severity: Severity,
    /// What it is about, in 1 to 255 characters.
    pub subject: &'a str,
    /// What is wrong, in a sentence.
    pub summary: &'a str,
    /// The page that says what to do.
    pub runbook: &'static str,
}

/// An alert in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its id; ids ascend with time.
    pub alert_id: Uuid,
    /// What kind of alert.
    pub name: String,
    /// How soon somebody must see to it, as [`Severity`] names it.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub summary: String,
    /// The page that says what to do.
    pub runbook: String,
    /// Since when.
    pub raised_at: Timestamp,
    /// Until when; `None` while it is open.
    pub resolved_at: Option<Timestamp>,
}

/// Where an alert stands among those that Alertmanager is to be told of.
#[derive(Clone, Copy, Debug)]
pub struct PushPlace {
    rank: i32,
    alert_id: Uuid,
}

impl PushPlace {
    /// Before all of them.
    pub const FIRST: Self = Self { rank: -1, alert_id: Uuid::nil() };
}

impl Store {
    /// Raises an alert; `false` where one of its name is open about its subject already, which stays as it is.
    pub async fn raise_alert(&self, alert: &NewAlert<'_>, origin: &Origin) -> Result<bool, StoreError> {
        let NewAlert { name, severity, subject, summary, runbook } = *alert;
        let row = self
            .query_opt(
                include_str!("alert_raise.sql"),
                &[
                    &Uuid::now_v7(),
                    &name,
                    &severity.as_str(),
                    &subject,
                    &summary,
                    &runbook,
                    &Uuid::now_v7(),
                    &origin.actor,
                    &origin.request_id,
                ],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Resolves the open alert of this name about this subject; `false` where there is none.
    pub async fn resolve_alert(&self, name: &str, subject: &str, origin: &Origin) -> Result<bool, StoreError> {
        let row = self
            .query_opt(
                include_str!("alert_resolve.sql"),
                &[&name, &subject, &Uuid::now_v7(), &origin.actor, &origin.request_id],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Alerts, the newest first, those older than `before`, at most `most`; only the open or the resolved ones where `open`
    /// says which.
    pub async fn alerts(&self, open: Option<bool>, before: Option<Uuid>, most: i64) -> Result<Vec<Alert>, StoreError> {
        let rows = self.query(include_str!("alerts_read.sql"), &[&open, &before, &most]).await?;
        rows.iter().map(alert).collect()
    }

    /// The alerts that Alertmanager is to be told of after those of the page before, at most `most`: the open ones, those that page and
    /// the newest first, then those whose end it has not acknowledged.
    pub async fn alerts_to_push(&self, after: PushPlace, most: i64) -> Result<Vec<(PushPlace, Alert)>, StoreError> {
        let PushPlace { rank, alert_id } = after;
        let rows = self.query(include_str!("alerts_to_push.sql"), &[&rank, &alert_id, &most]).await?;
        let placed = |row: &Row| {
            let alert = alert(row)?;
            Ok((PushPlace { rank: row.try_get("rank")?, alert_id: alert.alert_id }, alert))
        };
        rows.iter().map(placed).collect()
    }

    /// Notes that Alertmanager knows of the end of these alerts.
    pub async fn acknowledge_ends(&self, alerts: &[Uuid]) -> Result<(), StoreError> {
        self.query(include_str!("alerts_acknowledged.sql"), &[&alerts]).await.map(drop)
    }
}

pub(super) fn alert(row: &Row) -> Result<Alert, StoreError> {
    Ok(Alert {
        alert_id: row.try_get("alert_id")?,
        name: row.try_get("name")?,
        severity: row.try_get("severity")?,
        subject: row.try_get("subject")?,
        summary: row.try_get("summary")?,
        runbook: row.try_get("runbook")?,
        raised_at: row.try_get("raised_at")?,
        resolved_at: row.try_get("resolved_at")?,
    })
}
