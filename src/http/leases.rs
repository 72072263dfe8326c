//! Leases: a tenant's own, every term of them; for admins, all.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use numbering_domain::lease::LeaseState;
use numbering_domain::{LeaseId, Rejection, Transition};
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::command::{Command, admin_or_tenant, answer};
use super::documented::problem_responses;
use super::extract::{JsonBody, PathValue, QueryParameters};
use super::guard::{Authorized, NumbersReadOrAdmin, NumbersWriteOrAdmin};
use super::paging::{DEFAULT_LIMIT, Paging};
use super::problem::{ApiError, Invalid};
use super::shapes::{LeaseBody, Page};
use crate::auth::{Caller, Permission};
use crate::operations::numbers::Ask;
use crate::store::idempotency::Answer;
use crate::store::leases::LeaseRecord;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list_leases)).routes(routes!(read_lease, patch_lease))
}

/// Which page.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct LeasesQuery {
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

problem_responses! {
    /// Refusals of a list.
    LeasesProblems = [InvalidCursor];
}

/// The caller's leases, newest first; ended ones too.
#[utoipa::path(
    get,
    path = "/v1/leases",
    tag = "leases",
    params(LeasesQuery),
    responses((status = 200, description = "A page of leases", body = Page<LeaseBody>), LeasesProblems),
)]
pub async fn list_leases(
    State(state): State<AppState>,
    authorized: Authorized<NumbersReadOrAdmin>,
    QueryParameters(query): QueryParameters<LeasesQuery>,
) -> Result<Json<Page<LeaseBody>>, ApiError> {
    let tenant = authorized.caller.tenant.as_ref();
    if tenant.is_none() && !authorized.caller.may(Permission::NumberingAdmin) {
        return Err(Rejection::TenantRequired.into());
    }
    let bound_to = [tenant.map_or("", |tenant| tenant.as_str()), "leases"];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let before = paging.last.as_deref().and_then(|last| last.parse().ok()).map(LeaseId);
    let leases = state.store.leases(tenant, before, paging.rows_to_read()).await?;
    let page = paging.page(leases, |record| record.lease.lease_id.to_string());
    Ok(Json(page.map(|record| LeaseBody::from(&record))))
}

/// One lease.
#[utoipa::path(
    get,
    path = "/v1/leases/{leaseId}",
    tag = "leases",
    params(("leaseId" = Uuid, Path, description = "The lease")),
    responses((status = 200, description = "The lease", body = LeaseBody)),
)]
pub async fn read_lease(
    State(state): State<AppState>,
    authorized: Authorized<NumbersReadOrAdmin>,
    PathValue(lease_id): PathValue<Uuid>,
) -> Result<Json<LeaseBody>, ApiError> {
    let record = visible_lease(&state, &authorized.caller, LeaseId(lease_id)).await?;
    Ok(Json(LeaseBody::from(&record)))
}

/// What may be changed of a lease: at least one of these. What is left out stays as it is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LeasePatch {
    /// Whether to renew it when it ends.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    pub auto_renew: Option<bool>,
    /// Whether the tenant is kept from recalling it itself. An admin's recall is never kept back.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    pub locked: Option<bool>,
}

/// A member that is there has a value: `null` is not the same as left out.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    bool::deserialize(deserializer).map(Some)
}

problem_responses! {
    /// Refusals of a change.
    PatchProblems = [NotLeased, NotLeaseHolder, InvalidState];
}

/// Switches automatic renewal or the recall lock on or off, or both at once.
#[utoipa::path(
    patch,
    path = "/v1/leases/{leaseId}",
    tag = "leases",
    params(("leaseId" = Uuid, Path, description = "The lease")),
    request_body = LeasePatch,
    responses((status = 200, description = "The lease as it became", body = LeaseBody), PatchProblems),
)]
pub async fn patch_lease(
    State(state): State<AppState>,
    command: Command<NumbersWriteOrAdmin>,
    PathValue(lease_id): PathValue<Uuid>,
    body: JsonBody<LeasePatch>,
) -> Result<Response, ApiError> {
    let LeasePatch { auto_renew, locked } = body.value;
    if auto_renew.is_none() && locked.is_none() {
        let detail = "one of autoRenew and locked is needed".to_owned();
        return Err(ApiError::invalid(vec![Invalid { pointer: String::new(), detail }]));
    }
    let record = visible_lease(&state, &command.caller, LeaseId(lease_id)).await?;
    let on_behalf_of = admin_or_tenant(&command.caller)?;
    let ask = Ask::UpdateLease { lease_id: LeaseId(lease_id), auto_renew, locked };
    command.order(&state, &body.sha256, record.identifier, on_behalf_of, ask, patched_answer).await
}

/// A lease that the caller may see; another tenant's does not exist for it.
async fn visible_lease(state: &AppState, caller: &Caller, lease_id: LeaseId) -> Result<LeaseRecord, ApiError> {
    let record = state.store.lease(lease_id).await?;
    let visible = |record: &LeaseRecord| {
        caller.may(Permission::NumberingAdmin) || caller.tenant.as_ref() == Some(&record.lease.tenant)
    };
    record.filter(visible).ok_or_else(|| ApiError::not_found("there is no such lease"))
}

fn patched_answer(_: &Caller, done: &Transition) -> Answer {
    let state = match done.after.state.name() {
        numbering_domain::StateName::Suspended => LeaseState::Suspended,
        _ => LeaseState::Leased,
    };
    let body = done.after.state.lease().map(|lease| LeaseBody::of(&done.after, lease, state));
    answer(axum::http::StatusCode::OK, &body)
}
