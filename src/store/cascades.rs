//! Cascades: the recall of everything that a suspended tenant has, under one ticket (US-NUM-004).
//!
//! What must stay true: a tenant has one unfinished cascade at most, and none while it is in good standing. How far a cascade
//! has come is told by the tenant's claims, never by a mark of its own, so that it goes on where whoever walked it died.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use numbering_domain::{Number, TenantId, TicketId};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::commit::Origin;
use super::idempotency::{Answer, Claim};
use super::rows::Reading;
use super::tenants::journal;
use super::{Store, StoreError};

/// How a cascade stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CascadeState {
    /// It is so large that an admin must let it go on.
    AwaitingConfirmation,
    /// Leases are being recalled.
    Running,
    /// The tenant has nothing left.
    Done,
    /// The tenant is in good standing again.
    Cancelled,
}

impl CascadeState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AwaitingConfirmation, Self::Running, Self::Done, Self::Cancelled];

    /// The state as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingConfirmation => "AWAITING_CONFIRMATION",
            Self::Running => "RUNNING",
            Self::Done => "DONE",
            Self::Cancelled => "CANCELLED",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One cascade.
#[derive(Clone, Debug)]
pub struct Cascade {
    /// Which.
    pub cascade_id: Uuid,
    /// The suspended tenant.
    pub tenant: TenantId,
    /// The case that every recall bears.
    pub ticket: TicketId,
    /// The event that brought the suspension; the journal has what was done for it under this request.
    pub event_id: String,
    /// How it stands.
    pub state: CascadeState,
    /// How many leases the tenant had when it was suspended.
    pub leases: i32,
    /// How many reservations and holds it had.
    pub reservations: i32,
    /// How many leases were recalled; while it is unfinished, how many are there no more.
    pub recalled: i32,
    /// How many reservations and holds were released; while it is unfinished, how many are there no more.
    pub released: i32,
    /// When the tenant was suspended.
    pub created_at: Timestamp,
    /// When it was done or cancelled.
    pub finished_at: Option<Timestamp>,
}

/// What became of a confirmation.
#[derive(Clone, Debug)]
pub enum Confirmed {
    /// It goes on.
    Now(Cascade),
    /// It does not wait.
    NotWaiting(CascadeState),
    /// There is no such cascade.
    Unknown,
}

/// The next numbers of a cascade.
#[derive(Clone, Debug)]
pub struct CascadeBatch {
    /// The tenant's revision: what is decided counts only while it stands.
    pub revision: i64,
    /// The numbers by identifier, each with the moment that it was read at.
    pub numbers: Vec<(Timestamp, Number)>,
}

/// How a kept answer is rendered.
type Render<'a> = &'a (dyn Fn(&Cascade) -> Answer + Sync);

impl Store {
    /// Cascades, newest first, before this one, at most `most`.
    pub async fn cascades(&self, before: Option<Uuid>, most: i64) -> Result<Vec<Cascade>, StoreError> {
        self.query(include_str!("cascades_read.sql"), &[&before, &most]).await?.iter().map(cascade).collect()
    }

    /// The unfinished cascades in this state, oldest first, at most `most`.
    pub async fn unfinished_cascades(&self, state: CascadeState, most: i64) -> Result<Vec<Cascade>, StoreError> {
        let rows = self.query(include_str!("cascades_unfinished.sql"), &[&state.as_str(), &most]).await?;
        rows.iter().map(cascade).collect()
    }

