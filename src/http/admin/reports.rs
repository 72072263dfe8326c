//! Reports for compliance.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::AppState;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, ComplianceOrAdmin};
use crate::http::problem::ApiError;
use crate::store::reports::Overridden;

/// The most overrides that are shown of a day; the audit trail has all of them, in pages.
const ITEMS_MOST: i64 = 10_000;

/// Which day.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct OverrideReportQuery {
    /// The day (UTC), `YYYY-MM-DD`; today where absent.
    #[param(format = Date, example = "2026-04-20")]
    pub date: Option<String>,
}

/// The quarantines that were ended before their time on a day.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideReportBody {
    /// The day (UTC).
    #[schema(format = Date, example = "2026-04-20")]
    pub date: String,
    /// How many there were.
    pub count: i64,
    /// The first 10,000 of them, in their order.
    pub items: Vec<OverriddenBody>,
    /// Whether there were more than `items` shows; the audit trail has all.
    pub truncated: bool,
}

/// A quarantine that was ended before its time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverriddenBody {
    /// The number, as registered.
    #[schema(example = "+93701234567")]
    pub identifier: String,
    /// `MSISDN`, `SHORT_CODE` or `ALPHA`.
    pub identifier_class: String,
    /// When it was done.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The request that it came in.
    pub request_id: String,
    /// Why.
    pub justification: String,
    /// When the quarantine would have ended.
    #[schema(value_type = String, format = DateTime)]
    pub available_at: Timestamp,
    /// How much of it was left, in whole seconds.
    pub early_by_seconds: i64,
    /// Whose lease had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The lease that had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<Uuid>,
}

impl From<Overridden> for OverriddenBody {
    fn from(overridden: Overridden) -> Self {
        Self {
            early_by_seconds: overridden.early_by_seconds(),
            identifier: overridden.identifier,
            identifier_class: overridden.class.to_string(),
            at: overridden.at,
            actor: overridden.actor,
            request_id: overridden.request_id,
            justification: overridden.justification,
            available_at: overridden.available_at,
            tenant_id: overridden.tenant,
            lease_id: overridden.lease_id,
        }
    }
}

/// Which quarantines were ended before their time on a day: by whom, why, and how early (US-NUM-006). The same is published
/// once a day, as `numbering.quarantine.override_report`.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/reports/quarantine-overrides",
    tag = "compliance",
    params(OverrideReportQuery),
    responses((status = 200, description = "The report of the day", body = OverrideReportBody)),
)]
pub async fn quarantine_overrides(
    State(state): State<AppState>,
    _authorized: Authorized<ComplianceOrAdmin>,
    QueryParameters(query): QueryParameters<OverrideReportQuery>,
) -> Result<Json<OverrideReportBody>, ApiError> {
    let date = match query.date.as_deref() {
        Some(text) => day(text)
            .ok_or_else(|| ApiError::malformed("date must be a day such as 2026-04-20").with("parameter", "date"))?,
        None => state.store.moment().await?.to_zoned(TimeZone::UTC).date(),
    };
    let overrides = state.store.overrides_of_day(date, ITEMS_MOST).await?;
    let items: Vec<OverriddenBody> = overrides.items.into_iter().map(OverriddenBody::from).collect();
    Ok(Json(OverrideReportBody {
        date: date.to_string(),
        count: overrides.count,
        truncated: i64::try_from(items.len()).is_ok_and(|shown| shown < overrides.count),
        items,
    }))
}

/// A day as RFC 3339 writes it, and no other way, from the year 1 on.
fn day(text: &str) -> Option<Date> {
    text.parse().ok().filter(|day: &Date| day.year() >= 1 && day.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        for good in ["2026-04-20", "2024-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(day(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "today",
            "2026-4-20",
            "20260420",
            "2026-02-29",
            "2026-13-01",
            "2026-04-20T08:00:00Z",
            "0000-12-31",
            "-000001-01-01",
            " 2026-04-20",
            "۲۰۲۶-۰۴-۲۰",
        ] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
