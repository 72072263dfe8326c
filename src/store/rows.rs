//! Rows become domain values here, and a row that cannot be is named when one is met.

use std::borrow::Cow;

use jiff::Timestamp;
use numbering_domain::number::{Bar, EndedBy, Quarantine, Reservation};
use numbering_domain::{
    BlockId, Identifier, IdentifierClass, Lease, LeaseId, Number, OperatorId, PerCounter, Price, ReservationId, State,
    StateName, TenantId, TenantStanding, TenantStatus, Term,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json};
use uuid::Uuid;

use super::StoreError;

/// One row under reading, so that what is wrong with it can be said by its subject.
pub(crate) struct Reading<'a> {
    row: &'a Row,
    subject: Cow<'a, str>,
}

#[derive(Deserialize)]
struct BarColumn {
    tenant: String,
    until: Timestamp,
}

/// Whether there is one row for each of what was asked about, in the order they were asked about, as `place` tells.
pub(crate) fn one_for_each(rows: &[Row], asked: usize) -> Result<(), StoreError> {
    let places = rows.iter().map(|row| row.try_get("place")).collect::<Result<Vec<i64>, _>>()?;
    let in_order = places.iter().zip(1_i64..).all(|(place, expected)| *place == expected);
    if in_order && places.len() == asked {
        return Ok(());
    }
    Err(StoreError::Impossible { subject: format!("one of {asked}"), what: "one row for each, in order" })
}

impl<'a> Reading<'a> {
    pub(crate) fn new(row: &'a Row, subject: impl Into<Cow<'a, str>>) -> Self {
        Self { row, subject: subject.into() }
    }

