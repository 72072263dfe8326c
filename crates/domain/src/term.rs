//! For how long a lease runs: `30d`, `6m`, `1y` in calendar months and years, UTC.

use std::fmt;

use jiff::{Span, Timestamp, tz::TimeZone};

use crate::price::MONTHS_PER_YEAR;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Seconds,
    Hours,
    Days,
    Months,
    Years,
}

/// The longest term in each unit: ten years, or what is as long.
const LONGEST_YEARS: u16 = 10;

const DAYS_PER_YEAR: u64 = 365;
const HOURS_PER_YEAR: u64 = DAYS_PER_YEAR * 24;
const SECONDS_PER_YEAR: u64 = HOURS_PER_YEAR * 3_600;

/// A term, kept as it was asked for, so that each renewal runs as long again by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    count: u16,
    unit: Unit,
}

/// The text is no term, or not one that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a term is a number of days, months or years up to ten years, such as 30d, 6m or 1y")]
pub struct InvalidTerm;

impl Term {
    /// Parses a term. `short_terms` also admits `<n>s` and `<n>h`, for trying things out (`policy.short_terms`).
    ///
    /// # Errors
    /// [`InvalidTerm`] for any other shape, zero, a leading zero, or more than ten years.
    pub fn parse(text: &str, short_terms: bool) -> Result<Self, InvalidTerm> {
        let unit = match text.as_bytes().last() {
            Some(b'd') => Unit::Days,
            Some(b'm') => Unit::Months,
            Some(b'y') => Unit::Years,
            Some(b's') if short_terms => Unit::Seconds,
            Some(b'h') if short_terms => Unit::Hours,
            _ => return Err(InvalidTerm),
        };
        let digits = &text[..text.len() - 1];
        if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidTerm);
        }
        let count: u16 = digits.parse().map_err(|_| InvalidTerm)?;
        let longest = match unit {
            Unit::Seconds | Unit::Hours => u16::MAX,
            Unit::Days => LONGEST_YEARS * 366,
            Unit::Months => LONGEST_YEARS * 12,
            Unit::Years => LONGEST_YEARS,
        };
        if count > longest { Err(InvalidTerm) } else { Ok(Self { count, unit }) }
    }

    /// Whether a vanity lease may have this term: `1y` or `3y` only (US-NUM-012), and the short ones that exist for trying
    /// things out, which nothing else could try a vanity lease's grace with.
    #[must_use]
    pub const fn offered_for_vanity(self) -> bool {
        matches!((self.unit, self.count), (Unit::Years, 1 | 3) | (Unit::Seconds | Unit::Hours, _))
    }

    /// Its length for reckoning what it costs: so many months, divided by so many parts.
    pub(crate) fn months(self) -> (u64, u64) {
        let count = u64::from(self.count);
        match self.unit {
            Unit::Months => (count, 1),
            Unit::Years => (count * MONTHS_PER_YEAR, 1),
            Unit::Days => (count * MONTHS_PER_YEAR, DAYS_PER_YEAR),
            Unit::Hours => (count * MONTHS_PER_YEAR, HOURS_PER_YEAR),
            Unit::Seconds => (count * MONTHS_PER_YEAR, SECONDS_PER_YEAR),
        }
    }

    /// The end of a term that starts then, by the UTC calendar: a month from 31 January is the last day of February.
    #[must_use]
    pub fn end(self, start: Timestamp) -> Timestamp {
        let count = i64::from(self.count);
        let span = match self.unit {
            Unit::Seconds => Span::new().seconds(count),
            Unit::Hours => Span::new().hours(count),
            Unit::Days => Span::new().days(count),
            Unit::Months => Span::new().months(count),
            Unit::Years => Span::new().years(count),
        };
        start.to_zoned(TimeZone::UTC).checked_add(span).map_or(Timestamp::MAX, |end| end.timestamp())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Seconds => 's',
            Unit::Hours => 'h',
            Unit::Days => 'd',
            Unit::Months => 'm',
            Unit::Years => 'y',
        };
        write!(f, "{}{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_run_by_the_calendar() {
        for (term, start, end) in [
            ("30d", "2026-01-15T08:00:00Z", "2026-02-14T08:00:00Z"),
            ("1m", "2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z"),
            ("6m", "2026-03-01T00:00:00.000001Z", "2026-09-01T00:00:00.000001Z"),
            ("1y", "2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z"),
        ] {
            let parsed = Term::parse(term, false).unwrap();
            assert_eq!(parsed.end(start.parse().unwrap()), end.parse().unwrap(), "{term}");
            assert_eq!(parsed.to_string(), term);
        }
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        for text in
            ["", "d", "0d", "01d", "-1d", "+1d", "1w", "1", "1.5y", "11y", "121m", "99999999d", "1s", "1h", " 1d", "۱d"]
        {
            assert_eq!(Term::parse(text, false), Err(InvalidTerm), "{text:?}");
        }
        assert!(Term::parse("2s", true).is_ok());
    }

    #[test]
    fn vanity_is_leased_by_the_year_or_three() {
        let offered = |text: &str| Term::parse(text, false).unwrap().offered_for_vanity();
        assert!(offered("1y") && offered("3y"));
        assert!(!offered("2y") && !offered("12m") && !offered("365d"));
        assert!(Term::parse("20s", true).unwrap().offered_for_vanity());
    }
}
