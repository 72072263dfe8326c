//! A clock that goes on while the machine sleeps and the process is frozen, for promises that end at a moment: a
//! leadership, a watermark. `std::time::Instant` stands still during suspend, so that whoever wakes up would believe
//! that its promise still holds.

use std::time::Duration;

use jiff::SignedDuration;
use rustix::time::{ClockId, clock_gettime};

/// A moment by `CLOCK_BOOTTIME`: only comparable within this machine and boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant {
    since_boot: Duration,
}

impl BootInstant {
    /// The present moment.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
        Self { since_boot: Duration::new(seconds, nanoseconds) }
    }

    /// The moment `length` later, held at the end of representable time.
    #[must_use]
    pub const fn after(self, length: Duration) -> Self {
        Self { since_boot: self.since_boot.saturating_add(length) }
    }

    /// How long it is from now until this moment; nothing once it has come.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.since_boot.saturating_sub(Self::now().since_boot)
    }

    /// How long this moment is after an earlier one; nothing where it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> SignedDuration {
        SignedDuration::try_from(self.since_boot.saturating_sub(earlier.since_boot)).unwrap_or(SignedDuration::MAX)
    }

    /// How long ago this moment was; nothing while it has not come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().since_boot.saturating_sub(self.since_boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_and_stays_past() {
        let start = BootInstant::now();
        let later = start.after(Duration::from_mins(1));
        assert!(later > start);
        assert!(later.remaining() > Duration::from_secs(50) && later.elapsed().is_zero());
        assert!(start.remaining().is_zero());
        assert_eq!(later.since(start), SignedDuration::from_mins(1));
        assert_eq!(start.since(later), SignedDuration::ZERO);
    }
}
