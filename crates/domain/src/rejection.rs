//! Why a command was refused: facts, in the order of precedence. The transport turns them into words and statuses.

use jiff::Timestamp;

use crate::identifier::{IdentifierClass, InvalidIdentifier};
use crate::ids::OperatorId;
use crate::number::StateName;
use crate::term::InvalidTerm;

/// A refusal. The variants stand in the order in which they are checked (contract, section 3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The caller lacks a permission.
    #[error("this needs the permission {permission}")]
    Forbidden {
        /// Which.
        permission: &'static str,
    },
    /// Only a tenant, or an admin on behalf of one, may do this.
    #[error("this is done on behalf of a tenant, and the token names none")]
    TenantRequired,
    /// The text is no identifier.
    #[error("{0}")]
    InvalidIdentifier(#[from] InvalidIdentifier),
    /// A recall for this reason needs a ticket.
    #[error("a recall for this reason needs a ticketId")]
    TicketRequired,
    /// The term is no term, or not offered.
    #[error("{0}")]
    InvalidTerm(#[from] InvalidTerm),
    /// Vanity leases have terms of their own.
    #[error("a vanity lease runs for 1y or 3y")]
    InvalidVanityTerm,
    /// An override needs its reason.
    #[error("ending a quarantine early needs a justification")]
    JustificationRequired,
    /// The identifier is not in the inventory.
    #[error("this identifier is not in the inventory")]
    NotRegistered,
    /// The tenant may take nothing new.
    #[error("this tenant is suspended")]
    TenantSuspended,
    /// The tenant may not take numbers of this operator.
    #[error("this tenant may not take numbers of operator {operator}")]
    OperatorNotAllowed {
        /// Which.
        operator: OperatorId,
    },
    /// The number may not be leased as vanity.
    #[error("this identifier is not eligible for a vanity lease")]
    NotVanityEligible,
    /// The number rests, or the tenant is barred from it.
    #[error("this identifier is in its cool-down until {available_at}")]
    QuarantineActive {
        /// The number's state.
        state: StateName,
        /// When the cool-down is over for this tenant.
        available_at: Timestamp,
    },
    /// The number is not AVAILABLE.
    #[error("this identifier is not available")]
    NotAvailable {
        /// The number's state.
        state: StateName,
    },
    /// The number is not offered yet.
    #[error("this identifier is not offered before {valid_from}")]
    NotYetValid {
        /// The number's state.
        state: StateName,
        /// From when it is.
        valid_from: Timestamp,
    },
    /// Another tenant reserved it.
    #[error("another tenant has reserved this identifier")]
    ReservedByOtherTenant {
        /// The number's state.
        state: StateName,
    },
    /// Another tenant holds it.
    #[error("another tenant holds this identifier")]
    HeldByOtherTenant {
        /// The number's state.
        state: StateName,
    },
    /// The claim to release is another tenant's (US-NUM-009).
    #[error("this reservation or hold is another tenant's")]
    ReleaseByOtherTenant {
        /// The number's state.
        state: StateName,
    },
    /// Somebody leases it already.
    #[error("this identifier is leased already")]
    AlreadyLeased {
        /// The number's state.
        state: StateName,
    },
    /// Leases are recalled, not released.
    #[error("a lease is ended by a recall, not by a release")]
    UseRecallForLeases {
        /// The number's state.
        state: StateName,
    },
    /// Nobody leases it.
    #[error("this identifier is not leased")]
    NotLeased {
        /// The number's state.
        state: StateName,
    },
    /// Another tenant leases it.
    #[error("this lease is another tenant's")]
    NotLeaseHolder {
        /// The number's state.
        state: StateName,
    },
    /// Its tenant locked the lease against its own recall; an admin's recall passes.
    #[error("this lease is locked against a recall by its tenant; take the lock off first")]
    LeaseLocked {
        /// The number's state.
        state: StateName,
    },
    /// The reservation lasts as long as it ever may.
    #[error("this reservation cannot be extended any further")]
    ReservationCeiling {
        /// The number's state.
        state: StateName,
    },
    /// The command does not apply in this state.
    #[error("this cannot be done in the identifier's current state")]
    InvalidState {
        /// The number's state.
        state: StateName,
    },
    /// Leasing without a reservation needs the bypass.
    #[error("leasing without a reservation or hold needs the permission numbers.lease.bypass")]
    BypassRequired {
        /// The number's state.
        state: StateName,
    },
    /// The tenant has as many leases of this class as it may.
    #[error("the quota of {quota} leased {class} identifiers is reached")]
    QuotaExceeded {
        /// Which class.
        class: IdentifierClass,
        /// The most it may have.
        quota: i32,
        /// What it has.
        current: i32,
    },
    /// The tenant has as many active reservations as it may.
    #[error("the quota of {quota} active reservations is reached")]
    ReservationQuota {
        /// The most it may have.
        quota: i32,
        /// What it has.
        current: i32,
    },
    /// The tenant has as many active holds as it may.
    #[error("the quota of {quota} active holds is reached")]
    HoldQuota {
        /// The most it may have.
        quota: i32,
        /// What it has.
        current: i32,
    },
}

impl Rejection {
    /// The code of the contract.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } | Self::TenantRequired => "FORBIDDEN",
            Self::InvalidIdentifier(_) => "INVALID_IDENTIFIER",
            Self::TicketRequired => "TICKET_REQUIRED",
            Self::InvalidTerm(_) | Self::InvalidVanityTerm => "INVALID_TERM",
            Self::JustificationRequired => "JUSTIFICATION_REQUIRED",
            Self::NotRegistered => "NOT_REGISTERED",
            Self::TenantSuspended => "TENANT_SUSPENDED",
            Self::OperatorNotAllowed { .. } => "OPERATOR_NOT_ALLOWED",
            Self::NotVanityEligible => "NOT_VANITY_ELIGIBLE",
            Self::QuarantineActive { .. } => "QUARANTINE_ACTIVE",
            Self::NotAvailable { .. } | Self::NotYetValid { .. } => "NOT_AVAILABLE",
            Self::ReservedByOtherTenant { .. } => "RESERVED_BY_OTHER_TENANT",
            Self::HeldByOtherTenant { .. } | Self::ReleaseByOtherTenant { .. } => "HELD_BY_OTHER_TENANT",
            Self::AlreadyLeased { .. } => "ALREADY_LEASED",
            Self::UseRecallForLeases { .. } => "USE_RECALL_FOR_LEASES",
            Self::NotLeased { .. } => "NOT_LEASED",
            Self::NotLeaseHolder { .. } => "NOT_LEASE_HOLDER",
            Self::LeaseLocked { .. } | Self::ReservationCeiling { .. } | Self::InvalidState { .. } => "INVALID_STATE",
            Self::BypassRequired { .. } => "BYPASS_REQUIRED",
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::ReservationQuota { .. } => "RESERVATION_QUOTA",
            Self::HoldQuota { .. } => "HOLD_QUOTA",
        }
    }

    /// The number's state, for the refusals that rest on it.
    #[must_use]
    pub const fn state(&self) -> Option<StateName> {
        match self {
            Self::QuarantineActive { state, .. }
            | Self::NotAvailable { state }
            | Self::NotYetValid { state, .. }
            | Self::ReservedByOtherTenant { state }
            | Self::HeldByOtherTenant { state }
            | Self::ReleaseByOtherTenant { state }
            | Self::AlreadyLeased { state }
            | Self::UseRecallForLeases { state }
            | Self::NotLeased { state }
            | Self::NotLeaseHolder { state }
            | Self::LeaseLocked { state }
            | Self::ReservationCeiling { state }
            | Self::InvalidState { state }
            | Self::BypassRequired { state } => Some(*state),
            Self::Forbidden { .. }
            | Self::TenantRequired
            | Self::InvalidIdentifier(_)
            | Self::TicketRequired
            | Self::InvalidTerm(_)
            | Self::InvalidVanityTerm
            | Self::JustificationRequired
            | Self::NotRegistered
            | Self::TenantSuspended
            | Self::OperatorNotAllowed { .. }
            | Self::NotVanityEligible
            | Self::QuotaExceeded { .. }
            | Self::ReservationQuota { .. }
            | Self::HoldQuota { .. } => None,
        }
    }

    /// Whether time that has passed for some of the tenant's claims or leases could lift the refusal.
    #[must_use]
    pub const fn is_quota(&self) -> bool {
        matches!(self, Self::QuotaExceeded { .. } | Self::ReservationQuota { .. } | Self::HoldQuota { .. })
    }
}
