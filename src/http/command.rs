//! What every command about a number shares: who asks, the idempotency key, the journal's origin, and the answer that is
//! kept with the effect.
//!
//! What must stay true: an answer is kept under its key in the same commit as its effect, a refusal is kept by itself, and a
//! failure that may pass keeps nothing, so that the client may try again.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use numbering_domain::{Identifier, Rejection, TenantId, Transition};
use serde::Serialize;
use uuid::Uuid;

use super::AppState;
use super::code::Code;
use super::extract::IdempotencyKey;
use super::guard::{Authorized, Demand};
use super::problem::{ApiError, PROBLEM_JSON};
use super::request::RequestId;
use crate::auth::{Caller, Permission};
use crate::operations::numbers::{Ask, Guard, OnBehalfOf, Order, OrderError, Render};
use crate::store::commit::Origin;
use crate::store::idempotency::{Answer, Claim, Claimed};

/// On an answer that was given before.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A POST by an authorized caller, but for its path's values and its body.
#[derive(Debug)]
pub struct Command<D> {
    /// Who asks.
    pub caller: Arc<Caller>,
    request_id: String,
    route: String,
    key: Option<String>,
    demand: std::marker::PhantomData<D>,
}

impl<D: Demand> FromRequestParts<AppState> for Command<D> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let authorized = Authorized::<D>::from_request_parts(parts, state).await?;
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, state).await?;
        let Ok(RequestId(request_id)) = RequestId::from_request_parts(parts, state).await;
        Ok(Self {
            caller: authorized.caller,
            request_id,
            route: format!("{} {}", parts.method, parts.uri.path()),
            key,
            demand: std::marker::PhantomData,
        })
    }
}

/// An answer in the making: status and body.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    Answer { status: status.as_u16(), body: serde_json::to_string(body).unwrap_or_default() }
}

pub(crate) fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media_type = if status.is_success() { "application/json" } else { PROBLEM_JSON };
    (status, [(CONTENT_TYPE, HeaderValue::from_static(media_type))], answer.body).into_response()
}

impl<D> Command<D> {
    /// Who acts, for the journal.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { actor: self.caller.sub.clone(), request_id: self.request_id.clone() }
    }

    /// The tenant that the token names.
    ///
    /// # Errors
    /// 403 where it names none.
    pub fn tenant(&self) -> Result<TenantId, ApiError> {
        self.caller.tenant.clone().ok_or_else(|| Rejection::TenantRequired.into())
    }

    /// Does what is asked of a number and answers with what `render` makes of it, once for each idempotency key.
    pub async fn order(
        self,
        state: &AppState,
        body_sha256: &[u8; 32],
        identifier: Identifier,
        on_behalf_of: OnBehalfOf,
        ask: Ask,
        render: impl Fn(&Caller, &Transition) -> Answer + Send + Sync + 'static,
    ) -> Result<Response, ApiError> {
        let origin = self.origin();
        let caller = Arc::clone(&self.caller);
        let render: Render = Arc::new(move |transition| render(&caller, transition));
        let order = Order { identifier, on_behalf_of, ask, origin };
        self.once(state, body_sha256, async |claim| {
            let guard = claim.map(|claim| Guard { claim, render: Arc::clone(&render) });
            let done = state.numbers.execute(order, guard).await?;
            Ok(render(&done))
        })
        .await
    }

    /// Who shares an idempotency key: the tenant's own, or the actor where the token names no tenant. An admin's answers may
    /// tell of every tenant, so that they are never replayed to others of the admin's tenant.
    fn scope(&self) -> String {
        let admin = if self.caller.may(Permission::NumberingAdmin) { "admin " } else { "" };
        match &self.caller.tenant {
            Some(tenant) => format!("{admin}tenant {tenant}"),
            None => format!("{admin}actor {}", self.caller.sub),
        }
    }

    /// Runs `effect` once for each idempotency key. With a claim, `effect` keeps its answer in the commit of its effect.
    pub async fn once(
        &self,
        state: &AppState,
        body_sha256: &[u8; 32],
        effect: impl AsyncFnOnce(Option<Claim>) -> Result<Answer, ApiError>,
    ) -> Result<Response, ApiError> {
        let Some(key) = &self.key else {
            return effect(None).await.map(respond);
        };
        let claim = Claim { scope: self.scope(), route: self.route.clone(), key: key.clone(), owner: Uuid::now_v7() };
        let settings = &state.config.idempotency;
        let claimed = state
            .store
            .claim_idempotency_key(claim, body_sha256, settings.claim.duration(), settings.keep.duration())
            .await?;
        let claim = match claimed {
            Claimed::Ours(claim) => claim,
            Claimed::Answered(answer) => {
                let mut response = respond(answer);
                response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
                return Ok(response);
            }
            Claimed::Reused => {
                let detail = "this Idempotency-Key was used for another request: use a new one";
                return Err(ApiError::new(Code::IdempotencyKeyReused, detail));
            }
            Claimed::InFlight => {
                let detail = "the first request with this Idempotency-Key is still running: try again shortly";
                return Err(ApiError::new(Code::IdempotencyInFlight, detail));
            }
        };
        match effect(Some(claim.clone())).await {
            Ok(answer) => Ok(respond(answer)),
            Err(refusal) => {
                if refusal.status().is_client_error() {
                    let answer = Answer { status: refusal.status().as_u16(), body: refusal.to_text() };
                    state.store.keep_answer(&claim, &answer).await?;
                } else if let Err(error) = state.store.give_up_claim(&claim).await {
                    // The claim lapses by itself; the failure that matters is the one being answered.
                    tracing::warn!(%error, "an idempotency claim could not be given up");
                }
                Err(refusal)
            }
        }
    }
}

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Rejected(rejection) => rejection.into(),
            OrderError::Store(error) => error.into(),
            OrderError::Unpriced { .. } | OrderError::Interrupted(_) => Self::internal(error),
        }
    }
}

/// An admin decides in their own right, a tenant for its own; nobody else may.
///
/// # Errors
/// 403 for a caller who is no admin and whose token names no tenant.
pub fn admin_or_tenant(caller: &Caller) -> Result<OnBehalfOf, ApiError> {
    if caller.may(Permission::NumberingAdmin) {
        return Ok(OnBehalfOf::Authority);
    }
    let tenant = caller.tenant.clone().ok_or(Rejection::TenantRequired)?;
    Ok(OnBehalfOf::Tenant(tenant))
}
