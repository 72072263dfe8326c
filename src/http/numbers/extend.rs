//! A tenant that is not done looking prolongs its reservation.

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
    /// Refusals of an extension.
    ExtendProblems = [TenantSuspended, OperatorNotAllowed, QuarantineActive, ReservedByOtherTenant, HeldByOtherTenant, AlreadyLeased, InvalidState];
}

/// Prolongs the tenant's own reservation once more by its time, up to the ceiling (`policy.reservation_ceiling`) from its first
/// moment on; what is left of that is given. Beyond it: 409 `INVALID_STATE` with the `reason` `RESERVATION_CEILING`.
#[utoipa::path(
    post,
    path = "/v1/numbers/{identifier}/extend",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number as it became", body = NumberBody), ExtendProblems),
)]
pub async fn extend(
    State(state): State<AppState>,
    command: Command<NumbersWrite>,
    PathIdentifier(number): PathIdentifier,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let tenant = OnBehalfOf::Tenant(command.tenant()?);
    command.order(&state, &body.sha256, number.identifier, tenant, Ask::Extend, number_answer).await
}
