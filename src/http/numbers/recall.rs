//! A lease is taken back (US-NUM-004).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use numbering_domain::lease::LeaseState;
use numbering_domain::{Event, RecallReason, Rejection, TicketId, Transition};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::{Caller, Permission};
use crate::http::AppState;
use crate::http::command::{Command, admin_or_tenant, answer};
use crate::http::documented::problem_responses;
use crate::http::extract::{JsonBody, PathIdentifier};
use crate::http::guard::NumbersWriteOrAdmin;
use crate::http::problem::{ApiError, Invalid};
use crate::http::shapes::LeaseBody;
use crate::operations::numbers::Ask;
use crate::store::idempotency::Answer;

/// The longest statement of who acted, in characters.
const ACTOR_MOST_CHARS: usize = 128;

/// Why, by whom, and in which case.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RecallRequest {
    /// `REGULATOR_ORDER` and `ABUSE` (both need `ticketId`), `TENANT_INITIATED`, `TENANT_SUSPENDED`. A tenant may only say
    /// `TENANT_INITIATED`.
    #[schema(example = "REGULATOR_ORDER")]
    pub reason: String,
    /// Who acts: the token's `sub`, which is the default, or a system's statement of who acted, by an admin's token.
    pub actor_id: Option<String>,
    /// The case that it rests on.
    #[schema(example = "ATRA-2026-0117")]
    pub ticket_id: Option<String>,
}

problem_responses! {
    /// Refusals of a recall.
    RecallProblems = [TicketRequired, NotLeased, NotLeaseHolder];
}

/// Recalls a lease: LEASED or SUSPENDED → RECALLED, and on to its cool-down in the same commit.
#[utoipa::path(
    post,
    path = "/v1/numbers/{identifier}/recall",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    request_body = RecallRequest,
    responses((status = 200, description = "The lease, RECALLED, with availableAt", body = LeaseBody), RecallProblems),
)]
pub async fn recall(
    State(state): State<AppState>,
    command: Command<NumbersWriteOrAdmin>,
    PathIdentifier(number): PathIdentifier,
    body: JsonBody<RecallRequest>,
) -> Result<Response, ApiError> {
    let on_behalf_of = admin_or_tenant(&command.caller)?;
    let ask = Ask::Recall {
        stated_actor: stated_actor(&command.caller, body.value.actor_id.as_deref())?,
        reason: reason(&command.caller, &body.value)?,
    };
    command.order(&state, &body.sha256, number.identifier, on_behalf_of, ask, recall_answer).await
}

/// Who acted, where an admin's system says that it was another than itself.
fn stated_actor(caller: &Caller, stated: Option<&str>) -> Result<Option<String>, ApiError> {
    match stated {
        None => Ok(None),
        Some(stated) if stated == caller.sub => Ok(None),
        Some(_) if !caller.may(Permission::NumberingAdmin) => Err(ApiError::forbidden(Permission::NumberingAdmin)),
        Some(stated) if stated.trim().is_empty() || stated.chars().count() > ACTOR_MOST_CHARS => {
            let detail = format!("must have 1 to {ACTOR_MOST_CHARS} characters");
            Err(ApiError::invalid(vec![Invalid { pointer: "/actorId".into(), detail }]))
        }
        Some(stated) => Ok(Some(stated.to_owned())),
    }
}

fn reason(caller: &Caller, body: &RecallRequest) -> Result<RecallReason, ApiError> {
    if !RecallReason::WORDS.contains(&body.reason.as_str()) {
        let detail = format!("must be one of {}", RecallReason::WORDS.join(", "));
        return Err(ApiError::invalid(vec![Invalid { pointer: "/reason".into(), detail }]));
    }
    if body.reason != "TENANT_INITIATED" && !caller.may(Permission::NumberingAdmin) {
        return Err(ApiError::forbidden(Permission::NumberingAdmin));
    }
    let named = body.ticket_id.as_deref().filter(|ticket| !ticket.trim().is_empty());
    let ticket = named.map(TicketId::parse).transpose().map_err(|invalid| {
        ApiError::invalid(vec![Invalid { pointer: "/ticketId".into(), detail: invalid.to_string() }])
    })?;
    let parsed = RecallReason::parse(&body.reason, ticket);
    Ok(parsed.unwrap_or(Err(Rejection::TicketRequired))?)
}

fn recall_answer(_: &Caller, done: &Transition) -> Answer {
    let recalled = done.ended.iter().find(|ended| ended.state == LeaseState::Recalled);
    let body = recalled.map(|ended| {
        let available_at = done.steps.iter().find_map(|step| match step.event {
            Event::LeaseRecalled { available_at, .. } => Some(available_at),
            _ => None,
        });
        LeaseBody { available_at, ..LeaseBody::of(&done.after, &ended.lease, LeaseState::Recalled) }
    });
    answer(StatusCode::OK, &body)
}
