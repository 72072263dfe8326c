//! Tenants by an admin's hand: plan, status, operator allowlist, quotas (US-NUM-011).

use axum::Json;
use axum::extract::State;
use numbering_domain::{OperatorId, TenantId, TenantStanding, TenantStatus};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::command::Command;
use crate::http::extract::{JsonBody, PathValue};
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::problem::{ApiError, Invalid};
use crate::http::quota::{QuotasBody, TenantQuotasBody};
use crate::operations::quotas::TenantQuotas;
use crate::store::tenants::{QuotaChanges, TenantSettings};

/// A tenant as an admin sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantBody {
    /// The tenant.
    pub tenant_id: String,
    /// Its plan.
    pub plan: String,
    /// `ACTIVE` or `SUSPENDED`.
    pub status: String,
    /// The operators whose numbers it may take; null for all.
    #[schema(required)]
    pub operator_allowlist: Option<Vec<String>>,
    /// Its limits and use.
    pub quotas: QuotasBody,
}

impl From<TenantStanding> for TenantBody {
    fn from(standing: TenantStanding) -> Self {
        let allowlist = standing.operator_allowlist.as_ref();
        Self {
            tenant_id: standing.tenant.to_string(),
            plan: standing.plan.clone(),
            status: standing.status.as_str().to_owned(),
            operator_allowlist: allowlist.map(|list| list.iter().map(OperatorId::to_string).collect()),
            quotas: QuotasBody::from(&TenantQuotas::from(standing)),
        }
    }
}

/// What an admin sets of a tenant.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantRequest {
    /// `starter`, `business` or `premium`.
    #[schema(example = "business")]
    pub plan: String,
    /// `ACTIVE` or `SUSPENDED`; absent leaves it.
    #[schema(example = "ACTIVE")]
    #[serde(default)]
    pub status: Option<String>,
    /// The operators whose numbers it may take; null for all, absent leaves it.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Vec<String>>)]
    pub operator_allowlist: Option<Option<Vec<String>>>,
}

/// A member that is there, null or not; absence is the outer `None`.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(member: D) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

/// The most operators of an allowlist.
const ALLOWLIST_MOST: usize = 1000;

fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> ApiError {
    ApiError::invalid(vec![Invalid { pointer: pointer.into(), detail: detail.into() }])
}

impl TenantRequest {
    fn settings(&self) -> Result<TenantSettings, ApiError> {
        let status = self
            .status
            .as_deref()
            .map(|status| TenantStatus::parse(status).ok_or_else(|| invalid("/status", "must be ACTIVE or SUSPENDED")));
        let allowlist = self.operator_allowlist.as_ref().map(|list| list.as_deref().map(operators).transpose());
        Ok(TenantSettings {
            plan: self.plan.clone(),
            status: status.transpose()?,
            operator_allowlist: allowlist.transpose()?,
        })
    }
}

fn operators(list: &[String]) -> Result<Vec<OperatorId>, ApiError> {
    if list.len() > ALLOWLIST_MOST {
        return Err(invalid("/operatorAllowlist", format!("must have {ALLOWLIST_MOST} operators at most")));
    }
    let parse = |(index, id): (usize, &String)| {
        OperatorId::parse(id).map_err(|error| invalid(format!("/operatorAllowlist/{index}"), error.to_string()))
    };
    list.iter().enumerate().map(parse).collect()
}

fn tenant_id(text: &str) -> Result<TenantId, ApiError> {
    TenantId::parse(text).map_err(|_| ApiError::not_found("there is no tenant of that name"))
}

/// One tenant.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/tenants/{tenantId}",
    tag = "admin",
    params(("tenantId" = String, Path, description = "The tenant")),
    responses((status = 200, description = "The tenant", body = TenantBody)),
)]
pub async fn read_tenant(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    PathValue(tenant): PathValue<String>,
) -> Result<Json<TenantBody>, ApiError> {
    tenant_body(&state, &tenant_id(&tenant)?).await.map(Json)
}

