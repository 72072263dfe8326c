//! A tenant looks at numbers: one, or its own.

use axum::Json;
use axum::extract::State;
use numbering_domain::{Rejection, StateName};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::AppState;
use crate::http::documented::problem_responses;
use crate::http::extract::{PathIdentifier, QueryParameters};
use crate::http::guard::{Authorized, NumbersReadOrAdmin};
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::shapes::{NumberBody, Page};

/// One number. Who holds it is shown to the holder and to admins. Paths are told apart by case: the sender ID `Reserve` is read at
/// `/v1/numbers/Reserve`, beside the operation `/v1/numbers/reserve`.
#[utoipa::path(
    get,
    path = "/v1/numbers/{identifier}",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    responses((status = 200, description = "The number", body = NumberBody)),
)]
pub async fn read_number(
    State(state): State<AppState>,
    authorized: Authorized<NumbersReadOrAdmin>,
    PathIdentifier(number): PathIdentifier,
) -> Result<Json<NumberBody>, ApiError> {
    let number = state.numbers.read(&number.identifier).await?;
    Ok(Json(NumberBody::shown_to(&authorized.caller, &number)))
}

/// Which of the caller's numbers.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct OwnNumbersQuery {
    /// Only in this state: `RESERVED`, `HELD`, `LEASED` or `SUSPENDED`.
    #[param(example = "LEASED")]
    pub state: Option<String>,
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

const CLAIMED: [StateName; 4] = [StateName::Reserved, StateName::Held, StateName::Leased, StateName::Suspended];

/// The states of a tenant's own numbers, or the one that is wanted.
pub(in crate::http) fn claimed_states(wanted: Option<&str>) -> Result<Vec<&'static str>, ApiError> {
    let names = CLAIMED.into_iter().map(StateName::as_str);
    let states: Vec<_> = names.filter(|name| wanted.is_none_or(|wanted| wanted == *name)).collect();
    if states.is_empty() {
        let detail = "state must be one of RESERVED, HELD, LEASED, SUSPENDED";
        return Err(ApiError::malformed(detail).with("parameter", "state"));
    }
    Ok(states)
}

problem_responses! {
    /// Refusals of a list.
    OwnNumbersProblems = [InvalidCursor];
}

/// The caller's own numbers, by identifier: reserved, held, leased or suspended.
#[utoipa::path(
    get,
    path = "/v1/numbers",
    tag = "numbers",
    params(OwnNumbersQuery),
    responses((status = 200, description = "A page of numbers", body = Page<NumberBody>), OwnNumbersProblems),
)]
pub async fn own_numbers(
    State(state): State<AppState>,
    authorized: Authorized<NumbersReadOrAdmin>,
    QueryParameters(query): QueryParameters<OwnNumbersQuery>,
) -> Result<Json<Page<NumberBody>>, ApiError> {
    let tenant = authorized.caller.tenant.clone().ok_or(Rejection::TenantRequired)?;
    let states = claimed_states(query.state.as_deref())?;
    let bound_to = [tenant.as_str(), "numbers", query.state.as_deref().unwrap_or_default()];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let after = paging.last.as_deref().unwrap_or_default();
    let numbers = state.store.numbers_of_tenant(&tenant, &states, after, paging.rows_to_read()).await?;
    let page = paging.page(numbers, |number| number.identifier.key().to_owned());
    Ok(Json(page.map(|number| NumberBody::shown_to(&authorized.caller, &number))))
}
