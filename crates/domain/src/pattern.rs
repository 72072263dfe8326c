//! Patterns that identifiers are searched by (US-NUM-014): `*` stands for any run of characters, `?` for one.
//!
//! What must stay true: a pattern is bounded, and what a database makes of it is made here, every character of its own
//! escaped.

use crate::identifier::IdentifierClass;

/// The longest pattern, in characters.
const LONGEST: usize = 32;
/// The most wildcards of a pattern.
const WILDCARDS_MOST: usize = 8;

/// A pattern in canonical form: capitals, runs of `*` as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Empty, or too long.
    #[error("a pattern has 1 to {LONGEST} characters")]
    Length,
    /// A character that no identifier of the class has.
    #[error("a pattern has the characters of the identifiers it is for, and the wildcards * (any run) and ? (any one)")]
    Character,
    /// Too many wildcards.
    #[error("a pattern has {WILDCARDS_MOST} wildcards at most")]
    Wildcards,
}

impl Pattern {
    /// Parses a pattern for identifiers of this class. Mobile numbers may be written without their `+`.
    ///
    /// # Errors
    /// [`InvalidPattern`] where it is empty, too long, holds what no identifier of the class holds, or too many wildcards.
    pub fn parse(text: &str, class: IdentifierClass) -> Result<Self, InvalidPattern> {
        if !(1..=LONGEST).contains(&text.len()) {
            return Err(InvalidPattern::Length);
        }
        let is_wildcard = |c: char| matches!(c, '*' | '?');
        let fits = |(place, c): (usize, char)| {
            is_wildcard(c)
                || match class {
                    IdentifierClass::Msisdn => c.is_ascii_digit() || (place == 0 && c == '+'),
                    IdentifierClass::ShortCode => c.is_ascii_digit(),
                    IdentifierClass::Alpha => c.is_ascii_alphanumeric() || " -_&+".contains(c),
                }
        };
        if !text.char_indices().all(fits) {
            return Err(InvalidPattern::Character);
        }
        let mut canonical = String::with_capacity(text.len() + 1);
        if class == IdentifierClass::Msisdn && !text.starts_with(['+', '*']) {
            canonical.push('+');
        }
        for c in text.chars() {
            if !(c == '*' && canonical.ends_with('*')) {
                canonical.push(c.to_ascii_uppercase());
            }
        }
        if canonical.chars().filter(|c| is_wildcard(*c)).count() > WILDCARDS_MOST {
            return Err(InvalidPattern::Wildcards);
        }
        Ok(Self(canonical.into()))
    }

    /// The pattern in canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What every identifier that it finds begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.split(['*', '?']).next().unwrap_or_default()
    }

    /// The same as a pattern of SQL's `LIKE`, with `\` as its escape.
    #[must_use]
    pub fn like(&self) -> String {
        let mut like = String::with_capacity(self.0.len() * 2);
        for c in self.0.chars() {
            match c {
                '*' => like.push('%'),
                '?' => like.push('_'),
                '%' | '_' | '\\' => like.extend(['\\', c]),
                c => like.push(c),
            }
        }
        like
    }

    /// Whether it finds this canonical identifier.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        let (pattern, key) = (self.0.as_bytes(), key.as_bytes());
        // Where to go on when what follows the last `*` does not fit: that `*` takes one more.
        let (mut at, mut from, mut retry) = (0, 0, None);
        while from < key.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    retry = Some((at + 1, from + 1));
                    at += 1;
                }
                Some(b'?') => (at, from) = (at + 1, from + 1),
                Some(c) if *c == key[from] => (at, from) = (at + 1, from + 1),
                _ => {
                    let Some((again, next)) = retry else { return false };
                    (at, from) = (again, next);
                    retry = Some((again, next + 1));
                }
            }
        }
        pattern[at..].iter().all(|c| *c == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSISDN: IdentifierClass = IdentifierClass::Msisdn;
    const SHORT_CODE: IdentifierClass = IdentifierClass::ShortCode;
    const ALPHA: IdentifierClass = IdentifierClass::Alpha;

    #[test]
    fn patterns_are_canonical_or_refused() {
        for (text, class, canonical, prefix, like) in [
            ("bank*", ALPHA, "BANK*", "BANK", "BANK%"),
            ("b?nk", ALPHA, "B?NK", "B", "B_NK"),
            ("my_b*", ALPHA, "MY_B*", "MY_B", "MY\\_B%"),
            ("**77***8", SHORT_CODE, "*77*8", "", "%77%8"),
            ("9370*", MSISDN, "+9370*", "+9370", "+9370%"),
            ("+93?0*7", MSISDN, "+93?0*7", "+93", "+93_0%7"),
            ("*777", MSISDN, "*777", "", "%777"),
            ("?", MSISDN, "+?", "+", "+_"),
        ] {
            let pattern = Pattern::parse(text, class).unwrap();
            assert_eq!(
                (pattern.as_str(), pattern.prefix(), pattern.like().as_str()),
                (canonical, prefix, like),
                "{text}"
            );
        }
        for (text, class, why) in [
            ("", ALPHA, InvalidPattern::Length),
            (&"a".repeat(33), ALPHA, InvalidPattern::Length),
            ("b%", ALPHA, InvalidPattern::Character),
            ("b\\", ALPHA, InvalidPattern::Character),
            ("bänk", ALPHA, InvalidPattern::Character),
            ("۹۳*", MSISDN, InvalidPattern::Character),
            ("93+1", MSISDN, InvalidPattern::Character),
            ("4a", SHORT_CODE, InvalidPattern::Character),
            ("a*b*c*d*e*f*g*h*i*", ALPHA, InvalidPattern::Wildcards),
        ] {
            assert_eq!(Pattern::parse(text, class), Err(why), "{text}");
        }
    }

    #[test]
    fn a_pattern_finds_what_it_says() {
        for (pattern, key, found) in [
            ("BANK*", "BANK", true),
            ("BANK*", "BANK OF A", true),
            ("BANK*", "MYBANK", false),
            ("*BANK", "MYBANK", true),
            ("*A*B*", "XAXXBX", true),
            ("*AB", "AAAB", true),
            ("*AB", "ABA", false),
            ("?A", "A", false),
            ("?A", "BA", true),
            ("A", "AB", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::parse(pattern, ALPHA).unwrap().matches(key), found, "{pattern} {key}");
        }
    }
}