/// Sets a tenant's plan, and status and allowlist where they are named; makes the tenant where it is new. Counts at once.
#[utoipa::path(
    put,
    path = "/v1/admin/numbering/tenants/{tenantId}",
    tag = "admin",
    params(("tenantId" = String, Path, description = "The tenant")),
    request_body = TenantRequest,
    responses((status = 200, description = "The tenant as it became", body = TenantBody)),
)]
pub async fn put_tenant(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathValue(tenant): PathValue<String>,
    body: JsonBody<TenantRequest>,
) -> Result<Json<TenantBody>, ApiError> {
    let tenant = tenant_id(&tenant)?;
    let (settings, default_plan) = (body.value.settings()?, &state.config.policy.default_plan);
    if !state.store.put_tenant(&tenant, &settings, default_plan, &command.origin()).await? {
        return Err(invalid("/plan", "there is no such plan"));
    }
    state.committed.notify_one();
    state.quotas.forget(&tenant).await;
    tenant_body(&state, &tenant).await.map(Json)
}

/// A tenant's own quotas: null goes back to the plan's, absent leaves it.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct QuotasRequest {
    /// Leased MSISDNs.
    #[serde(default, deserialize_with = "named")]
    #[schema(minimum = 0, value_type = Option<i32>)]
    pub msisdn: Option<Option<i32>>,
    /// Leased short codes.
    #[serde(default, deserialize_with = "named")]
    #[schema(minimum = 0, value_type = Option<i32>)]
    pub short_code: Option<Option<i32>>,
    /// Leased alphanumeric sender IDs.
    #[serde(default, deserialize_with = "named")]
    #[schema(minimum = 0, value_type = Option<i32>)]
    pub alpha: Option<Option<i32>>,
    /// Active reservations.
    #[serde(default, deserialize_with = "named")]
    #[schema(minimum = 0, value_type = Option<i32>)]
    pub reservations: Option<Option<i32>>,
    /// Active holds.
    #[serde(default, deserialize_with = "named")]
    #[schema(minimum = 0, value_type = Option<i32>)]
    pub holds: Option<Option<i32>>,
}

/// Changes a tenant's own quotas. Counts at once; what is leased stays.
#[utoipa::path(
    put,
    path = "/v1/admin/numbering/tenants/{tenantId}/quotas",
    tag = "admin",
    params(("tenantId" = String, Path, description = "The tenant")),
    request_body = QuotasRequest,
    responses((status = 200, description = "The tenant's limits and use", body = TenantQuotasBody)),
)]
pub async fn put_quotas(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathValue(tenant): PathValue<String>,
    body: JsonBody<QuotasRequest>,
) -> Result<Json<TenantQuotasBody>, ApiError> {
    let tenant = tenant_id(&tenant)?;
    let QuotasRequest { msisdn, short_code, alpha, reservations, holds } = body.value;
    let named = [
        ("/MSISDN", msisdn),
        ("/SHORT_CODE", short_code),
        ("/ALPHA", alpha),
        ("/RESERVATIONS", reservations),
        ("/HOLDS", holds),
    ];
    if let Some((pointer, _)) = named.into_iter().find(|(_, quota)| quota.flatten().is_some_and(|quota| quota < 0)) {
        return Err(invalid(pointer, "must not be negative"));
    }
    let quotas = QuotaChanges { msisdn, short_code, alpha, reservations, holds };
    state.store.meet_tenant(&tenant, &state.config.policy.default_plan).await?;
    if !state.store.put_quotas(&tenant, &quotas, &command.origin()).await? {
        return Err(ApiError::not_found("there is no tenant of that name"));
    }
    state.committed.notify_one();
    state.quotas.forget(&tenant).await;
    let standing = state.store.tenant(&tenant).await?.ok_or_else(|| ApiError::not_found("there is no such tenant"))?;
    Ok(Json(TenantQuotas::from(standing).into()))
}

async fn tenant_body(state: &AppState, tenant: &TenantId) -> Result<TenantBody, ApiError> {
    let standing = state.store.tenant(tenant).await?;
    let standing = standing.ok_or_else(|| ApiError::not_found("there is no tenant of that name"))?;
    Ok(TenantBody::from(standing))
}
