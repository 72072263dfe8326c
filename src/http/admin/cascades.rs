//! Cascades: the recall of everything that a suspended tenant has (US-NUM-004), and the confirmation of a large one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::AppState;
use crate::http::code::Code;
use crate::http::command::{Command, answer};
use crate::http::documented::problem_responses;
use crate::http::extract::{OptionalJsonBody, PathValue, QueryParameters};
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::numbers::NoInput;
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::shapes::Page;
use crate::jobs::cascade_recalls;
use crate::store::cascades::{Cascade, CascadeState, Confirmed};
use crate::store::idempotency::Answer;

/// Which page.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct CascadesQuery {
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

/// The recall of everything that a suspended tenant has.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CascadeBody {
    /// Which.
    pub cascade_id: Uuid,
    /// The suspended tenant.
    pub tenant_id: String,
    /// The case that every recall bears.
    pub ticket_id: String,
    /// The event that brought the suspension: the audit trail has what was done for it under this request.
    pub event_id: String,
    /// `AWAITING_CONFIRMATION`, `RUNNING`, `DONE` or `CANCELLED` (the tenant is in good standing again).
    pub state: String,
    /// How many leases the tenant had when it was suspended.
    #[schema(minimum = 0)]
    pub leases: i32,
    /// How many reservations and holds it had.
    #[schema(minimum = 0)]
    pub reservations: i32,
    /// How many leases were recalled; while it is unfinished, how many of them are there no more.
    #[schema(minimum = 0)]
    pub recalled: i32,
    /// How many reservations and holds were released; while it is unfinished, how many of them are there no more.
    #[schema(minimum = 0)]
    pub released: i32,
    /// When the tenant was suspended.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was done or cancelled; null before.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

impl From<Cascade> for CascadeBody {
    fn from(cascade: Cascade) -> Self {
        Self {
            cascade_id: cascade.cascade_id,
            tenant_id: cascade.tenant.to_string(),
            ticket_id: cascade.ticket.to_string(),
            event_id: cascade.event_id,
            state: cascade.state.as_str().to_owned(),
            leases: cascade.leases,
            reservations: cascade.reservations,
            recalled: cascade.recalled,
            released: cascade.released,
            created_at: cascade.created_at,
            finished_at: cascade.finished_at,
        }
    }
}

problem_responses! {
    /// Refusals of a list.
    CascadesProblems = [InvalidCursor];
    /// Refusals of a confirmation.
    ConfirmProblems = [InvalidState];
}

/// Cascades, newest first.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/cascades",
    tag = "admin",
    params(CascadesQuery),
    responses((status = 200, description = "A page of cascades", body = Page<CascadeBody>), CascadesProblems),
)]
pub async fn list_cascades(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    QueryParameters(query): QueryParameters<CascadesQuery>,
) -> Result<Json<Page<CascadeBody>>, ApiError> {
    let paging = Paging::of(&state.cursors, &["", "cascades"], query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let before = paging.last.as_deref().and_then(|last| last.parse().ok());
    let cascades = state.store.cascades(before, paging.rows_to_read()).await?;
    Ok(Json(paging.page(cascades, |cascade| cascade.cascade_id.to_string()).map(CascadeBody::from)))
}

/// Lets a cascade go on that waits because it is large (`policy.cascade_confirm_above`).
#[utoipa::path(
    post,
    path = "/v1/admin/numbering/cascades/{cascadeId}/confirm",
    tag = "admin",
    params(("cascadeId" = Uuid, Path, description = "The cascade")),
    responses((status = 200, description = "The cascade, which goes on", body = CascadeBody), ConfirmProblems),
)]
pub async fn confirm_cascade(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathValue(cascade_id): PathValue<Uuid>,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    let origin = command.origin();
    command
        .once(&state, &body.sha256, async |claim| {
            let kept = claim.as_ref().map(|claim| (claim, &confirmed_answer as _));
            match state.store.confirm_cascade(cascade_id, &origin, kept).await? {
                Confirmed::Now(cascade) => {
                    state.wakes.wake(cascade_recalls::NAME);
                    Ok(confirmed_answer(&cascade))
                }
                Confirmed::NotWaiting(stands) => Err(not_waiting(stands)),
                Confirmed::Unknown => Err(ApiError::not_found("there is no such cascade")),
            }
        })
        .await
}

fn confirmed_answer(cascade: &Cascade) -> Answer {
    answer(StatusCode::OK, &CascadeBody::from(cascade.clone()))
}

fn not_waiting(stands: CascadeState) -> ApiError {
    let detail = format!("the cascade does not wait to be confirmed: it is {}", stands.as_str());
    ApiError::new(Code::InvalidState, detail).with("state", stands.as_str())
}
