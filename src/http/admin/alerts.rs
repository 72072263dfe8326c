//! What the service itself has to tell its operators.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::AppState;
use crate::http::documented::problem_responses;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::shapes::Page;
use crate::store::alerts::Alert;

/// Whether an alert is open, in the words of the filter.
pub(crate) const ALERT_STATES: [&str; 2] = ["OPEN", "RESOLVED"];

/// Which alerts.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AlertsQuery {
    /// Only those that are `OPEN`, or `RESOLVED`.
    #[param(example = "OPEN")]
    pub state: Option<String>,
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

/// Something that is, or was, wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertBody {
    /// Its id.
    pub alert_id: Uuid,
    /// What kind of alert.
    #[schema(example = "numbering_clock_skew")]
    pub name: String,
    /// `SEV1` pages somebody now, `CRITICAL` is for today, `WARNING` for whoever looks next.
    #[schema(example = "CRITICAL")]
    pub severity: String,
    /// What it is about: a replica, a consumer, a pool.
    pub subject: String,
    /// What is wrong.
    pub summary: String,
    /// The page of the documentation that says what to do.
    #[schema(example = "docs/runbooks/clock-skew.md")]
    pub runbook: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub raised_at: Timestamp,
    /// Until when; null while it is open.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
}

impl From<Alert> for AlertBody {
    fn from(alert: Alert) -> Self {
        let Alert { alert_id, name, severity, subject, summary, runbook, raised_at, resolved_at } = alert;
        Self { alert_id, name, severity, subject, summary, runbook, raised_at, resolved_at }
    }
}

problem_responses! {
    /// Refusals of a list.
    AlertsProblems = [InvalidCursor];
}

/// Alerts that the service has raised, the newest first. An open one has `resolvedAt` null.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/alerts",
    tag = "admin",
    params(AlertsQuery),
    responses((status = 200, description = "A page of alerts", body = Page<AlertBody>), AlertsProblems),
)]
pub async fn list_alerts(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    QueryParameters(query): QueryParameters<AlertsQuery>,
) -> Result<Json<Page<AlertBody>>, ApiError> {
    let wanted = query.state.as_deref();
    let open = match wanted {
        None => None,
        Some("OPEN") => Some(true),
        Some("RESOLVED") => Some(false),
        Some(_) => return Err(ApiError::malformed("state must be OPEN or RESOLVED").with("parameter", "state")),
    };
    let bound_to = ["", "alerts", wanted.unwrap_or_default()];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let before = paging.last.as_deref().and_then(|last| last.parse().ok());
    let alerts = state.store.alerts(open, before, paging.rows_to_read()).await?;
    Ok(Json(paging.page(alerts, |alert| alert.alert_id.to_string()).map(AlertBody::from)))
}