    pub(crate) fn get<T: FromSql<'a>>(&self, column: &str) -> Result<T, StoreError> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn needed<T: FromSql<'a>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.get::<Option<T>>(column)?.ok_or_else(|| self.impossible(column))
    }

    pub(crate) fn impossible(&self, what: &'static str) -> StoreError {
        StoreError::Impossible { subject: self.subject.clone().into_owned(), what }
    }

    pub(crate) fn tenant(&self, column: &'static str) -> Result<TenantId, StoreError> {
        TenantId::parse(self.needed(column)?).map_err(|_| self.impossible(column))
    }

    pub(crate) fn operator(&self, column: &'static str) -> Result<Option<OperatorId>, StoreError> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| OperatorId::parse(text).map_err(|_| self.impossible(column))).transpose()
    }

    pub(crate) fn price(
        &self,
        amount: &'static str,
        currency: &'static str,
        per: &'static str,
    ) -> Result<Price, StoreError> {
        let text: &str = self.needed(amount)?;
        let amount: Decimal = text.parse().map_err(|_| self.impossible(amount))?;
        Ok(Price { amount: amount.normalize(), currency: self.needed(currency)?, per: self.needed(per)? })
    }

    pub(crate) fn class(&self) -> Result<IdentifierClass, StoreError> {
        IdentifierClass::parse(self.needed("identifier_class")?).ok_or_else(|| self.impossible("identifier_class"))
    }

    fn claim(&self) -> Result<Reservation, StoreError> {
        Ok(Reservation {
            reservation_id: ReservationId(self.needed("reservation_id")?),
            tenant: self.tenant("tenant_id")?,
            since: self.needed("claimed_at")?,
            expires_at: self.needed("deadline")?,
        })
    }

    /// A lease from the columns that the table of leases and the view of numbers share.
    pub(crate) fn lease(&self) -> Result<Lease, StoreError> {
        let prior: Option<Uuid> = self.get("prior_lease_id")?;
        Ok(Lease {
            lease_id: LeaseId(self.needed("lease_id")?),
            prior_lease_id: prior.map(LeaseId),
            tenant: self.tenant("tenant_id")?,
            effective_from: self.needed("effective_from")?,
            effective_until: self.needed("effective_until")?,
            ends_at: self.needed("ends_at")?,
            // Short terms may have been on when this was written.
            term: Term::parse(self.needed("term")?, true).map_err(|_| self.impossible("term"))?,
            auto_renew: self.needed("auto_renew")?,
            renewal_retry_at: self.get("renewal_retry_at")?,
            reminded_at: self.get("reminded_at")?,
            vanity: self.needed("vanity")?,
            locked: self.needed("locked")?,
            price: self.price("price_amount", "price_currency", "price_per")?,
        })
    }

    fn state(&self) -> Result<State, StoreError> {
        let name = StateName::parse(self.needed("state")?).ok_or_else(|| self.impossible("state"))?;
        Ok(match name {
            StateName::Available => State::Available,
            StateName::Reserved => State::Reserved(self.claim()?),
            StateName::Held => State::Held(self.claim()?),
            StateName::Leased => State::Leased(self.lease()?),
            StateName::Suspended => State::Suspended(self.lease()?),
            StateName::Recalled => return Err(self.impossible("RECALLED never rests in a row")),
            StateName::Quarantine => State::Quarantine(Quarantine {
                available_at: self.needed("deadline")?,
                ended_by: EndedBy::parse(self.needed("ended_by")?).ok_or_else(|| self.impossible("ended_by"))?,
                lease_id: LeaseId(self.needed("lease_id")?),
            }),
        })
    }

    fn bars(&self) -> Result<Vec<Bar>, StoreError> {
        let Json(columns): Json<Vec<BarColumn>> = self.needed("bars")?;
        columns
            .into_iter()
            .map(|bar| {
                let tenant = TenantId::parse(&bar.tenant).map_err(|_| self.impossible("bars"))?;
                Ok(Bar { tenant, until: bar.until })
            })
            .collect()
    }

    /// The number, from the columns of `numbering.number_with_claim`.
    pub(crate) fn number(&self) -> Result<Number, StoreError> {
        let block: Option<Uuid> = self.get("block_id")?;
        Ok(Number {
            identifier: Identifier::from_canonical(self.class()?, self.needed("identifier")?),
            shown: self.needed::<&str>("shown")?.into(),
            operator: self.operator("operator_id")?,
            block: block.map(BlockId),
            vanity_eligible: self.needed("vanity_eligible")?,
            price_tier: self.needed("price_tier")?,
            valid_from: self.get("valid_from")?,
            version: self.needed("version")?,
            state: self.state()?,
            bars: self.bars()?,
        })
    }

    /// The number with the moment it was read at, `now`.
    pub(crate) fn dated_number(&self) -> Result<(Timestamp, Number), StoreError> {
        Ok((self.get("now")?, self.number()?))
    }

    /// The tenant standing, from the columns of `numbering.tenants`, the id under `standing_tenant`.
    pub(crate) fn standing(&self) -> Result<TenantStanding, StoreError> {
        let allowlist: Option<Vec<String>> = self.get("operator_allowlist")?;
        let allowlist = allowlist
            .map(|ids| ids.iter().map(|id| OperatorId::parse(id)).collect::<Result<_, _>>())
            .transpose()
            .map_err(|_| self.impossible("operator_allowlist"))?;
        Ok(TenantStanding {
            tenant: self.tenant("standing_tenant")?,
            plan: self.needed("plan")?,
            status: TenantStatus::parse(self.needed("status")?).ok_or_else(|| self.impossible("status"))?,
            revision: self.needed("revision")?,
            operator_allowlist: allowlist,
            limits: self.limits()?,
            used: self.used()?,
        })
    }

    /// The limits in force, from the columns of `numbering.tenants`.
    pub(crate) fn limits(&self) -> Result<PerCounter<i32>, StoreError> {
        Ok(PerCounter {
            msisdn: self.needed("limit_msisdn")?,
            short_code: self.needed("limit_short_code")?,
            alpha: self.needed("limit_alpha")?,
            reservations: self.needed("limit_reservations")?,
            holds: self.needed("limit_holds")?,
        })
    }

    /// What a tenant has, from the columns of `numbering.tenants`.
    pub(crate) fn used(&self) -> Result<PerCounter<i32>, StoreError> {
        Ok(PerCounter {
            msisdn: self.needed("used_msisdn")?,
            short_code: self.needed("used_short_code")?,
            alpha: self.needed("used_alpha")?,
            reservations: self.needed("used_reservations")?,
            holds: self.needed("used_holds")?,
        })
    }
}
