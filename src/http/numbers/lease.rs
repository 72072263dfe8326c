//! A tenant takes a number for a term (US-NUM-003, US-NUM-012).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use numbering_domain::lease::LeaseState;
use numbering_domain::term::InvalidTerm;
use numbering_domain::{Rejection, TenantId, Term, Transition};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::{Caller, Permission};
use crate::config::PolicySettings;
use crate::http::AppState;
use crate::http::command::{Command, answer};
use crate::http::documented::problem_responses;
use crate::http::extract::{JsonBody, PathIdentifier};
use crate::http::guard::NumbersWriteOrAdmin;
use crate::http::problem::{ApiError, Invalid};
use crate::http::shapes::LeaseBody;
use crate::operations::numbers::{Ask, OnBehalfOf};
use crate::store::idempotency::Answer;

/// What is asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LeaseRequest {
    /// The tenant to lease to: the token's own, unless an admin acts for another. The token's own by default.
    #[schema(example = "tenant-a")]
    pub tenant_id: Option<String>,
    /// For how long: days, months or years.
    #[schema(example = "6m")]
    pub term: String,
    /// Whether to renew it when it ends.
    #[serde(default)]
    pub auto_renew: bool,
    /// Whether as vanity, for `1y` or `3y`.
    #[serde(default)]
    pub vanity_flag: bool,
}

problem_responses! {
    /// Refusals of a lease.
    LeaseProblems = [TenantSuspended, OperatorNotAllowed, InvalidTerm, NotVanityEligible, QuarantineActive, NotAvailable, ReservedByOtherTenant, HeldByOtherTenant, AlreadyLeased, BypassRequired, QuotaExceeded];
}

/// Leases a number: RESERVED or HELD (own) → LEASED; AVAILABLE only with `numbers.lease.bypass`.
#[utoipa::path(
    post,
    path = "/v1/numbers/{identifier}/lease",
    tag = "numbers",
    params(("identifier" = String, Path, description = "The identifier, percent-encoded where needed")),
    request_body = LeaseRequest,
    responses((status = 201, description = "The lease", body = LeaseBody), LeaseProblems),
)]
pub async fn lease(
    State(state): State<AppState>,
    command: Command<NumbersWriteOrAdmin>,
    PathIdentifier(number): PathIdentifier,
    body: JsonBody<LeaseRequest>,
) -> Result<Response, ApiError> {
    let tenant = tenant_to_act_for(&command.caller, body.value.tenant_id.as_deref())?;
    let ask = Ask::Lease {
        term: offered_term(&body.value.term, &state.config.policy)?,
        auto_renew: body.value.auto_renew,
        vanity: body.value.vanity_flag,
        may_bypass: command.caller.may(Permission::NumbersLeaseBypass),
    };
    command.order(&state, &body.sha256, number.identifier, OnBehalfOf::Tenant(tenant), ask, lease_answer).await
}

/// The tenant of the token, or another that an admin names.
fn tenant_to_act_for(caller: &Caller, named: Option<&str>) -> Result<TenantId, ApiError> {
    let Some(named) = named else {
        return caller.tenant.clone().ok_or_else(|| Rejection::TenantRequired.into());
    };
    if caller.tenant.as_ref().is_some_and(|own| own.as_str() == named) || caller.may(Permission::NumberingAdmin) {
        return TenantId::parse(named).map_err(|invalid| {
            ApiError::invalid(vec![Invalid { pointer: "/tenantId".into(), detail: invalid.to_string() }])
        });
    }
    Err(ApiError::forbidden(Permission::NumberingAdmin))
}

fn offered_term(text: &str, policy: &PolicySettings) -> Result<Term, Rejection> {
    let term = Term::parse(text, policy.short_terms)?;
    let longest = Term::parse(&policy.max_term, policy.short_terms)?;
    let start = Timestamp::UNIX_EPOCH;
    if term.end(start) > longest.end(start) { Err(InvalidTerm.into()) } else { Ok(term) }
}

fn lease_answer(_: &Caller, done: &Transition) -> Answer {
    let body = done.after.state.lease().map(|lease| LeaseBody::of(&done.after, lease, LeaseState::Leased));
    answer(StatusCode::CREATED, &body)
}
