//! A number's history: every transition, and who held it at a moment.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use numbering_domain::{Number, Policy, Rejection, StateName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::AppState;
use crate::http::documented::problem_responses;
use crate::http::extract::{PathIdentifier, QueryParameters};
use crate::http::guard::{Authorized, ComplianceOrAdmin};
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::shapes::Page;
use crate::store::journal::{Entry, Standing};

/// The whole history, or a moment.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Who held it then (RFC 3339): the answer is that moment's standing, not a list.
    #[param(value_type = Option<String>, format = DateTime)]
    pub at: Option<String>,
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// The number's version after it; 0 is the block that it came in.
    #[schema(required)]
    pub version: Option<i64>,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(example = "numbering.lease.created")]
    pub event_type: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// The request that it came in.
    pub request_id: String,
    /// The event's data.
    #[schema(value_type = Object)]
    pub data: Value,
}

impl From<Entry> for HistoryItem {
    fn from(entry: Entry) -> Self {
        let Entry { version, event_type, at, actor, request_id, data, .. } = entry;
        Self { version, event_type, at, actor, request_id, data }
    }
}

/// How a number stood at a moment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingAt {
    /// As it was asked.
    pub identifier: String,
    /// The moment.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The state then.
    pub state: String,
    /// Who held it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The lease in force then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<Uuid>,
    /// Since when it stood so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

problem_responses! {
    /// Refusals of a list.
    HistoryProblems = [InvalidCursor];
}

/// Every transition of a number, oldest first; with `at`, how it stood at that moment.
#[utoipa::path(
    get,
    path = "/v1/admin/numbers/{identifier}/history",
    tag = "compliance",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed"), HistoryQuery),
    responses((status = 200, description = "A page of what happened; with `at`, one standing",
        body = inline(HistoryAnswer)), HistoryProblems),
)]
pub async fn history(
    State(state): State<AppState>,
    _authorized: Authorized<ComplianceOrAdmin>,
    PathIdentifier(number): PathIdentifier,
    QueryParameters(query): QueryParameters<HistoryQuery>,
) -> Result<Response, ApiError> {
    let at = query.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let current = state.numbers.read(&number.identifier).await?;
    if let Some(at) = at {
        let standing = state.store.standing_at(&number.identifier, at).await?.ok_or(Rejection::NotRegistered)?;
        return Ok(Json(standing_at(&current, at, standing, &state.config.policy())).into_response());
    }
    let bound_to = ["", "history", number.identifier.key()];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let after = paging.last.as_deref().and_then(|last| last.parse().ok()).unwrap_or(-1);
    let entries = state.store.history(&number.identifier, after, paging.rows_to_read()).await?;
    let page = paging.page(entries, |entry| entry.version.unwrap_or_default().to_string());
    Ok(Json(page.map(HistoryItem::from)).into_response())
}

/// Either shape of the answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum HistoryAnswer {
    /// Without `at`.
    Page(Page<HistoryItem>),
    /// With `at`.
    Standing(StandingAt),
}

/// RFC 3339 has no years before 0, and PostgreSQL none before 4713 BC.
const FIRST_MOMENT: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// A moment in the query parameter `name`, where a literal `+` of an offset arrives as a space.
pub(crate) fn moment(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    let parsed: Option<Timestamp> = text.replace(' ', "+").parse().ok();
    parsed.filter(|moment| *moment >= FIRST_MOMENT).ok_or_else(|| {
        let detail = format!("{name} must be a time in RFC 3339, such as 2026-11-22T08:00:00Z");
        ApiError::malformed(detail).with("parameter", name)
    })
}

/// What the journal has, with time counted: a claim that had run out by then was no claim.
fn standing_at(number: &Number, at: Timestamp, mut standing: Standing, policy: &Policy) -> StandingAt {
    while let Some(ended) = standing.deadline.filter(|deadline| *deadline <= at) {
        let cool_down = policy.cool_down(number.identifier.class(), standing.vanity);
        let rests = matches!(standing.state, StateName::Leased | StateName::Suspended) && cool_down.is_positive();
        standing.state = if rests { StateName::Quarantine } else { StateName::Available };
        standing.deadline = rests.then(|| ended.checked_add(cool_down).unwrap_or(Timestamp::MAX));
        standing.tenant = None;
        standing.lease_id = None;
        standing.since = ended;
    }
    StandingAt {
        identifier: number.shown.to_string(),
        at,
        state: standing.state.as_str().to_owned(),
        tenant_id: standing.tenant,
        lease_id: standing.lease_id,
        since: standing.since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_that_the_database_knows() {
        for good in
            ["2026-11-22T08:00:00Z", "2026-11-22T08:00:00 04:30", "0001-01-01T00:00:00Z", "9999-12-01T00:00:00Z"]
        {
            assert!(moment("at", good).is_ok(), "{good}");
        }
        for bad in ["", "yesterday", "2026-11-22", "-005000-01-01T00:00:00Z", "0000-12-31T23:59:59Z"] {
            assert_eq!(moment("at", bad).unwrap_err().status().as_u16(), 400, "{bad}");
        }
    }
}
