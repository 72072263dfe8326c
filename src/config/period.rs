//! A length of time as an operator writes it: `500ms`, `2s`, `15m`, `24h`, `90d`.
//!
//! A day is 24 hours here. Calendar lengths (months, years) are terms of leases, which the domain knows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The longest period there is: a hundred years. What is longer is a slip of the hand.
const LONGEST_MS: u64 = 36_525 * 86_400_000;

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    ms: u64,
}

/// The text is no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no length of time: write a whole number and a unit, such as 500ms, 2s, 15m, 24h or 90d (100 years at most)"
)]
pub struct InvalidPeriod;

impl Period {
    /// A period of so many milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self { ms }
    }

    /// A period of so many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self { ms: seconds * 1_000 }
    }

    /// A period of so many minutes.
    #[must_use]
    pub const fn from_mins(minutes: u64) -> Self {
        Self::from_secs(minutes * 60)
    }

    /// A period of so many hours.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_mins(hours * 60)
    }

    /// A period of so many days of 24 hours.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_hours(days * 24)
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.ms
    }

    /// Whether there is no time in it.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.ms == 0
    }

    /// For timers of the runtime.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }

    /// For reckoning with timestamps.
    #[must_use]
    pub fn signed(self) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.ms).unwrap_or(i64::MAX))
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let count: u64 = count.parse().map_err(|_| InvalidPeriod)?;
        let (_, unit_ms) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidPeriod)?;
        match count.checked_mul(unit_ms) {
            Some(ms) if ms <= LONGEST_MS => Ok(Self { ms }),
            _ => Err(InvalidPeriod),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit_ms) = UNITS
            .into_iter()
            .rev()
            .find(|(_, unit_ms)| self.ms != 0 && self.ms.is_multiple_of(*unit_ms))
            .unwrap_or(("s", 1_000));
        write!(f, "{}{name}", self.ms / unit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_and_print_in_the_largest_unit_that_fits() {
        for (text, ms, shown) in [
            ("500ms", 500, "500ms"),
            ("2s", 2_000, "2s"),
            ("15m", 900_000, "15m"),
            ("24h", 86_400_000, "1d"),
            ("90d", 7_776_000_000, "90d"),
            ("1500ms", 1_500, "1500ms"),
            ("0d", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.millis(), ms, "{text}");
            assert_eq!(period.to_string(), shown);
            assert_eq!(shown.parse(), Ok(period));
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in
            ["", "s", "5", "-1s", "+1s", "1.5s", "1 s", " 1s", "1w", "1S", "٣s", "36526d", "18446744073709551615d"]
        {
            assert_eq!(text.parse::<Period>(), Err(InvalidPeriod), "{text:?}");
        }
    }
}
