//! The sendable identity itself. One canonical form serves REST, gRPC, CSV, events, cache keys and the database.
//!
//! What must stay true: the three classes are disjoint by shape (`+` first, only digits, anything with a letter), so that
//! the canonical key alone names an identifier.

use std::fmt;

/// What kind of identity it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentifierClass {
    /// A mobile number in E.164 form.
    Msisdn,
    /// Three to six digits.
    ShortCode,
    /// An alphanumeric sender ID.
    Alpha,
}

impl IdentifierClass {
    /// All classes, in the order of the contract.
    pub const ALL: [Self; 3] = [Self::Msisdn, Self::ShortCode, Self::Alpha];

    /// The class as the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msisdn => "MSISDN",
            Self::ShortCode => "SHORT_CODE",
            Self::Alpha => "ALPHA",
        }
    }

    /// Reads the contract's word for a class.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

impl fmt::Display for IdentifierClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A canonical identifier: the key it is stored, cached and sorted under.
///
/// ALPHA keys are upper case, as alphanumeric sender IDs are unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier {
    key: Box<str>,
    class: IdentifierClass,
}

impl Identifier {
    /// Takes a key that is canonical already: one that the plan's canonicaliser made, or a row of the database.
    #[must_use]
    pub fn from_canonical(class: IdentifierClass, key: &str) -> Self {
        Self { key: key.into(), class }
    }

    /// The canonical key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The identifier class.
    #[must_use]
    pub const fn class(&self) -> IdentifierClass {
        self.class
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

/// An identifier together with the spelling it was given in; ALPHA identifiers are shown as registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegisteredIdentifier {
    /// The canonical identifier.
    pub identifier: Identifier,
    /// The spelling that people see.
    pub shown: Box<str>,
}

/// Why a text is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentifier {
    /// Starts with `+` but is not of the national plan.
    #[error("not a mobile number of this numbering plan")]
    Msisdn,
    /// Only digits, but not three to six.
    #[error("a short code has 3 to 6 digits")]
    ShortCode,
    /// A short code that is reserved for the public, an emergency number for one.
    #[error("this short code is never leased (emergency and public services)")]
    NeverLeasable,
    /// Neither of the above, and no alphanumeric sender ID.
    #[error(
        "an alphanumeric sender ID has 3 to 11 characters of A-Z a-z 0-9 space - _ & +, at least one letter, and no space at \
         an edge or beside another"
    )]
    Alpha,
}
