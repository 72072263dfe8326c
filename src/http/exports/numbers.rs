//! A tenant's own numbers as a file.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use numbering_domain::{Rejection, TenantId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Export, Format, Part, ROWS_AT_ONCE, Reader, answer};
use crate::auth::Caller;
use crate::http::AppState;
use crate::http::connection::Connection;
use crate::http::extract::QueryParameters;
use crate::http::guard::{Authorized, NumbersReadOrAdmin};
use crate::http::numbers::read::claimed_states;
use crate::http::problem::ApiError;
use crate::http::shapes::NumberBody;
use crate::store::{Store, StoreError};

/// Which of the caller's numbers, and how they are written.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct NumbersExportQuery {
    /// Only in this state: `RESERVED`, `HELD`, `LEASED` or `SUSPENDED`.
    #[param(example = "LEASED")]
    pub state: Option<String>,
    /// `csv`, the default, or `jsonl`.
    #[param(inline)]
    pub format: Option<Format>,
}

struct Numbers {
    store: Store,
    caller: Arc<Caller>,
    tenant: TenantId,
    states: Vec<&'static str>,
}

impl Export for Numbers {
    const NAME: &'static str = "numbers";
    const COLUMNS: &'static [&'static str] = &[
        "identifier",
        "identifierClass",
        "state",
        "operatorId",
        "blockId",
        "vanityEligible",
        "priceTier",
        "validFrom",
        "version",
        "reservationId",
        "leaseId",
        "tenantId",
        "expiresAt",
        "effectiveUntil",
    ];
    type Item = NumberBody;
    type Place = String;

    async fn page(&self, after: Option<String>) -> Result<Part<Self>, StoreError> {
        let after = after.unwrap_or_default();
        let numbers = self.store.numbers_of_tenant(&self.tenant, &self.states, &after, ROWS_AT_ONCE).await?;
        let full = numbers.len() as u64 == ROWS_AT_ONCE.unsigned_abs();
        let resume_after = numbers.last().filter(|_| full).map(|last| last.identifier.key().to_owned());
        let items = numbers.iter().map(|number| NumberBody::shown_to(&self.caller, number)).collect();
        Ok(Part { items, resume_after })
    }
}

/// The caller's own numbers as one file, by identifier: reserved, held, leased or suspended. Each is as it was when its part of
/// the file was read. A file that breaks off before its end is not complete.
#[utoipa::path(
    get,
    path = "/v1/exports/numbers",
    tag = "numbers",
    params(NumbersExportQuery),
    responses((status = 200, description = "The numbers", content(
        (String = "text/csv"),
        (String = "application/jsonl"),
    ))),
)]
pub async fn export_numbers(
    State(state): State<AppState>,
    connection: Connection,
    authorized: Authorized<NumbersReadOrAdmin>,
    QueryParameters(query): QueryParameters<NumbersExportQuery>,
) -> Result<Response, ApiError> {
    let reader = Reader::of(&authorized.caller, connection);
    let tenant = authorized.caller.tenant.clone().ok_or(Rejection::TenantRequired)?;
    let states = claimed_states(query.state.as_deref())?;
    let export = Numbers { store: state.store.clone(), caller: authorized.caller, tenant, states };
    answer(&state, reader, export, query.format.unwrap_or_default()).await
}
