//! Renewals that are due, what billing is asked about them, and reminders of grace.
//!
//! What must stay true: what billing is asked stands in a row before it is asked; the row goes only when it is known what
//! became of the charge.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use numbering_domain::{ChargeId, Identifier, LeaseId, Number, Price, TenantId, TenantStanding};
use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::due::remaining;
use super::leadership::Leadership;
use super::rows::Reading;
use super::{Store, StoreError};

/// What billing is asked for, of one lease: the same at every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The list price that the next term is leased for.
    pub price: Price,
    /// What the whole term costs.
    pub amount: Decimal,
}

/// A lease whose renewal may be asked for.
#[derive(Clone, Debug)]
pub struct DueRenewal {
    /// The database's moment.
    pub now: Timestamp,
    /// The number, leased.
    pub number: Number,
    /// Its holder.
    pub standing: TenantStanding,
    /// Today's price; none where the list has none.
    pub listed: Option<Price>,
    /// What billing was asked before, and did not refuse.
    pub asked: Option<Quote>,
}

/// Where the next page of due leases begins: behind the lease that ends then, of that number.
pub type After = (Timestamp, Identifier);

/// A request that is to be written down.
#[derive(Clone, Debug)]
pub struct RenewalRequest<'a> {
    /// The number.
    pub identifier: &'a Identifier,
    /// The lease that is to be renewed.
    pub lease_id: LeaseId,
    /// Who pays.
    pub tenant: &'a TenantId,
    /// For what.
    pub quote: &'a Quote,
}

#[derive(Debug, Serialize)]
struct RequestRow<'a> {
    identifier: &'a str,
    lease_id: Uuid,
    tenant_id: &'a str,
    price_amount: String,
    price_currency: &'a str,
    price_per: &'a str,
    amount: String,
}

impl Store {
    /// Leases whose renewal may be asked for, those that end first at the front, without those in `without`; at most `most`.
    pub async fn renewals_due(
        &self,
        window: SignedDuration,
        without: &[LeaseId],
        after: Option<&After>,
        most: i64,
    ) -> Result<Vec<DueRenewal>, StoreError> {
        let without = uuids(without);
        let (end, identifier) = place(after);
        let rows = self
            .query(include_str!("renewals_due.sql"), &[&window.as_secs_f64(), &without, &end, &identifier, &most])
            .await?;
        rows.iter().map(due_renewal).collect()
    }

    /// How long until a renewal may be asked for, but for those in `without`.
    pub async fn next_renewal(
        &self,
        window: SignedDuration,
        without: &[LeaseId],
    ) -> Result<Option<Duration>, StoreError> {
        let without = uuids(without);
        let row = self.query_opt(include_str!("renewals_next.sql"), &[&window.as_secs_f64(), &without]).await?;
        seconds(row.as_ref())
    }

    /// Writes down what billing is going to be asked, on the strength of a role, and gives the leases that it was written
    /// for: not those that have a request already or are no longer to be renewed, and none once the role's term is over.
    pub async fn put_renewal_requests(
        &self,
        role: &Leadership,
        requests: &[RenewalRequest<'_>],
    ) -> Result<Vec<LeaseId>, StoreError> {
        let rows: Vec<RequestRow<'_>> = requests
            .iter()
            .map(|request| RequestRow {
                identifier: request.identifier.key(),
                lease_id: request.lease_id.0,
                tenant_id: request.tenant.as_str(),
                price_amount: request.quote.price.amount.to_string(),
                price_currency: &request.quote.price.currency,
                price_per: &request.quote.price.per,
                amount: request.quote.amount.to_string(),
            })
            .collect();
        let sql = include_str!("renewal_requests_put.sql");
        let written = self.query(sql, &[&Json(rows), &role.role, &role.holder, &role.term]).await?;
        written.iter().map(|row| Ok(LeaseId(row.try_get("lease_id")?))).collect()
    }

    /// Billing refused: nothing was charged, and next time it may be asked for another price. On the strength of a role.
    pub async fn drop_renewal_request(
        &self,
        role: &Leadership,
        identifier: &Identifier,
        LeaseId(id): LeaseId,
    ) -> Result<(), StoreError> {
        let sql = include_str!("renewal_requests_drop.sql");
        self.query(sql, &[&identifier.key(), &id, &role.role, &role.holder, &role.term]).await.map(drop)
    }

    /// Keeps the charge of a lease that was not renewed, for finance; `false` where it was renewed after all.
    pub async fn keep_charge_in_vain(
        &self,
        identifier: &Identifier,
        LeaseId(id): LeaseId,
        charge: &ChargeId,
    ) -> Result<bool, StoreError> {
        let sql = include_str!("renewal_charged_in_vain.sql");
        Ok(self.query_opt(sql, &[&identifier.key(), &id, &charge.as_str()]).await?.is_some())
    }

    /// How many charges, known or possible, there are of leases that were not renewed and will not be.
    pub async fn charges_without_renewal(&self) -> Result<i64, StoreError> {
        let row = self.query_opt(include_str!("charges_without_renewal.sql"), &[]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// Numbers whose tenant is to be reminded that the grace of their lease runs out, each with the moment it was read at.
    pub async fn reminders_due(
        &self,
        interval: SignedDuration,
        after: Option<&After>,
        most: i64,
    ) -> Result<Vec<(Timestamp, Number)>, StoreError> {
        let (end, identifier) = place(after);
        let sql = include_str!("reminders_due.sql");
        let rows = self.query(sql, &[&interval.as_secs_f64(), &end, &identifier, &most]).await?;
        rows.iter().map(|row| Reading::new(row, "a number in grace").dated_number()).collect()
    }

    /// How long until a tenant is to be reminded that a grace runs out.
    pub async fn next_reminder(&self, interval: SignedDuration) -> Result<Option<Duration>, StoreError> {
        seconds(self.query_opt(include_str!("reminders_next.sql"), &[&interval.as_secs_f64()]).await?.as_ref())
    }
}

fn uuids(leases: &[LeaseId]) -> Vec<Uuid> {
    leases.iter().map(|LeaseId(id)| *id).collect()
}

fn place(after: Option<&After>) -> (Option<Timestamp>, &str) {
    after.map_or((None, ""), |(end, identifier)| (Some(*end), identifier.key()))
}

/// The time that a row of one number of seconds tells.
fn seconds(row: Option<&Row>) -> Result<Option<Duration>, StoreError> {
    let seconds: Option<f64> = row.map(|row| row.try_get("seconds")).transpose()?.flatten();
    Ok(seconds.map(remaining))
}

fn due_renewal(row: &Row) -> Result<DueRenewal, StoreError> {
    let reading = Reading::new(row, row.try_get::<_, &str>("identifier")?);
    let priced = reading.get::<Option<&str>>("list_amount")?.is_some();
    let asked = match reading.get::<Option<&str>>("asked_total")? {
        None => None,
        Some(total) => {
            let amount: Decimal = total.parse().map_err(|_| reading.impossible("asked_total"))?;
            let price = reading.price("asked_amount", "asked_currency", "asked_per")?;
            Some(Quote { price, amount: amount.normalize() })
        }
    };
    Ok(DueRenewal {
        now: reading.get("now")?,
        number: reading.number()?,
        standing: reading.standing()?,
        listed: priced.then(|| reading.price("list_amount", "list_currency", "list_per")).transpose()?,
        asked,
    })
}
