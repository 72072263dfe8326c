//! The names things go by: each kind a type of its own, so that one cannot be passed where another is meant.

use std::fmt;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A tenant's RESERVED or HELD claim on a number; the same through the promotion from one to the other.
    ReservationId
);
uuid_id!(
    /// One term of a tenant's right to send from a number; a renewal gets a new one.
    LeaseId
);
uuid_id!(
    /// The numbers that one signed import brought in.
    BlockId
);

/// Why a text is not an id of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {longest} characters of A-Z a-z 0-9 _ . : -")]
pub struct InvalidId {
    longest: usize,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $longest:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the id.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long, or holds a character outside `A-Z a-z 0-9 _ . : -`.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let fits = (1..=$longest).contains(&text.len());
                let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
                if fits && plain { Ok(Self(text.into())) } else { Err(InvalidId { longest: $longest }) }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A tenant of the platform, as its tokens name it (claim `tenant_id`).
    TenantId,
    64
);
text_id!(
    /// A Mobile Network Operator.
    OperatorId,
    64
);
text_id!(
    /// One of the keys that an operator signs blocks with.
    SigningKeyId,
    64
);

/// Why a text is no id of another desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {FOREIGN_LONGEST} printable ASCII characters without a space at either end")]
pub struct InvalidForeignId;

const FOREIGN_LONGEST: usize = 128;

macro_rules! foreign_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes the id as its desk writes it. These have many forms, so all of printable ASCII is taken.
            ///
            /// # Errors
            /// [`InvalidForeignId`] when it is empty, too long, not printable ASCII, or has a space at either end.
            pub fn parse(text: &str) -> Result<Self, InvalidForeignId> {
                let fits = (1..=FOREIGN_LONGEST).contains(&text.len());
                let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
                if fits && printable && text.trim() == text { Ok(Self(text.into())) } else { Err(InvalidForeignId) }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

foreign_id!(
    /// The regulator's or abuse desk's case that a recall rests on, in their own notation.
    TicketId
);
foreign_id!(
    /// What billing calls the charge that a renewal was paid with (US-NUM-005).
    ChargeId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_bounded_text() {
        assert!(TenantId::parse("tenant-a").is_ok());
        assert!(OperatorId::parse("afghan_telecom").is_ok());
        for bad in ["", "a b", "é", "a\n", "a/b", &"x".repeat(65)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tickets_are_in_their_desk_s_own_notation() {
        for good in ["T", "ATRA/2026/#117", "Case 7 (b)"] {
            assert!(TicketId::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", " T", "T ", "T\n", "é", &"x".repeat(129)] {
            assert!(TicketId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
