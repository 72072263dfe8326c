//! What the tests start from: one moment, tenants with room in every quota, and numbers in a chosen state.

use jiff::{SignedDuration, Timestamp};
use numbering_domain::lease::Lease;
use numbering_domain::number::{Number, Quarantine, Reservation, State};
use numbering_domain::{
    ChargeId, Identifier, IdentifierClass, LeaseId, OperatorId, PerCounter, Price, ReservationId, TenantId,
    TenantStanding, TenantStatus, Term, TicketId,
};
use rust_decimal::Decimal;
use uuid::Uuid;

/// The moment of every decision that does not say otherwise.
pub(crate) fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

pub(crate) fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) fn operator(id: &str) -> OperatorId {
    OperatorId::parse(id).unwrap()
}

pub(crate) fn ticket() -> TicketId {
    TicketId::parse("ATRA-2026-114").unwrap()
}

pub(crate) fn charge_id() -> ChargeId {
    ChargeId::parse("charge-31").unwrap()
}

pub(crate) fn reservation_id(id: u128) -> ReservationId {
    ReservationId(Uuid::from_u128(id))
}

pub(crate) fn lease_id(id: u128) -> LeaseId {
    LeaseId(Uuid::from_u128(id))
}

pub(crate) fn term(text: &str) -> Term {
    Term::parse(text, true).unwrap()
}

pub(crate) fn price() -> Price {
    Price { amount: Decimal::new(250, 2), currency: "USD".into(), per: "month".into() }
}

/// One for each counter.
pub(crate) fn each(count: i32) -> PerCounter<i32> {
    PerCounter { msisdn: count, short_code: count, alpha: count, reservations: count, holds: count }
}

/// A tenant in good standing that uses one of everything and may have five.
pub(crate) fn standing(id: &str) -> TenantStanding {
    TenantStanding {
        tenant: tenant(id),
        plan: "starter".into(),
        status: TenantStatus::Active,
        revision: 7,
        operator_allowlist: None,
        limits: each(5),
        used: each(1),
    }
}

/// A number of that class, at version 4.
pub(crate) fn number(class: IdentifierClass, state: State) -> Number {
    let (key, operator_id) = match class {
        IdentifierClass::Msisdn => ("+93701234567", Some(operator("awcc"))),
        IdentifierClass::ShortCode => ("4455", None),
        IdentifierClass::Alpha => ("MYBANK", None),
    };
    Number {
        identifier: Identifier::from_canonical(class, key),
        shown: key.into(),
        operator: operator_id,
        block: None,
        vanity_eligible: false,
        price_tier: "standard".into(),
        valid_from: None,
        version: 4,
        state,
        bars: Vec::new(),
    }
}

pub(crate) const RESERVATION: u128 = 11;
pub(crate) const LEASE: u128 = 21;

/// `holder`'s claim [`RESERVATION`] until then, made a quarter of an hour before.
pub(crate) fn claim(holder: &str, expires_at: Timestamp) -> Reservation {
    let since = expires_at - minutes(15);
    Reservation { reservation_id: reservation_id(RESERVATION), tenant: tenant(holder), since, expires_at }
}

/// `holder`'s plain lease [`LEASE`] until then, to be renewed.
pub(crate) fn lease(holder: &str, effective_until: Timestamp) -> Lease {
    Lease {
        lease_id: lease_id(LEASE),
        prior_lease_id: None,
        tenant: tenant(holder),
        effective_from: effective_until - days(30),
        effective_until,
        ends_at: effective_until,
        term: term("30d"),
        auto_renew: true,
        renewal_retry_at: None,
        reminded_at: None,
        vanity: false,
        locked: false,
        price: price(),
    }
}

/// The rest after the lease [`LEASE`].
pub(crate) fn rest(ended_by: numbering_domain::number::EndedBy, available_at: Timestamp) -> Quarantine {
    Quarantine { available_at, ended_by, lease_id: lease_id(LEASE) }
}
