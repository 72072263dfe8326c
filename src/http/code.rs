//! THE table of problem codes: every code with its status, its title and its page of documentation.
//!
//! What must stay true: no answer bears a code that is not here, and no code is here without its page (a missing page does
//! not compile).

use axum::http::StatusCode;

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $title:literal;)*) => {
        /// A problem code (contract, section 3). The name is what clients switch on; it never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(
                #[doc = concat!($title, " (`", $name, "`, ", stringify!($status), ").")]
                $variant,
            )*
        }

        impl Code {
            /// Every code, by status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it stands in an answer.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status as a number.
            #[must_use]
            pub const fn status_number(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it is, in a few words, the same at every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The page of documentation, in Markdown.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors/", $name, ".md")),)*
                }
            }
        }
    };
}

codes! {
    MalformedRequest "MALFORMED_REQUEST" 400 "The request is malformed";
    InvalidCursor "INVALID_CURSOR" 400 "The page cursor is not valid";
    Unauthenticated "UNAUTHENTICATED" 401 "A valid bearer token is needed";
    Forbidden "FORBIDDEN" 403 "The caller may not do this";
    NotLeaseHolder "NOT_LEASE_HOLDER" 403 "The lease is another tenant's";
    BypassRequired "BYPASS_REQUIRED" 403 "Leasing without a reservation is not allowed";
    TenantSuspended "TENANT_SUSPENDED" 403 "The tenant is suspended";
    OperatorNotAllowed "OPERATOR_NOT_ALLOWED" 403 "The tenant may not use this operator";
    QuotaExceeded "QUOTA_EXCEEDED" 403 "The quota of leases is reached";
    ReservationQuota "RESERVATION_QUOTA" 403 "The quota of reservations is reached";
    HoldQuota "HOLD_QUOTA" 403 "The quota of holds is reached";
    NotRegistered "NOT_REGISTERED" 404 "The identifier is not in the inventory";
    NotFound "NOT_FOUND" 404 "There is nothing here";
    MethodNotAllowed "METHOD_NOT_ALLOWED" 405 "The method is not allowed here";
    NotAvailable "NOT_AVAILABLE" 409 "The number is not available";
    ReservedByOtherTenant "RESERVED_BY_OTHER_TENANT" 409 "Another tenant has reserved the number";
    HeldByOtherTenant "HELD_BY_OTHER_TENANT" 409 "Another tenant holds the number";
    AlreadyLeased "ALREADY_LEASED" 409 "The number is leased already";
    InvalidState "INVALID_STATE" 409 "The number's state does not allow this";
    NotLeased "NOT_LEASED" 409 "The number is not leased";
    UseRecallForLeases "USE_RECALL_FOR_LEASES" 409 "A lease is ended by a recall";
    QuarantineActive "QUARANTINE_ACTIVE" 409 "The number is in its cool-down";
    IdempotencyInFlight "IDEMPOTENCY_IN_FLIGHT" 409 "The first request with this key is still running";
    PayloadTooLarge "PAYLOAD_TOO_LARGE" 413 "The body is too large";
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" 415 "The body's media type is not supported";
    InvalidIdentifier "INVALID_IDENTIFIER" 422 "The identifier is not valid";
    ValidationFailed "VALIDATION_FAILED" 422 "The body does not have the right shape";
    SignatureInvalid "SIGNATURE_INVALID" 422 "The signature is not valid";
    UnknownOperator "UNKNOWN_OPERATOR" 422 "The operator is not known";
    CsvInvalid "CSV_INVALID" 422 "The CSV file is not valid";
    TicketRequired "TICKET_REQUIRED" 422 "A ticket is needed";
    InvalidTerm "INVALID_TERM" 422 "The term is not offered";
    NotVanityEligible "NOT_VANITY_ELIGIBLE" 422 "The number cannot be leased as vanity";
    JustificationRequired "JUSTIFICATION_REQUIRED" 422 "A justification is needed";
    InvalidPattern "INVALID_PATTERN" 422 "The search pattern is not valid";
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" 422 "The idempotency key was used for another request";
    RateLimited "RATE_LIMITED" 429 "Too many requests";
    Internal "INTERNAL" 500 "The service made a mistake";
    Unavailable "UNAVAILABLE" 503 "The service cannot answer at the moment";
}

impl Code {
    /// The status, as the table has it. One code has two: `HELD_BY_OTHER_TENANT` is 403 on a release (US-NUM-009).
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status_number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The code of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// The path of its page on this service: the problem's `type`.
    #[must_use]
    pub fn path(self) -> String {
        format!("/docs/errors/{}", self.as_str())
    }
}
