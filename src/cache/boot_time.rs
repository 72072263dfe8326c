//! A clock that never jumps and counts the time that the machine or the process was asleep.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment since this machine was started, suspended time included (`CLOCK_BOOTTIME`).
///
/// `std::time::Instant` stands still while a machine is suspended: what was fresh before would seem fresh after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
        // Neither is ever negative on this clock.
        Self(Duration::new(u64::try_from(tv_sec).unwrap_or(0), u32::try_from(tv_nsec).unwrap_or(0)))
    }

    /// How long ago `earlier` was; nothing where it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let earlier = BootTime::now();
        std::thread::sleep(Duration::from_millis(2));
        let later = BootTime::now();
        assert!(later.since(earlier) >= Duration::from_millis(2));
        assert_eq!(earlier.since(later), Duration::ZERO);
    }
}
