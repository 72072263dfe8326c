//! A tenant's right to send from a number for one term, and the answer to whether it holds right now.
//!
//! What must stay true: a [`Snapshot`] holds the facts, not the verdict, so that one cached snapshot answers every
//! tenant's question and running out needs no invalidation.

use jiff::Timestamp;

use crate::ids::{LeaseId, TenantId};
use crate::number::{EndedBy, Number, State};
use crate::policy::{Policy, later};
use crate::price::Price;
use crate::term::Term;

/// One term of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// This term's id.
    pub lease_id: LeaseId,
    /// The term before this one, where this is a renewal.
    pub prior_lease_id: Option<LeaseId>,
    /// Who holds it.
    pub tenant: TenantId,
    /// When the term starts.
    pub effective_from: Timestamp,
    /// When the term ends.
    pub effective_until: Timestamp,
    /// When the right to send ends: `effective_until`, or later by the grace of a vanity lease (US-NUM-012).
    pub ends_at: Timestamp,
    /// For how long it was asked.
    pub term: Term,
    /// Whether it is to be renewed.
    pub auto_renew: bool,
    /// A renewal was refused: it is not asked for again before then (US-NUM-005).
    pub renewal_retry_at: Option<Timestamp>,
    /// When the tenant was last reminded that the grace runs out (US-NUM-012).
    pub reminded_at: Option<Timestamp>,
    /// A vanity lease: priced apart, and with a longer cool-down.
    pub vanity: bool,
    /// Whether the tenant's own recall is refused.
    pub locked: bool,
    /// What was agreed.
    pub price: Price,
}

impl Lease {
    /// When the right to send ends for a term that ends at `effective_until`.
    #[must_use]
    pub fn end_with_grace(effective_until: Timestamp, vanity: bool, auto_renew: bool, policy: &Policy) -> Timestamp {
        if vanity && auto_renew { later(effective_until, policy.vanity_grace) } else { effective_until }
    }

    /// From when on its renewal may be asked for: within `renewal_window` of its end, not before its term has begun, and not
    /// before the next attempt after a refusal. `None` where it is not renewed.
    #[must_use]
    pub fn renewal_due_at(&self, policy: &Policy) -> Option<Timestamp> {
        let window_opens = later(self.effective_until, -policy.renewal_window);
        let retry_at = self.renewal_retry_at.unwrap_or(Timestamp::MIN);
        self.auto_renew.then(|| window_opens.max(self.effective_from).max(retry_at))
    }

    /// When the tenant is next to be reminded that the grace runs out: at its beginning, then every `reminder_interval`.
    /// `None` where there is no grace, or no reminder before its end.
    #[must_use]
    pub fn reminder_due_at(&self, policy: &Policy) -> Option<Timestamp> {
        let due = self.reminded_at.map_or(self.effective_until, |last| later(last, policy.reminder_interval));
        (due < self.ends_at).then_some(due)
    }

    /// Until when this lease is known to be good, as seen at `now`: within grace, that is the end of grace.
    #[must_use]
    pub fn good_until(&self, now: Timestamp) -> Timestamp {
        if now < self.effective_until { self.effective_until } else { self.ends_at }
    }
}

/// How a lease stands, as its row and the REST interface say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// In force.
    Leased,
    /// Suspended by an admin.
    Suspended,
    /// Ended by a recall.
    Recalled,
    /// Ended by time.
    Expired,
    /// Went on under another lease id.
    Renewed,
}

impl LeaseState {
    /// The state as the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leased => "LEASED",
            Self::Suspended => "SUSPENDED",
            Self::Recalled => "RECALLED",
            Self::Expired => "EXPIRED",
            Self::Renewed => "RENEWED",
        }
    }

    /// Reads the contract's word for a state.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Leased, Self::Suspended, Self::Recalled, Self::Expired, Self::Renewed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What validation needs to know of a number, as of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number's version that this was taken of.
    pub version: i64,
    /// The facts.
    pub facts: Facts,
}

/// The facts of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Nobody's lease.
    Unleased,
    /// Resting until then after a lease that ended like this.
    Resting {
        /// How the lease ended.
        ended_by: EndedBy,
        /// When the rest is over.
        until: Timestamp,
    },
    /// Somebody's lease.
    Leased {
        /// Whose.
        tenant: TenantId,
        /// Which.
        lease_id: LeaseId,
        /// The end of its term.
        effective_until: Timestamp,
        /// The end of the right to send.
        ends_at: Timestamp,
        /// Suspended by an admin.
        suspended: bool,
    },
}

