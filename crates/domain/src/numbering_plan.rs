//! The national numbering plan: what an identifier looks like, and which operator owns which prefix.
//!
//! Another country is another value of [`NumberingPlan`] and other prefixes, not other code.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::identifier::{Identifier, IdentifierClass, InvalidIdentifier, RegisteredIdentifier};
use crate::ids::OperatorId;

const ALPHA_LENGTH: std::ops::RangeInclusive<usize> = 3..=11;
const SHORT_CODE_LENGTH: std::ops::RangeInclusive<usize> = 3..=6;

/// The shape of the identifiers of one country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberingPlan {
    /// The country calling code without `+`, such as `93`.
    pub country_code: String,
    /// How many digits follow the country code.
    pub national_digits: usize,
    /// Short codes that nobody may lease.
    pub never_leasable: BTreeSet<String>,
}

impl NumberingPlan {
    /// The one canonicaliser, with the spelling that was given. ASCII only: no other script's digits, no trimming, no folding
    /// but of ALPHA's case.
    ///
    /// # Errors
    /// [`InvalidIdentifier`], by the class that the text's shape points to.
    pub fn parse(&self, text: &str) -> Result<RegisteredIdentifier, InvalidIdentifier> {
        let (class, key) = self.canonical(text)?;
        Ok(RegisteredIdentifier { identifier: Identifier::from_canonical(class, &key), shown: text.into() })
    }

    /// The class and the canonical key of what a text names; nothing is copied where the text is canonical already.
    ///
    /// # Errors
    /// [`InvalidIdentifier`], by the class that the text's shape points to.
    pub fn canonical<'a>(&self, text: &'a str) -> Result<(IdentifierClass, Cow<'a, str>), InvalidIdentifier> {
        if text.starts_with('+') {
            self.check_msisdn(text)?;
            Ok((IdentifierClass::Msisdn, Cow::Borrowed(text)))
        } else if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            self.check_short_code(text)?;
            Ok((IdentifierClass::ShortCode, Cow::Borrowed(text)))
        } else {
            check_alpha(text)?;
            let is_upper = !text.bytes().any(|b| b.is_ascii_lowercase());
            let key = if is_upper { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_uppercase()) };
            Ok((IdentifierClass::Alpha, key))
        }
    }

    fn check_msisdn(&self, text: &str) -> Result<(), InvalidIdentifier> {
        let national = text
            .strip_prefix('+')
            .and_then(|digits| digits.strip_prefix(self.country_code.as_str()))
            .ok_or(InvalidIdentifier::Msisdn)?;
        let fits = national.len() == self.national_digits && national.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(()) } else { Err(InvalidIdentifier::Msisdn) }
    }

    fn check_short_code(&self, text: &str) -> Result<(), InvalidIdentifier> {
        if !SHORT_CODE_LENGTH.contains(&text.len()) {
            return Err(InvalidIdentifier::ShortCode);
        }
        if self.never_leasable.contains(text) {
            return Err(InvalidIdentifier::NeverLeasable);
        }
        Ok(())
    }
}

fn check_alpha(text: &str) -> Result<(), InvalidIdentifier> {
    let bytes = text.as_bytes();
    let plain = bytes.iter().all(|b| b.is_ascii_alphanumeric() || b" -_&+".contains(b));
    let has_letter = bytes.iter().any(u8::is_ascii_alphabetic);
    let edge_space = text.starts_with(' ') || text.ends_with(' ');
    let fits = ALPHA_LENGTH.contains(&bytes.len()) && plain && has_letter && !edge_space && !text.contains("  ");
    if fits { Ok(()) } else { Err(InvalidIdentifier::Alpha) }
}

/// Which operator owns which prefix, prefixes written like MSISDNs (`+9370`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorPrefixes {
    owners: BTreeMap<String, OperatorId>,
}

impl OperatorPrefixes {
    /// The owner of the *longest* prefix of this number, with that prefix. Prefix depth is mixed in real plans, so a shorter
    /// prefix of another operator says nothing.
    #[must_use]
    pub fn longest_match(&self, msisdn: &str) -> Option<(&str, &OperatorId)> {
        (1..=msisdn.len()).rev().find_map(|length| {
            let (prefix, owner) = self.owners.get_key_value(msisdn.get(..length)?)?;
            Some((prefix.as_str(), owner))
        })
    }
}

impl FromIterator<(String, OperatorId)> for OperatorPrefixes {
    fn from_iter<I: IntoIterator<Item = (String, OperatorId)>>(prefixes: I) -> Self {
        Self { owners: prefixes.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> NumberingPlan {
        NumberingPlan {
            country_code: "93".into(),
            national_digits: 9,
            never_leasable: ["100", "102", "119"].map(String::from).into(),
        }
    }

    #[test]
    fn each_class_is_known_by_its_shape() {
        for (text, class, key) in [
            ("+93701234567", IdentifierClass::Msisdn, "+93701234567"),
            ("123", IdentifierClass::ShortCode, "123"),
            ("123456", IdentifierClass::ShortCode, "123456"),
            ("MyBank", IdentifierClass::Alpha, "MYBANK"),
            ("A+B & C", IdentifierClass::Alpha, "A+B & C"),
            ("4ever", IdentifierClass::Alpha, "4EVER"),
        ] {
            let parsed = plan().parse(text).unwrap();
            assert_eq!((parsed.identifier.class(), parsed.identifier.key()), (class, key));
            assert_eq!(&*parsed.shown, text);
        }
    }

    #[test]
    fn aliases_of_an_identifier_are_refused() {
        for (text, why) in [
            ("+9370123456", InvalidIdentifier::Msisdn),
            ("+937012345678", InvalidIdentifier::Msisdn),
            ("+93۷01234567", InvalidIdentifier::Msisdn),
            ("+93701234567\n", InvalidIdentifier::Msisdn),
            (" +93701234567", InvalidIdentifier::Alpha),
            ("+1 2025550123", InvalidIdentifier::Msisdn),
            ("+BANK", InvalidIdentifier::Msisdn),
            ("12", InvalidIdentifier::ShortCode),
            ("1234567", InvalidIdentifier::ShortCode),
            ("119", InvalidIdentifier::NeverLeasable),
            ("۱۲۳", InvalidIdentifier::Alpha),
            ("", InvalidIdentifier::Alpha),
            ("AB", InvalidIdentifier::Alpha),
            ("TwelveLetter", InvalidIdentifier::Alpha),
            ("12-34", InvalidIdentifier::Alpha),
            (" BANK", InvalidIdentifier::Alpha),
            ("BANK ", InvalidIdentifier::Alpha),
            ("MY  BANK", InvalidIdentifier::Alpha),
            ("BÄNK", InvalidIdentifier::Alpha),
            ("BANK\n", InvalidIdentifier::Alpha),
        ] {
            assert_eq!(plan().parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let owner = |id: &str| OperatorId::parse(id).unwrap();
        let prefixes: OperatorPrefixes =
            [("+937".to_owned(), owner("short")), ("+93744".to_owned(), owner("long"))].into_iter().collect();
        assert_eq!(prefixes.longest_match("+93744123456").unwrap(), ("+93744", &owner("long")));
        assert_eq!(prefixes.longest_match("+93745123456").unwrap(), ("+937", &owner("short")));
        assert_eq!(prefixes.longest_match("+93844123456"), None);
    }
}
