//! A number: an identifier in the inventory, with its state. A state carries its data, so that what cannot be is not sayable.

use jiff::Timestamp;

use crate::identifier::Identifier;
use crate::ids::{BlockId, LeaseId, OperatorId, ReservationId, TenantId};
use crate::lease::Lease;

/// A tenant's RESERVED or HELD claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The claim's id.
    pub reservation_id: ReservationId,
    /// Whose claim it is.
    pub tenant: TenantId,
    /// Since when it is; it may be extended up to the policy's ceiling from there.
    pub since: Timestamp,
    /// From then on it is a claim no more, whether or not a sweep has come by.
    pub expires_at: Timestamp,
}

/// How the lease before a quarantine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// It was recalled.
    Recall,
    /// It ran out.
    Expiry,
}

impl EndedBy {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recall => "RECALL",
            Self::Expiry => "EXPIRY",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Recall, Self::Expiry].into_iter().find(|word| word.as_str() == text)
    }
}

/// The rest after a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// When the rest is over.
    pub available_at: Timestamp,
    /// How the lease ended.
    pub ended_by: EndedBy,
    /// The lease that ended.
    pub lease_id: LeaseId,
}

/// The life of a number (contract, section 2). RECALLED is passed through within one commit and never rests in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody's.
    Available,
    /// Pinned while a tenant browses (US-NUM-007).
    Reserved(Reservation),
    /// Pinned while a tenant builds (US-NUM-008).
    Held(Reservation),
    /// A tenant's to send from (US-NUM-003).
    Leased(Lease),
    /// Leased, and suspended by an admin.
    Suspended(Lease),
    /// Resting (US-NUM-006).
    Quarantine(Quarantine),
}

/// A state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateName {
    /// See [`State::Available`].
    Available,
    /// See [`State::Reserved`].
    Reserved,
    /// See [`State::Held`].
    Held,
    /// See [`State::Leased`].
    Leased,
    /// See [`State::Suspended`].
    Suspended,
    /// Between a recall and what follows it in the same commit.
    Recalled,
    /// See [`State::Quarantine`].
    Quarantine,
}

impl StateName {
    /// All states, in the order of a number's life.
    pub const ALL: [Self; 7] =
        [Self::Available, Self::Reserved, Self::Held, Self::Leased, Self::Suspended, Self::Recalled, Self::Quarantine];

    /// The state as the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Reserved => "RESERVED",
            Self::Held => "HELD",
            Self::Leased => "LEASED",
            Self::Suspended => "SUSPENDED",
            Self::Recalled => "RECALLED",
            Self::Quarantine => "QUARANTINE",
        }
    }

    /// Reads the contract's word for a state.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl State {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Available => StateName::Available,
            Self::Reserved(_) => StateName::Reserved,
            Self::Held(_) => StateName::Held,
            Self::Leased(_) => StateName::Leased,
            Self::Suspended(_) => StateName::Suspended,
            Self::Quarantine(_) => StateName::Quarantine,
        }
    }

    /// When time alone moves the number on; `None` where it does not.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Available => None,
            Self::Reserved(claim) | Self::Held(claim) => Some(claim.expires_at),
            Self::Leased(lease) | Self::Suspended(lease) => Some(lease.ends_at),
            Self::Quarantine(rest) => Some(rest.available_at),
        }
    }

    /// Whose claim or lease it is.
    #[must_use]
    pub const fn holder(&self) -> Option<&TenantId> {
        match self {
            Self::Available | Self::Quarantine(_) => None,
            Self::Reserved(claim) | Self::Held(claim) => Some(&claim.tenant),
            Self::Leased(lease) | Self::Suspended(lease) => Some(&lease.tenant),
        }
    }

    /// The same state with the lease in force replaced: suspended where it was.
    pub(crate) fn with_lease(&self, lease: Lease) -> Self {
        match self {
            Self::Suspended(_) => Self::Suspended(lease),
            Self::Available | Self::Reserved(_) | Self::Held(_) | Self::Leased(_) | Self::Quarantine(_) => {
                Self::Leased(lease)
            }
        }
    }

    /// The lease in force, suspended or not.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Available | Self::Reserved(_) | Self::Held(_) | Self::Quarantine(_) => None,
            Self::Leased(lease) | Self::Suspended(lease) => Some(lease),
        }
    }
}

/// A tenant barred from a number whose lease it had, until the cool-down that followed would have ended (self-bypass,
/// US-NUM-006). An admin's override ends the quarantine, not the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Who may not take the number.
    pub tenant: TenantId,
    /// Until when.
    pub until: Timestamp,
}

/// A number as of one version of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// What it is.
    pub identifier: Identifier,
    /// As registered; what people are shown.
    pub shown: Box<str>,
    /// The operator it comes from; none for short codes and alphanumeric sender IDs.
    pub operator: Option<OperatorId>,
    /// The block it came in (`originatingBlockId`).
    pub block: Option<BlockId>,
    /// Whether it may be leased as vanity.
    pub vanity_eligible: bool,
    /// Which price it has.
    pub price_tier: String,
    /// Before then it is not offered.
    pub valid_from: Option<Timestamp>,
    /// One more with each journal entry; the first is 1, the block's import being 0.
    pub version: i64,
    /// Where it is in its life, as last written; see [`Number::at`] for the truth at a moment.
    pub state: State,
    /// Who may not take it.
    pub bars: Vec<Bar>,
}

impl Number {
    /// Until when `tenant` is barred, where it is at `now`.
    #[must_use]
    pub fn barred_until(&self, tenant: &TenantId, now: Timestamp) -> Option<Timestamp> {
        self.bars.iter().filter(|bar| bar.tenant == *tenant && now < bar.until).map(|bar| bar.until).max()
    }
}