impl From<&Number> for Snapshot {
    fn from(number: &Number) -> Self {
        let leased = |lease: &Lease, suspended| Facts::Leased {
            tenant: lease.tenant.clone(),
            lease_id: lease.lease_id,
            effective_until: lease.effective_until,
            ends_at: lease.ends_at,
            suspended,
        };
        let facts = match &number.state {
            State::Available | State::Reserved(_) | State::Held(_) => Facts::Unleased,
            State::Quarantine(rest) => Facts::Resting { ended_by: rest.ended_by, until: rest.available_at },
            State::Leased(lease) => leased(lease, false),
            State::Suspended(lease) => leased(lease, true),
        };
        Self { version: number.version, facts }
    }
}

/// Why a tenant may not send, in the order checked (contract, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The text is no identifier.
    InvalidIdentifier,
    /// Not in the inventory.
    NotRegistered,
    /// Nobody's lease.
    NotLeased,
    /// Resting after a recall.
    LeaseRecalled,
    /// The lease has run out.
    LeaseExpired,
    /// Another tenant's lease.
    WrongTenant,
    /// The holder is suspended.
    TenantSuspended,
    /// The lease is suspended.
    LeaseSuspended,
}

/// The answer to "may this tenant send as this identifier, now?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, under this lease, until then.
    Valid {
        /// The lease that says so.
        lease_id: LeaseId,
        /// Until when, were nothing to change.
        until: Timestamp,
    },
    /// No.
    Refused(Refusal),
}

/// Whether `tenant` may send, by this snapshot, at `now` (US-NUM-002). `tenant_suspended` says how the holder stands. A text that
/// no tenant can bear is no holder's name, and gets what any other tenant gets.
#[must_use]
pub fn validate(snapshot: &Snapshot, tenant: &str, tenant_suspended: bool, now: Timestamp) -> Verdict {
    match &snapshot.facts {
        Facts::Unleased => Verdict::Refused(Refusal::NotLeased),
        Facts::Resting { until, .. } if now >= *until => Verdict::Refused(Refusal::NotLeased),
        Facts::Resting { ended_by: EndedBy::Recall, .. } => Verdict::Refused(Refusal::LeaseRecalled),
        Facts::Resting { ended_by: EndedBy::Expiry, .. } => Verdict::Refused(Refusal::LeaseExpired),
        Facts::Leased { ends_at, .. } if now >= *ends_at => Verdict::Refused(Refusal::LeaseExpired),
        Facts::Leased { tenant: holder, .. } if holder.as_str() != tenant => Verdict::Refused(Refusal::WrongTenant),
        Facts::Leased { .. } if tenant_suspended => Verdict::Refused(Refusal::TenantSuspended),
        Facts::Leased { suspended: true, .. } => Verdict::Refused(Refusal::LeaseSuspended),
        Facts::Leased { lease_id, effective_until, ends_at, suspended: false, .. } => Verdict::Valid {
            lease_id: *lease_id,
            until: if now < *effective_until { *effective_until } else { *ends_at },
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn leased(suspended: bool) -> Snapshot {
        Snapshot {
            version: 7,
            facts: Facts::Leased {
                tenant: TenantId::parse("tenant-a").unwrap(),
                lease_id: LeaseId(Uuid::nil()),
                effective_until: at(100),
                ends_at: at(150),
                suspended,
            },
        }
    }

    fn resting(ended_by: EndedBy) -> Snapshot {
        Snapshot { version: 8, facts: Facts::Resting { ended_by, until: at(100) } }
    }

    #[test]
    fn the_reasons_are_checked_in_the_contract_s_order() {
        let (holder, other, nobody) = ("tenant-a", "tenant-b", "no tenant can be called so");
        let unleased = Snapshot { version: 1, facts: Facts::Unleased };
        for (snapshot, tenant, tenant_suspended, now, refusal) in [
            (&unleased, holder, true, at(0), Refusal::NotLeased),
            (&resting(EndedBy::Recall), holder, true, at(0), Refusal::LeaseRecalled),
            (&resting(EndedBy::Recall), holder, true, at(100), Refusal::NotLeased),
            (&resting(EndedBy::Expiry), other, true, at(99), Refusal::LeaseExpired),
            (&leased(true), other, true, at(150), Refusal::LeaseExpired),
            (&leased(true), other, true, at(149), Refusal::WrongTenant),
            (&leased(true), nobody, true, at(149), Refusal::WrongTenant),
            (&leased(false), "", false, at(0), Refusal::WrongTenant),
            (&leased(true), holder, true, at(0), Refusal::TenantSuspended),
            (&leased(true), holder, false, at(0), Refusal::LeaseSuspended),
        ] {
            assert_eq!(validate(snapshot, tenant, tenant_suspended, now), Verdict::Refused(refusal));
        }
    }

    #[test]
    fn a_lease_is_valid_to_its_holder_until_its_grace_has_passed() {
        let holder = "tenant-a";
        for (now, until) in [(at(0), at(100)), (at(99), at(100)), (at(100), at(150)), (at(149), at(150))] {
            let valid = Verdict::Valid { lease_id: LeaseId(Uuid::nil()), until };
            assert_eq!(validate(&leased(false), holder, false, now), valid);
        }
    }
}
