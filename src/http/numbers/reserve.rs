//! A tenant pins a number while it looks (US-NUM-007).

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
    /// Refusals of a reservation.
    ReserveProblems = [TenantSuspended, OperatorNotAllowed, QuarantineActive, NotAvailable, ReservationQuota];
}

/// Pins an available number for the reservation's time: AVAILABLE → RESERVED.
#[utoipa::path(
    post,
    path = "/v1/numbers/{identifier}/reserve",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number as it became", body = NumberBody), ReserveProblems),
)]
pub async fn reserve(
    State(state): State<AppState>,
    command: Command<NumbersWrite>,
    PathIdentifier(number): PathIdentifier,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let tenant = OnBehalfOf::Tenant(command.tenant()?);
    command.order(&state, &body.sha256, number.identifier, tenant, Ask::Reserve, number_answer).await
}
