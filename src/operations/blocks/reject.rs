//! Rows that an import turns away, one by one, while the rest comes in.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use numbering_domain::InvalidIdentifier;

/// The most characters of a rejected value that are kept.
const VALUE_MOST_CHARS: usize = 80;

/// Why a row, or an item of the inventory, was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// No identifier of the numbering plan.
    InvalidIdentifier,
    /// An emergency or public service number.
    NeverLeasable,
    /// The longest prefix that matches belongs to another operator, or to none.
    WrongOperator,
    /// Neither an RFC 3339 date nor a time.
    InvalidValidFrom,
    /// Neither `true` nor `false`.
    InvalidVanity,
    /// Not on the price list for the identifier's class.
    UnknownPriceTier,
    /// A mobile number outside a signed block.
    MsisdnNeedsBlock,
}

impl RejectReason {
    /// The reason as it is stored and answered.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidIdentifier => "INVALID_IDENTIFIER",
            Self::NeverLeasable => "NEVER_LEASABLE",
            Self::WrongOperator => "WRONG_OPERATOR",
            Self::InvalidValidFrom => "INVALID_VALID_FROM",
            Self::InvalidVanity => "INVALID_VANITY",
            Self::UnknownPriceTier => "UNKNOWN_PRICE_TIER",
            Self::MsisdnNeedsBlock => "MSISDN_NEEDS_BLOCK",
        }
    }
}

impl From<InvalidIdentifier> for RejectReason {
    fn from(why: InvalidIdentifier) -> Self {
        match why {
            InvalidIdentifier::NeverLeasable => Self::NeverLeasable,
            InvalidIdentifier::Msisdn | InvalidIdentifier::ShortCode | InvalidIdentifier::Alpha => {
                Self::InvalidIdentifier
            }
        }
    }
}

/// One that was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The line of the file, its header being 1; of the inventory the item's place, from 0.
    pub line: u64,
    /// The value at fault, shortened, control characters replaced.
    pub value: String,
    /// Why.
    pub reason: RejectReason,
}

impl Reject {
    /// Keeps what is at fault in a form that is safe to store and to show.
    #[must_use]
    pub fn new(line: u64, value: &str, reason: RejectReason) -> Self {
        let safe = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        Self { line, value: value.chars().take(VALUE_MOST_CHARS).map(safe).collect(), reason }
    }
}

/// Whether it is a date without a time.
#[must_use]
pub const fn is_a_day(text: &str) -> bool {
    text.len() == "2026-01-31".len()
}

/// Reads an RFC 3339 date, which means midnight UTC, or time.
#[must_use]
pub fn parse_valid_from(text: &str) -> Option<Timestamp> {
    if is_a_day(text) {
        has_shape(text.as_bytes(), b"0000-00-00").then_some(())?;
        let date: Date = text.parse().ok()?;
        return Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    // Checked by hand, as the time library reads more than RFC 3339.
    let (seconds, rest) = text.split_at_checked("2026-01-31T23:59:59".len())?;
    let upper = seconds.replace('t', "T");
    has_shape(upper.as_bytes(), b"0000-00-00T00:00:00").then_some(())?;
    let digits = rest.strip_prefix('.').map_or(0, |fraction| fraction.bytes().take_while(u8::is_ascii_digit).count());
    let offset = if rest.starts_with('.') { rest.get(1 + digits..)? } else { rest };
    let fraction_is_whole = !rest.starts_with('.') || (1..=9).contains(&digits);
    let offset_is_whole = matches!(offset, "Z" | "z")
        || has_shape(offset.as_bytes(), b"+00:00")
        || has_shape(offset.as_bytes(), b"-00:00");
    (fraction_is_whole && offset_is_whole).then_some(())?;
    text.to_ascii_uppercase().parse().ok()
}

/// Whether the text is the shape, `0` in it standing for any ASCII digit.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, of)| if *of == b'0' { byte.is_ascii_digit() } else { byte == of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_means_midnight_utc_and_a_time_itself() {
        for (text, means) in [
            ("2026-05-01", "2026-05-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2026-05-01T06:30:00Z", "2026-05-01T06:30:00Z"),
            ("2026-05-01t06:30:00z", "2026-05-01T06:30:00Z"),
            ("2026-05-01T06:30:00.123456+04:30", "2026-05-01T02:00:00.123456Z"),
            ("2026-05-01T06:30:00-00:30", "2026-05-01T07:00:00Z"),
        ] {
            assert_eq!(parse_valid_from(text), Some(means.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_valid_from() {
        for text in [
            "",
            "tomorrow",
            "2026-5-1",
            "20260501",
            "2026-02-30",
            "2026-13-01",
            "+02026-05-01",
            "2026-05-01T06:30:00",
            "2026-05-01 06:30:00Z",
            "2026-05-01T06:30Z",
            "2026-05-01T24:30:00Z",
            "2026-05-01T06:30:00+04",
            "2026-05-01T06:30:00+0430",
            "2026-05-01T06:30:00,5Z",
            "2026-05-01T06:30:00.Z",
            "2026-05-01T06:30:00.1234567890Z",
            "2026-05-01T06:30:00Z[UTC]",
            "2026-05-01T06:30:00Z ",
            "۲۰۲۶-05-01",
            "2026-W18-5",
        ] {
            assert_eq!(parse_valid_from(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_rejected_value_is_bounded_and_printable() {
        let reject = Reject::new(7, &format!("a\0\u{1b}[31m{}", "x".repeat(500)), RejectReason::InvalidVanity);
        assert!(reject.value.starts_with("a\u{fffd}\u{fffd}[31mxxx"), "{}", reject.value);
        assert_eq!(reject.value.chars().count(), VALUE_MOST_CHARS);
    }
}
