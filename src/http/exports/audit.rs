//! The audit trail as a file.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Export, Format, Part, ROWS_AT_ONCE, Reader, answer};
use crate::http::AppState;
use crate::http::admin::audit::{AuditItem, AuditQuery, filter};
use crate::http::connection::Connection;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, ComplianceOrAdmin};
use crate::http::problem::ApiError;
use crate::store::journal::AuditFilter;
use crate::store::{Store, StoreError};

/// What to look for, and how it is written; filters combine.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditExportQuery {
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
    /// `csv`, the default, or `jsonl`.
    #[param(inline)]
    pub format: Option<Format>,
}

struct Audit {
    store: Store,
    filter: AuditFilter,
}

impl Export for Audit {
    const NAME: &'static str = "audit";
    const COLUMNS: &'static [&'static str] = &["subject", "version", "type", "at", "actor", "requestId", "data"];
    type Item = AuditItem;
    type Place = i64;

    async fn page(&self, before: Option<i64>) -> Result<Part<Self>, StoreError> {
        let stretch = self.store.audit_stretch(&self.filter, before, ROWS_AT_ONCE).await?;
        let items = stretch.entries.into_iter().map(AuditItem::from).collect();
        Ok(Part { items, resume_after: stretch.resume_before })
    }
}

/// The audit trail as one file, newest first, by the filters of the list. A file that breaks off before its end is not complete.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/exports/audit",
    tag = "compliance",
    params(AuditExportQuery),
    responses((status = 200, description = "The audit trail", content(
        (String = "text/csv"),
        (String = "application/jsonl"),
    ))),
)]
pub async fn export_audit(
    State(state): State<AppState>,
    connection: Connection,
    authorized: Authorized<ComplianceOrAdmin>,
    QueryParameters(query): QueryParameters<AuditExportQuery>,
) -> Result<Response, ApiError> {
    let reader = Reader::of(&authorized.caller, connection);
    let AuditExportQuery { subject, event_type, actor, tenant_id, from, to, format } = query;
    let asked = AuditQuery { subject, event_type, actor, tenant_id, from, to, limit: None, page: None };
    let export = Audit { store: state.store.clone(), filter: filter(&state.plan, &asked)? };
    answer(&state, reader, export, format.unwrap_or_default()).await
}
