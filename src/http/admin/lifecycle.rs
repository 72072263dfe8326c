//! A number's life by an admin's hand: suspend, reinstate, end a quarantine early (US-NUM-006).

use axum::extract::State;
use axum::response::Response;
use numbering_domain::Rejection;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::command::Command;
use crate::http::documented::problem_responses;
use crate::http::extract::{JsonBody, OptionalJsonBody, PathIdentifier};
use crate::http::guard::NumberingAdmin;
use crate::http::numbers::{NoInput, number_answer};
use crate::http::problem::{ApiError, Invalid};
use crate::http::shapes::NumberBody;
use crate::operations::numbers::{Ask, OnBehalfOf};

/// The longest justification, in characters.
const JUSTIFICATION_MOST_CHARS: usize = 2000;

problem_responses! {
    /// Refusals of a suspension or reinstatement.
    LifecycleProblems = [NotLeased, InvalidState];
    /// Refusals of an override.
    OverrideProblems = [JustificationRequired, InvalidState];
}

/// Suspends the lease: LEASED → SUSPENDED. Every validation says no until it is reinstated.
#[utoipa::path(
    post,
    path = "/v1/admin/numbers/{identifier}/suspend",
    tag = "admin",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number as it became", body = NumberBody), LifecycleProblems),
)]
pub async fn suspend(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathIdentifier(number): PathIdentifier,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let by = OnBehalfOf::Authority;
    command.order(&state, &body.sha256, number.identifier, by, Ask::Suspend, number_answer).await
}

/// Reinstates the lease: SUSPENDED → LEASED.
#[utoipa::path(
    post,
    path = "/v1/admin/numbers/{identifier}/reinstate",
    tag = "admin",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number as it became", body = NumberBody), LifecycleProblems),
)]
pub async fn reinstate(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathIdentifier(number): PathIdentifier,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let by = OnBehalfOf::Authority;
    command.order(&state, &body.sha256, number.identifier, by, Ask::Reinstate, number_answer).await
}

/// Why the quarantine is to end before its time.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OverrideRequest {
    /// For the audit trail and the daily override report.
    #[serde(default)]
    #[schema(required, example = "Recalled by mistake, ticket OPS-7")]
    pub justification: String,
}

/// Ends a quarantine before its time: QUARANTINE → AVAILABLE. The tenant whose lease ended stays barred until the original
/// end.
#[utoipa::path(
    post,
    path = "/v1/admin/numbers/{identifier}/quarantine/release",
    tag = "admin",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    request_body = OverrideRequest,
    responses((status = 200, description = "The number as it became", body = NumberBody), OverrideProblems),
)]
pub async fn override_quarantine(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathIdentifier(number): PathIdentifier,
    body: JsonBody<OverrideRequest>,
) -> Result<Response, ApiError> {
    let justification = body.value.justification;
    if justification.trim().is_empty() {
        return Err(Rejection::JustificationRequired.into());
    }
    if justification.chars().count() > JUSTIFICATION_MOST_CHARS {
        let detail = format!("must have {JUSTIFICATION_MOST_CHARS} characters at most");
        return Err(ApiError::invalid(vec![Invalid { pointer: "/justification".into(), detail }]));
    }
    let ask = Ask::OverrideQuarantine { justification };
    command.order(&state, &body.sha256, number.identifier, OnBehalfOf::Authority, ask, number_answer).await
}
