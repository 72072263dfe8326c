//! What the service knows of a tenant when it decides: plan, status, limits and use.

use std::collections::BTreeSet;

use crate::identifier::IdentifierClass;
use crate::ids::{OperatorId, TenantId};
use crate::transition::Transition;

/// What is counted against a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Leased MSISDNs.
    Msisdn,
    /// Leased short codes.
    ShortCode,
    /// Leased alphanumeric sender IDs.
    Alpha,
    /// Active RESERVED claims.
    Reservations,
    /// Active HELD claims.
    Holds,
}

impl Counter {
    /// All counters, in the order of the contract.
    pub const ALL: [Self; 5] = [Self::Msisdn, Self::ShortCode, Self::Alpha, Self::Reservations, Self::Holds];

    /// The counter as the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msisdn => "MSISDN",
            Self::ShortCode => "SHORT_CODE",
            Self::Alpha => "ALPHA",
            Self::Reservations => "RESERVATIONS",
            Self::Holds => "HOLDS",
        }
    }
}

impl From<IdentifierClass> for Counter {
    fn from(class: IdentifierClass) -> Self {
        match class {
            IdentifierClass::Msisdn => Self::Msisdn,
            IdentifierClass::ShortCode => Self::ShortCode,
            IdentifierClass::Alpha => Self::Alpha,
        }
    }
}

/// One value for each counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCounter<T> {
    /// Leased MSISDNs.
    pub msisdn: T,
    /// Leased short codes.
    pub short_code: T,
    /// Leased alphanumeric sender IDs.
    pub alpha: T,
    /// Active RESERVED claims.
    pub reservations: T,
    /// Active HELD claims.
    pub holds: T,
}

impl<T> PerCounter<T> {
    /// The value of one counter.
    pub const fn get(&self, counter: Counter) -> &T {
        match counter {
            Counter::Msisdn => &self.msisdn,
            Counter::ShortCode => &self.short_code,
            Counter::Alpha => &self.alpha,
            Counter::Reservations => &self.reservations,
            Counter::Holds => &self.holds,
        }
    }

    /// The value of one counter, to change.
    pub const fn get_mut(&mut self, counter: Counter) -> &mut T {
        match counter {
            Counter::Msisdn => &mut self.msisdn,
            Counter::ShortCode => &mut self.short_code,
            Counter::Alpha => &mut self.alpha,
            Counter::Reservations => &mut self.reservations,
            Counter::Holds => &mut self.holds,
        }
    }
}

/// Whether a tenant may take anything new, and send at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// In good standing.
    Active,
    /// Suspended by compliance: takes nothing new, and every validation says no.
    Suspended,
}

impl TenantStatus {
    /// The status as the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
        }
    }

    /// Reads the contract's word for a status.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == text)
    }
}

/// The tenant standing: everything about a tenant that a decision rests on, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStanding {
    /// Whose standing it is.
    pub tenant: TenantId,
    /// The plan's name.
    pub plan: String,
    /// Active or suspended.
    pub status: TenantStatus,
    /// Grows with every change of plan, status, limits or allowlist; a grant commits only against the revision it was
    /// decided on.
    pub revision: i64,
    /// The operators whose numbers the tenant may take; `None` is all of them.
    pub operator_allowlist: Option<BTreeSet<OperatorId>>,
    /// The most of each that the tenant may have.
    pub limits: PerCounter<i32>,
    /// What the tenant has.
    pub used: PerCounter<i32>,
}

impl TenantStanding {
    /// Whether the tenant may take numbers of this operator. Identifiers of no operator (short codes, alphanumeric sender
    /// IDs) are open to all.
    #[must_use]
    pub fn may_use_operator(&self, operator: Option<&OperatorId>) -> bool {
        match (&self.operator_allowlist, operator) {
            (Some(allowed), Some(operator)) => allowed.contains(operator),
            (None, _) | (_, None) => true,
        }
    }

    /// The standing once `transition` has happened, for a decision about the next of several numbers that are taken together.
    #[must_use]
    pub fn after(mut self, transition: &Transition) -> Self {
        for ((tenant, counter), change) in &transition.usage {
            if *tenant == self.tenant {
                *self.used.get_mut(*counter) += change;
            }
        }
        self
    }
}
