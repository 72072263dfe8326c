//! What stands in the path.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use numbering_domain::{InvalidIdentifier, RegisteredIdentifier};

use crate::http::AppState;
use crate::http::problem::ApiError;
use crate::http::request::RequestRecord;

/// The `{identifier}` of a path, canonical. Percent-encoding is accepted for all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathIdentifier(pub RegisteredIdentifier);

impl FromRequestParts<AppState> for PathIdentifier {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // What does not decode to UTF-8 has no shape of any class.
        let text = Path::<String>::from_request_parts(parts, state).await.map_err(|_| InvalidIdentifier::Alpha)?;
        let registered = state.plan.parse(&text.0)?;
        if let Some(record) = parts.extensions.get::<Arc<RequestRecord>>() {
            record.is_about(&registered.identifier);
        }
        Ok(Self(registered))
    }
}

/// The one other value of a path (`{leaseId}`, `{blockId}`). What is no such value names nothing: 404.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathValue<T>(pub T);

impl<T: FromStr + Send> FromRequestParts<AppState> for PathValue<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let nothing = || ApiError::not_found("there is nothing of that name");
        let text = Path::<String>::from_request_parts(parts, state).await.map_err(|_| nothing())?;
        text.0.parse().map(Self).map_err(|_| nothing())
    }
}
