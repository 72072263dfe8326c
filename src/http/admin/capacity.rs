//! How much of each pool is left, and when it will be nothing (US-NUM-013).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use numbering_domain::StateName;
use numbering_domain::capacity::utilisation;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alerts::AlertBody;
use crate::http::AppState;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::problem::ApiError;
use crate::operations::capacity::PoolStanding;

/// Every pool.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CapacityBody {
    /// By class, operator and prefix.
    pub pools: Vec<PoolBody>,
}

/// What falls under one prefix of an operator, or a range of short codes. Sender IDs do not run out, and are in none.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolBody {
    /// `MSISDN` or `SHORT_CODE`.
    #[schema(example = "MSISDN")]
    pub identifier_class: String,
    /// The operator; a range of short codes has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// The operator's prefix that the numbers fall under; for short codes their first digit and length, such as `4xxx`. `+` has the
    /// numbers whose operator owns no such prefix any more.
    #[schema(example = "+9370")]
    pub block_prefix: String,
    /// How many numbers there are.
    pub total: u64,
    /// How many are in each state. What time has ended counts as before until it is written down, within seconds.
    #[schema(example = json!({"AVAILABLE": 9_000, "RESERVED": 10, "HELD": 5, "LEASED": 900, "SUSPENDED": 0, "RECALLED": 0, "QUARANTINE": 85}))]
    pub by_state: BTreeMap<&'static str, u64>,
    /// How many of those AVAILABLE are not valid yet, by their `validFrom` (to the full hour).
    pub not_yet_valid: u64,
    /// How many may be leased now: those AVAILABLE and valid.
    pub remaining: u64,
    /// The share of the valid numbers that cannot be leased now, from 0 to 1.
    #[schema(example = 0.1)]
    pub utilisation: f64,
    /// When nothing will be left, by the demand of the last 28 days; null where the pool does not shrink, would last more than 3650
    /// days, or too little was seen of it.
    #[schema(required)]
    pub projected_exhaustion: Option<ProjectedBody>,
    /// The open alerts about it.
    pub alerts: Vec<AlertBody>,
}

/// When nothing will be left of a pool: with nineteen chances in twenty between the earliest and the latest.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProjectedBody {
    /// Hardly sooner.
    #[schema(value_type = String, format = DateTime)]
    pub earliest: Timestamp,
    /// By what is known.
    #[schema(value_type = String, format = DateTime)]
    pub likely: Timestamp,
    /// Hardly later. Projections look 3650 days ahead: in so many days where it may as well be later than that, or never.
    #[schema(value_type = String, format = DateTime)]
    pub latest: Timestamp,
}

impl From<PoolStanding> for PoolBody {
    fn from(standing: PoolStanding) -> Self {
        let PoolStanding { pool, counts, exhaustion, alerts } = standing;
        let in_state = |state: StateName| counts.by_state.get(state.as_str()).copied().unwrap_or_default();
        Self {
            identifier_class: pool.class.as_str().to_owned(),
            operator_id: Some(pool.operator).filter(|operator| !operator.is_empty()),
            block_prefix: pool.prefix,
            total: counts.total(),
            by_state: StateName::ALL.into_iter().map(|state| (state.as_str(), in_state(state))).collect(),
            not_yet_valid: counts.not_yet_valid,
            remaining: counts.remaining(),
            utilisation: utilisation(counts.valid(), counts.remaining()),
            projected_exhaustion: exhaustion.map(|(earliest, likely, latest)| ProjectedBody {
                earliest,
                likely,
                latest,
            }),
            alerts: alerts.into_iter().map(AlertBody::from).collect(),
        }
    }
}

/// They are few, and all are shown.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityQuery {}

/// How much of each pool is left, as counted a second or two ago.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/pools/capacity",
    tag = "admin",
    responses((status = 200, description = "Every pool", body = CapacityBody)),
)]
pub async fn pool_capacity(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    QueryParameters(CapacityQuery {}): QueryParameters<CapacityQuery>,
) -> Result<Json<CapacityBody>, ApiError> {
    let standings = state.capacity.standings().await?;
    Ok(Json(CapacityBody { pools: standings.into_iter().map(PoolBody::from).collect() }))
}
