//! What happened to a number, one entry of its journal each: the audit trail, the published event and the history are the
//! same fact.

use jiff::Timestamp;

use crate::ids::{ChargeId, LeaseId, ReservationId, TenantId, TicketId};
use crate::lease::Lease;

/// Which of the two claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationKind {
    /// RESERVED.
    Reserve,
    /// HELD.
    Hold,
}

impl ReservationKind {
    /// The kind as the events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "RESERVE",
            Self::Hold => "HOLD",
        }
    }
}

/// Why a claim ended without a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// Its time ran out.
    TtlExpired,
    /// The tenant let go.
    TenantRelease,
    /// The tenant was suspended, in this case.
    TenantSuspended(Option<TicketId>),
}

impl ReleaseReason {
    /// The reason as the events write it. The contract has two words: what did not run out was released, for the tenant or
    /// by it; that a suspension did so, the event tells besides.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TtlExpired => "TTL_EXPIRED",
            Self::TenantRelease | Self::TenantSuspended(_) => "TENANT_RELEASE",
        }
    }
}

/// Why a lease was not renewed (US-NUM-005).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalFailure {
    /// Billing said no.
    BillingRejected,
    /// The tenant is suspended; billing was not asked.
    TenantSuspended,
}

impl RenewalFailure {
    /// The reason as the events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BillingRejected => "BILLING_REJECTED",
            Self::TenantSuspended => "TENANT_SUSPENDED",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A tenant reserved the number, extended its reservation, or promoted it to a hold.
    ReservationHeld {
        /// Which.
        kind: ReservationKind,
        /// The claim.
        reservation_id: ReservationId,
        /// Whose.
        tenant: TenantId,
        /// Until when.
        expires_at: Timestamp,
    },
    /// A claim ended without a lease.
    ReservationReleased {
        /// Which.
        kind: ReservationKind,
        /// The claim.
        reservation_id: ReservationId,
        /// Whose.
        tenant: TenantId,
        /// Why.
        reason: ReleaseReason,
    },
    /// A tenant leased the number.
    LeaseCreated(Lease),
    /// The lease goes on for another term under another id.
    LeaseRenewed {
        /// The new term.
        lease: Lease,
        /// What it was paid with.
        charge_id: ChargeId,
    },
    /// A renewal that today's quota would not allow as a new lease: it is grandfathered (US-NUM-005).
    LeaseRenewalOverQuota {
        /// The renewed lease.
        lease_id: LeaseId,
        /// Whose.
        tenant: TenantId,
        /// Today's quota.
        quota: i32,
        /// Today's use.
        current: i32,
    },
    /// The lease was not renewed this time.
    LeaseRenewalFailed {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose.
        tenant: TenantId,
        /// Why.
        reason: RenewalFailure,
        /// When its term ends.
        effective_until: Timestamp,
        /// When it is asked for again; `None` where the lease ends before.
        retry_at: Option<Timestamp>,
    },
    /// The grace of a vanity lease is running out (US-NUM-012).
    LeaseGraceReminder {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose.
        tenant: TenantId,
        /// When its term ended.
        effective_until: Timestamp,
        /// When the grace ends, and the lease with it.
        grace_until: Timestamp,
    },
    /// Automatic renewal or the recall lock was switched on or off; how both stand now.
    LeaseUpdated {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose.
        tenant: TenantId,
        /// Whether it renews itself.
        auto_renew: bool,
        /// Whether its own tenant is kept from recalling it.
        locked: bool,
    },
    /// An admin suspended the lease.
    LeaseSuspended {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose.
        tenant: TenantId,
    },
    /// An admin reinstated the lease.
    LeaseReinstated {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose.
        tenant: TenantId,
    },
    /// The lease was recalled.
    LeaseRecalled {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose it was.
        tenant: TenantId,
        /// Why, in the contract's word.
        reason: &'static str,
        /// The case it rests on.
        ticket: Option<TicketId>,
        /// Who acted, where that is another than the caller.
        stated_actor: Option<String>,
        /// When the number is free again.
        available_at: Timestamp,
    },
    /// The lease ran out.
    LeaseExpired {
        /// Which lease.
        lease_id: LeaseId,
        /// Whose it was.
        tenant: TenantId,
        /// When it ran out.
        ended_at: Timestamp,
    },
    /// The number rests.
    IdentifierQuarantined {
        /// Until when.
        available_at: Timestamp,
        /// The lease that ended.
        lease_id: LeaseId,
    },
    /// The number is free again, its rest being over.
    IdentifierReleased,
    /// An admin ended the rest before its time.
    QuarantineOverridden {
        /// Why.
        justification: String,
        /// When it would have ended.
        available_at: Timestamp,
    },
}

impl Event {
    /// The type, which is also the subject that it is published on.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::ReservationHeld { .. } => "numbering.reservation.held",
            Self::ReservationReleased { .. } => "numbering.reservation.released",
            Self::LeaseCreated(_) => "numbering.lease.created",
            Self::LeaseRenewed { .. } => "numbering.lease.renewed",
            Self::LeaseRenewalOverQuota { .. } => "numbering.lease.renewal_over_quota",
            Self::LeaseRenewalFailed { .. } => "numbering.lease.renewal_failed",
            Self::LeaseGraceReminder { .. } => "numbering.lease.grace_reminder",
            Self::LeaseUpdated { .. } => "numbering.lease.updated",
            Self::LeaseSuspended { .. } => "numbering.lease.suspended",
            Self::LeaseReinstated { .. } => "numbering.lease.reinstated",
            Self::LeaseRecalled { .. } => "numbering.lease.recalled",
            Self::LeaseExpired { .. } => "numbering.lease.expired",
            Self::IdentifierQuarantined { .. } => "numbering.identifier.quarantined",
            Self::IdentifierReleased => "numbering.identifier.released",
            Self::QuarantineOverridden { .. } => "numbering.quarantine.overridden",
        }
    }
}
