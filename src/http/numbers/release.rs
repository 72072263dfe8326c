//! A tenant lets a number go (US-NUM-009).

use axum::extract::State;
use axum::response::Response;

use super::{NoInput, number_answer};
use crate::http::AppState;
use crate::http::command::Command;
use crate::http::documented::problem_responses;
use crate::http::extract::{OptionalJsonBody, PathIdentifier};
use crate::http::guard::NumbersWrite;
use crate::http::problem::ApiError;
use crate::http::shapes::NumberBody;
use crate::operations::numbers::{Ask, OnBehalfOf};

problem_responses! {
    /// Refusals of a release. `HELD_BY_OTHER_TENANT` is 403 here.
    ReleaseProblems = [UseRecallForLeases, HeldByOtherTenant, InvalidState];
}

/// Gives the tenant's own reservation or hold back: RESERVED or HELD → AVAILABLE.
#[utoipa::path(
    post,
    path = "/v1/numbers/{identifier}/release",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number as it became", body = NumberBody), ReleaseProblems),
)]
pub async fn release(
    State(state): State<AppState>,
    command: Command<NumbersWrite>,
    PathIdentifier(number): PathIdentifier,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let tenant = OnBehalfOf::Tenant(command.tenant()?);
    command.order(&state, &body.sha256, number.identifier, tenant, Ask::Release, number_answer).await
}
