//! What may be asked of a number. Bad input cannot be said: a command is made of parsed parts.

use crate::event::RenewalFailure;
use crate::ids::{ChargeId, LeaseId, ReservationId, TicketId};
use crate::price::Price;
use crate::rejection::Rejection;
use crate::tenant::TenantStanding;
use crate::term::Term;

/// On whose behalf a command is decided.
#[derive(Clone, Copy, Debug)]
pub enum Acting<'a> {
    /// A tenant, or an admin acting for it.
    Tenant(&'a TenantStanding),
    /// An admin in their own right, or the service itself.
    Authority,
}

/// Why a lease is recalled (contract, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecallReason {
    /// The regulator orders it, in this case.
    RegulatorOrder(TicketId),
    /// The abuse desk found abuse, in this case.
    Abuse(TicketId),
    /// The tenant gives it back.
    TenantInitiated(Option<TicketId>),
    /// The tenant was suspended.
    TenantSuspended(Option<TicketId>),
}

impl RecallReason {
    /// The words of the contract.
    pub const WORDS: [&'static str; 4] = ["REGULATOR_ORDER", "ABUSE", "TENANT_INITIATED", "TENANT_SUSPENDED"];

    /// Reads the contract's word and ticket; `None` for a word it does not have.
    ///
    /// # Errors
    /// [`Rejection::TicketRequired`] where the reason needs a ticket and there is none (US-NUM-004).
    pub fn parse(word: &str, ticket: Option<TicketId>) -> Option<Result<Self, Rejection>> {
        let needed = |ticket: Option<TicketId>| ticket.ok_or(Rejection::TicketRequired);
        Some(match word {
            "REGULATOR_ORDER" => needed(ticket).map(Self::RegulatorOrder),
            "ABUSE" => needed(ticket).map(Self::Abuse),
            "TENANT_INITIATED" => Ok(Self::TenantInitiated(ticket)),
            "TENANT_SUSPENDED" => Ok(Self::TenantSuspended(ticket)),
            _ => return None,
        })
    }

    /// The reason as the contract writes it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RegulatorOrder(_) => "REGULATOR_ORDER",
            Self::Abuse(_) => "ABUSE",
            Self::TenantInitiated(_) => "TENANT_INITIATED",
            Self::TenantSuspended(_) => "TENANT_SUSPENDED",
        }
    }

    /// The case it rests on.
    #[must_use]
    pub const fn ticket(&self) -> Option<&TicketId> {
        match self {
            Self::RegulatorOrder(ticket) | Self::Abuse(ticket) => Some(ticket),
            Self::TenantInitiated(ticket) | Self::TenantSuspended(ticket) => ticket.as_ref(),
        }
    }
}

/// A command about one number (contract, section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// AVAILABLE → RESERVED.
    Reserve {
        /// The id of the claim to make.
        reservation_id: ReservationId,
    },
    /// RESERVED (own) → RESERVED for longer.
    Extend,
    /// RESERVED (own) → HELD.
    Hold,
    /// RESERVED or HELD (own) → AVAILABLE.
    Release,
    /// RESERVED or HELD (own) → LEASED; AVAILABLE only with the bypass.
    Lease {
        /// The id of the lease to make.
        lease_id: LeaseId,
        /// For how long.
        term: Term,
        /// Whether to renew it.
        auto_renew: bool,
        /// Whether as vanity.
        vanity: bool,
        /// Whether the caller has `numbers.lease.bypass`.
        may_bypass: bool,
        /// What it costs.
        price: Price,
    },
    /// LEASED or SUSPENDED → RECALLED and on to QUARANTINE or AVAILABLE.
    Recall {
        /// Why.
        reason: RecallReason,
        /// Who acted, where that is another than the caller: a system's statement.
        stated_actor: Option<String>,
    },
    /// LEASED → SUSPENDED, by an admin.
    Suspend,
    /// SUSPENDED → LEASED, by an admin.
    Reinstate,
    /// Automatic renewal and the recall lock on or off, by the holder or an admin. What is `None` stays as it is.
    UpdateLease {
        /// The lease that is meant.
        lease_id: LeaseId,
        /// Whether to renew it when it ends.
        auto_renew: Option<bool>,
        /// Whether its own tenant is kept from recalling it.
        locked: Option<bool>,
    },
    /// LEASED → LEASED for another term under another id, by the service.
    Renew {
        /// The lease that is renewed.
        lease_id: LeaseId,
        /// The id of the term to make.
        renewed_lease_id: LeaseId,
        /// What the new term costs.
        price: Price,
        /// What it was paid with.
        charge_id: ChargeId,
    },
    /// A renewal that did not come about, by the service: the lease stays as it is, and the attempt is told.
    FailRenewal {
        /// The lease that was not renewed.
        lease_id: LeaseId,
        /// Why.
        reason: RenewalFailure,
    },
    /// A reminder that the grace runs out, by the service.
    RemindOfGrace {
        /// The lease in grace.
        lease_id: LeaseId,
    },
    /// RESERVED or HELD → AVAILABLE, by the service: its tenant is suspended.
    Revoke {
        /// The case that the suspension rests on.
        ticket: Option<TicketId>,
    },
    /// RESERVED or HELD past its time → AVAILABLE, by the service.
    ExpireReservation {
        /// The claim that is meant, so that an old notice never frees a newer one.
        reservation_id: ReservationId,
    },
    /// LEASED or SUSPENDED past its end → QUARANTINE or AVAILABLE, by the service.
    ExpireLease {
        /// The lease that is meant.
        lease_id: LeaseId,
    },
    /// QUARANTINE past its end → AVAILABLE, by the service.
    EndQuarantine,
    /// QUARANTINE → AVAILABLE before its time, by an admin.
    OverrideQuarantine {
        /// Why.
        justification: String,
    },
}
