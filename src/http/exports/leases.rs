//! Leases as a file: a tenant's own, for admins all.

use axum::extract::State;
use axum::response::Response;
use numbering_domain::{LeaseId, Rejection, TenantId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Export, Format, Part, ROWS_AT_ONCE, Reader, answer};
use crate::auth::Permission;
use crate::http::AppState;
use crate::http::connection::Connection;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, NumbersReadOrAdmin};
use crate::http::problem::ApiError;
use crate::http::shapes::LeaseBody;
use crate::store::{Store, StoreError};

/// How the leases are written.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct LeasesExportQuery {
    /// `csv`, the default, or `jsonl`.
    #[param(inline)]
    pub format: Option<Format>,
}

struct Leases {
    store: Store,
    tenant: Option<TenantId>,
}

impl Export for Leases {
    const NAME: &'static str = "leases";
    const COLUMNS: &'static [&'static str] = &[
        "leaseId",
        "priorLeaseId",
        "identifier",
        "identifierClass",
        "tenantId",
        "state",
        "effectiveFrom",
        "effectiveUntil",
        "term",
        "autoRenew",
        "vanity",
        "locked",
        "price.amount",
        "price.currency",
        "price.per",
    ];
    type Item = LeaseBody;
    type Place = LeaseId;

    async fn page(&self, before: Option<LeaseId>) -> Result<Part<Self>, StoreError> {
        let leases = self.store.leases(self.tenant.as_ref(), before, ROWS_AT_ONCE).await?;
        let full = leases.len() as u64 == ROWS_AT_ONCE.unsigned_abs();
        let resume_after = leases.last().filter(|_| full).map(|last| last.lease.lease_id);
        Ok(Part { items: leases.iter().map(LeaseBody::from).collect(), resume_after })
    }
}

/// The caller's leases as one file, newest first, ended ones too; for an admin whose token names no tenant, all. A file that
/// breaks off before its end is not complete.
#[utoipa::path(
    get,
    path = "/v1/exports/leases",
    tag = "leases",
    params(LeasesExportQuery),
    responses((status = 200, description = "The leases", content(
        (String = "text/csv"),
        (String = "application/jsonl"),
    ))),
)]
pub async fn export_leases(
    State(state): State<AppState>,
    connection: Connection,
    authorized: Authorized<NumbersReadOrAdmin>,
    QueryParameters(query): QueryParameters<LeasesExportQuery>,
) -> Result<Response, ApiError> {
    let reader = Reader::of(&authorized.caller, connection);
    let tenant = authorized.caller.tenant.clone();
    if tenant.is_none() && !authorized.caller.may(Permission::NumberingAdmin) {
        return Err(Rejection::TenantRequired.into());
    }
    let export = Leases { store: state.store.clone(), tenant };
    answer(&state, reader, export, query.format.unwrap_or_default()).await
}
