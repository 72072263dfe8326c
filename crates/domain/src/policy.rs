//! The durations that operations may change: how long a claim lasts and how long a number rests.

use jiff::{SignedDuration, Timestamp};

use crate::identifier::IdentifierClass;

/// What the configuration's `policy` says. Defaults are the stories' own (US-NUM-004, 007, 008, 012).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a RESERVED claim lasts.
    pub reservation_ttl: SignedDuration,
    /// How long it may last in all, from its first moment on, however often it is extended.
    pub reservation_ceiling: SignedDuration,
    /// How long a HELD claim lasts.
    pub hold_ttl: SignedDuration,
    /// How long before `effectiveUntil` a lease may be renewed.
    pub renewal_window: SignedDuration,
    /// How long after a refused renewal it is asked for again (US-NUM-005: daily).
    pub renewal_retry: SignedDuration,
    /// How often a tenant is reminded while the grace of a vanity lease runs (US-NUM-012: daily).
    pub reminder_interval: SignedDuration,
    /// How long a vanity lease with automatic renewal stays valid past `effectiveUntil`.
    pub vanity_grace: SignedDuration,
    /// Cool-down after an MSISDN's lease.
    pub quarantine_msisdn: SignedDuration,
    /// Cool-down after a short code's lease.
    pub quarantine_short_code: SignedDuration,
    /// Cool-down after an alphanumeric sender ID's lease.
    pub quarantine_alpha: SignedDuration,
    /// Cool-down after a vanity lease, whatever the class.
    pub quarantine_vanity: SignedDuration,
}

const HOURS_PER_DAY: i64 = 24;

impl Default for Policy {
    fn default() -> Self {
        let days = |n: i64| SignedDuration::from_hours(n * HOURS_PER_DAY);
        Self {
            reservation_ttl: SignedDuration::from_mins(15),
            reservation_ceiling: SignedDuration::from_mins(60),
            hold_ttl: SignedDuration::from_hours(24),
            renewal_window: days(7),
            renewal_retry: days(1),
            reminder_interval: days(1),
            vanity_grace: days(14),
            quarantine_msisdn: days(90),
            quarantine_short_code: days(30),
            quarantine_alpha: days(0),
            quarantine_vanity: days(365),
        }
    }
}

impl Policy {
    /// How long a number of this class rests after a lease.
    #[must_use]
    pub fn cool_down(&self, class: IdentifierClass, vanity: bool) -> SignedDuration {
        if vanity {
            return self.quarantine_vanity;
        }
        match class {
            IdentifierClass::Msisdn => self.quarantine_msisdn,
            IdentifierClass::ShortCode => self.quarantine_short_code,
            IdentifierClass::Alpha => self.quarantine_alpha,
        }
    }
}

/// `from + duration`, held at the end of representable time rather than wrapping.
#[must_use]
pub(crate) fn later(from: Timestamp, duration: SignedDuration) -> Timestamp {
    from.checked_add(duration).unwrap_or(Timestamp::MAX)
}