    /// Whether a cascade runs, or the alert of this name does not tell of those that wait.
    pub async fn cascades_are_due(&self, alert: &str) -> Result<bool, StoreError> {
        let row = self.query_opt(include_str!("cascades_due.sql"), &[&alert]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// The next numbers that the tenant of a running cascade has, after this identifier, at most `most`; `None` where there are
    /// none, or the cascade does not run any more.
    pub async fn cascade_batch(
        &self,
        cascade: &Cascade,
        after: &str,
        most: i64,
    ) -> Result<Option<CascadeBatch>, StoreError> {
        let rows = self.query(include_str!("cascade_batch.sql"), &[&cascade.cascade_id, &after, &most]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let revision = first.try_get("revision")?;
        let number = |row| {
            let reading = Reading::new(row, cascade.tenant.as_str());
            Ok((self.clock().vouched(reading.get("now")?), reading.number()?))
        };
        Ok(Some(CascadeBatch { revision, numbers: rows.iter().map(number).collect::<Result<_, StoreError>>()? }))
    }

    /// Ends a cascade whose tenant has nothing left; `false` where that is not so.
    pub async fn finish_cascade(&self, running: &Cascade) -> Result<bool, StoreError> {
        let done = CascadeState::Done.as_str();
        Ok(self.query_opt(include_str!("cascade_finish.sql"), &[&running.cascade_id, &done]).await?.is_some())
    }

    /// Lets a cascade go on that waits; with `kept`, the answer is kept under the idempotency claim in the same commit.
    pub async fn confirm_cascade(
        &self,
        cascade_id: Uuid,
        origin: &Origin,
        kept: Option<(&Claim, Render<'_>)>,
    ) -> Result<Confirmed, StoreError> {
        self.transaction(async |transaction| {
            if let Some((claim, _)) = kept {
                claim.hold(&transaction).await?;
            }
            let waited = transaction.query_opt(include_str!("cascade_confirm.sql"), &[&cascade_id]).await?.is_some();
            let Some(confirmed) = read(&transaction, cascade_id).await? else { return Ok(Confirmed::Unknown) };
            if !waited {
                return Ok(Confirmed::NotWaiting(confirmed.state));
            }
            told_of(&transaction, &confirmed, "numbering.cascade.confirmed", origin).await?;
            if let Some((claim, render)) = kept {
                claim.keep(&transaction, &render(&confirmed)).await?;
            }
            transaction.commit().await?;
            Ok(Confirmed::Now(confirmed))
        })
        .await
    }
}

/// Cancels what is unfinished of a tenant, whose row is locked: what was recalled stays recalled.
pub(super) async fn cancel(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    origin: &Origin,
) -> Result<(), StoreError> {
    let unfinished = transaction.query_opt(include_str!("cascade_of_tenant.sql"), &[&tenant.as_str()]).await?;
    let Some(row) = unfinished else { return Ok(()) };
    let cascade_id: Uuid = row.try_get(0)?;
    let cancelled = CascadeState::Cancelled.as_str();
    transaction.execute(include_str!("cascade_finish.sql"), &[&cascade_id, &cancelled]).await?;
    let Some(cascade) = read(transaction, cascade_id).await? else { return Ok(()) };
    told_of(transaction, &cascade, "numbering.cascade.cancelled", origin).await
}

async fn read(transaction: &Transaction<'_>, cascade_id: Uuid) -> Result<Option<Cascade>, StoreError> {
    let row = transaction.query_opt(include_str!("cascade_read.sql"), &[&cascade_id]).await?;
    row.as_ref().map(cascade).transpose()
}

/// Journals what became of a cascade, for the audit.
async fn told_of(
    transaction: &Transaction<'_>,
    cascade: &Cascade,
    entry: &str,
    origin: &Origin,
) -> Result<(), StoreError> {
    let data = json!({
        "tenantId": cascade.tenant.as_str(),
        "cascadeId": cascade.cascade_id.to_string(),
        "ticketId": cascade.ticket.as_str(),
    });
    journal(transaction, &cascade.tenant, entry, &data, false, origin).await
}

fn cascade(row: &Row) -> Result<Cascade, StoreError> {
    let cascade_id: Uuid = row.try_get("cascade_id")?;
    let reading = Reading::new(row, cascade_id.to_string());
    Ok(Cascade {
        cascade_id,
        tenant: reading.tenant("tenant_id")?,
        ticket: TicketId::parse(reading.get("ticket_id")?).map_err(|_| reading.impossible("ticket_id"))?,
        event_id: reading.get("event_id")?,
        state: CascadeState::parse(reading.get("state")?).ok_or_else(|| reading.impossible("state"))?,
        leases: reading.get("leases")?,
        reservations: reading.get("reservations")?,
        recalled: reading.get("recalled")?,
        released: reading.get("released")?,
        created_at: reading.get("created_at")?,
        finished_at: reading.get("finished_at")?,
    })
}
