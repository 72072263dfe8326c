//! Why a token was refused. The caller is told which check failed, never what would have passed it.

/// A refusal of a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("a bearer token is needed: Authorization: Bearer <JWT>")]
    Missing,
    /// The header is not one `Bearer` credential.
    #[error("the Authorization header is not one bearer token")]
    NotBearer,
    /// It is larger than any token of this service needs to be.
    #[error("the token is too large")]
    TooLarge,
    /// It is not a JWT in compact form.
    #[error("the token is not a signed JWT in compact form")]
    Malformed,
    /// The header has what this service refuses to act on (`jku`, `x5u`, `jwk`, `crit` …).
    #[error("the token's header has a member that is not accepted")]
    HeaderMember,
    /// The algorithm is not among the accepted, or not the key's.
    #[error("the token's signature algorithm is not accepted")]
    Algorithm,
    /// No key of that `kid`.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// The claims are missing something or have a wrong shape.
    #[error("the token's claims are incomplete or malformed")]
    Claims,
    /// Another issuer's.
    #[error("the token is from another issuer")]
    Issuer,
    /// For another service.
    #[error("the token is for another audience")]
    Audience,
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The key set has never been read: nothing can be said of any token.
    #[error("the issuer's keys cannot be read at the moment")]
    KeysUnavailable,
}

impl Refusal {
    /// The name of the reason in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotBearer => "not_bearer",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::HeaderMember => "header_member",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}
