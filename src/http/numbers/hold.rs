//! A tenant pins a number while it builds (US-NUM-008).

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
    /// Refusals of a hold.
    HoldProblems = [TenantSuspended, OperatorNotAllowed, QuarantineActive, ReservedByOtherTenant, HeldByOtherTenant, AlreadyLeased, InvalidState, HoldQuota];
}

/// Promotes the tenant's own reservation for the hold's time: RESERVED → HELD.
#[utoipa::path(
    post,
    path = "/v1/numbers/{identifier}/hold",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number as it became", body = NumberBody), HoldProblems),
)]
pub async fn hold(
    State(state): State<AppState>,
    command: Command<NumbersWrite>,
    PathIdentifier(number): PathIdentifier,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let tenant = OnBehalfOf::Tenant(command.tenant()?);
    command.order(&state, &body.sha256, number.identifier, tenant, Ask::Hold, number_answer).await
}
