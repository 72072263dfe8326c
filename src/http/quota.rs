//! What a tenant may have, and has (US-NUM-011).

use axum::Json;
use axum::extract::State;
use numbering_domain::{Counter, Rejection};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::guard::{Authorized, NumbersRead};
use super::problem::ApiError;
use crate::operations::quotas::TenantQuotas;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(read_quota))
}

/// A limit and its use.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaBody {
    /// The most the tenant may have.
    pub quota: i32,
    /// What it has.
    pub current: i32,
}

/// Every limit of a tenant.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct QuotasBody {
    /// Leased MSISDNs.
    pub msisdn: QuotaBody,
    /// Leased short codes.
    pub short_code: QuotaBody,
    /// Leased alphanumeric sender IDs.
    pub alpha: QuotaBody,
    /// Active reservations.
    pub reservations: QuotaBody,
    /// Active holds.
    pub holds: QuotaBody,
}

impl From<&TenantQuotas> for QuotasBody {
    fn from(quotas: &TenantQuotas) -> Self {
        let quota =
            |counter: Counter| QuotaBody { quota: *quotas.limits.get(counter), current: *quotas.used.get(counter) };
        Self {
            msisdn: quota(Counter::Msisdn),
            short_code: quota(Counter::ShortCode),
            alpha: quota(Counter::Alpha),
            reservations: quota(Counter::Reservations),
            holds: quota(Counter::Holds),
        }
    }
}

/// A tenant's plan, limits and use.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantQuotasBody {
    /// Whose.
    pub tenant_id: String,
    /// The plan.
    #[schema(example = "business")]
    pub plan: String,
    /// The limits.
    pub quotas: QuotasBody,
}

impl From<TenantQuotas> for TenantQuotasBody {
    fn from(quotas: TenantQuotas) -> Self {
        Self { tenant_id: quotas.tenant.to_string(), quotas: QuotasBody::from(&quotas), plan: quotas.plan }
    }
}

/// The caller's limits and use.
#[utoipa::path(
    get,
    path = "/v1/quota",
    tag = "quota",
    responses((status = 200, description = "Limits and use", body = TenantQuotasBody)),
)]
pub async fn read_quota(
    State(state): State<AppState>,
    authorized: Authorized<NumbersRead>,
) -> Result<Json<TenantQuotasBody>, ApiError> {
    let tenant = authorized.caller.tenant.clone().ok_or(Rejection::TenantRequired)?;
    Ok(Json(state.quotas.of(&tenant).await?.into()))
}
