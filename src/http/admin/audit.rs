//! The audit trail, filtered.

use axum::Json;
use axum::extract::State;
use numbering_domain::NumberingPlan;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::history::{HistoryItem, moment};
use crate::http::AppState;
use crate::http::documented::problem_responses;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, ComplianceOrAdmin};
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::shapes::Page;
use crate::store::journal::{AuditFilter, Entry};

/// What to look for; filters combine.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only about this identifier, block, operator, tenant or price.
    pub subject: Option<String>,
    /// Only of this type.
    #[serde(rename = "type")]
    #[param(example = "numbering.quarantine.overridden")]
    pub event_type: Option<String>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only about this tenant.
    pub tenant_id: Option<String>,
    /// Not before then (RFC 3339).
    #[param(format = DateTime)]
    pub from: Option<String>,
    /// Before then (RFC 3339).
    #[param(format = DateTime)]
    pub to: Option<String>,
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

/// One thing that happened, and what it was about.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditItem {
    /// A canonical identifier, a block, an operator, a tenant or a price.
    pub subject: String,
    /// What happened.
    #[serde(flatten)]
    pub item: HistoryItem,
}

impl From<Entry> for AuditItem {
    fn from(entry: Entry) -> Self {
        Self { subject: entry.subject.clone(), item: HistoryItem::from(entry) }
    }
}

problem_responses! {
    /// Refusals of a list.
    AuditProblems = [InvalidCursor];
}

/// What the journal may have a subject under: as it stands, or an identifier's canonical key. A `+` in a query string arrives
/// as a space.
fn subjects(plan: &NumberingPlan, subject: &str) -> Vec<String> {
    let typed = subject.strip_prefix(' ').map_or_else(|| subject.to_owned(), |digits| format!("+{digits}"));
    let canonical = plan.parse(&typed).ok().map(|registered| registered.identifier.key().to_owned());
    std::iter::once(typed).chain(canonical).collect()
}

/// What the query means.
pub(in crate::http) fn filter(plan: &NumberingPlan, query: &AuditQuery) -> Result<AuditFilter, ApiError> {
    Ok(AuditFilter {
        subjects: query.subject.as_deref().map(|subject| subjects(plan, subject)),
        event_type: query.event_type.clone(),
        actor: query.actor.clone(),
        tenant: query.tenant_id.clone(),
        from: query.from.as_deref().map(|from| moment("from", from)).transpose()?,
        to: query.to.as_deref().map(|to| moment("to", to)).transpose()?,
    })
}

/// Everything that happened, newest first.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/audit",
    tag = "compliance",
    params(AuditQuery),
    responses((status = 200, description = "A page of the audit trail", body = Page<AuditItem>), AuditProblems),
)]
pub async fn audit(
    State(state): State<AppState>,
    _authorized: Authorized<ComplianceOrAdmin>,
    QueryParameters(query): QueryParameters<AuditQuery>,
) -> Result<Json<Page<AuditItem>>, ApiError> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let filters = [&query.subject, &query.event_type, &query.actor, &query.tenant_id, &query.from, &query.to].map(text);
    let mut bound_to = vec!["", "audit"];
    bound_to.extend(filters.iter().map(String::as_str));
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let filter = filter(&state.plan, &query)?;
    let before = paging.last.as_deref().and_then(|last| last.parse().ok());
    let entries = state.store.audit(&filter, before, paging.rows_to_read()).await?;
    Ok(Json(paging.page(entries, |entry| entry.seq.to_string()).map(AuditItem::from)))
}
