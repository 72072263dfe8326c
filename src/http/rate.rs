//! Rate limits at the edge: who has taken too many turns is told when the next one is (US-NUM-014).
//!
//! What must stay true: only who is known and may call takes a turn, and takes it before anything is read for the request.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::AppState;
use super::code::Code;
use super::guard::{Authorized, Demand};
use super::problem::ApiError;
use crate::auth::Caller;
use crate::cache::{RateLimit, Turn};

/// How many turns are left (the IETF's draft on rate-limit header fields).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// How many there are, and in how long.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// An authorized caller of the browse endpoint who had a turn left.
#[derive(Debug)]
pub struct Browsing<D> {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// To answer with.
    pub headers: HeaderMap,
    demand: PhantomData<D>,
}

impl<D: Demand> FromRequestParts<AppState> for Browsing<D> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = Authorized::<D>::from_request_parts(parts, state).await?.caller;
        let headers = take_turn(state, &state.limits.browse, &caller).await?;
        Ok(Self { caller, headers, demand: PhantomData })
    }
}

/// Takes a turn of the caller's, and gives the headers that say how many are left.
///
/// # Errors
/// `RATE_LIMITED`, with the same headers, where none was left.
pub(super) async fn take_turn(state: &AppState, limit: &RateLimit, caller: &Caller) -> Result<HeaderMap, ApiError> {
    // Whoever acts for no tenant is limited by itself.
    let who =
        caller.tenant.as_ref().map_or_else(|| format!("actor {}", caller.sub), |tenant| format!("tenant {tenant}"));
    let turn = limit.take(&who).await;
    let headers = headers(limit.name(), &turn);
    if turn.granted {
        return Ok(headers);
    }
    state.metrics.rate_limited.inc();
    let detail = format!("{} requests in {} s are allowed", turn.rate.turns, turn.rate.window.as_secs());
    let mut refusal = ApiError::new(Code::RateLimited, detail).retry_after(turn.next_in);
    for (name, value) in &headers {
        refusal = refusal.header(name.clone(), value.clone());
    }
    Err(refusal)
}

fn headers(name: &str, turn: &Turn) -> HeaderMap {
    let whole_seconds = |length: std::time::Duration| length.as_secs() + u64::from(length.subsec_nanos() > 0);
    let policy = format!("\"{name}\";q={};w={}", turn.rate.turns, whole_seconds(turn.rate.window));
    let left = format!("\"{name}\";r={};t={}", turn.left, whole_seconds(turn.all_in));
    let fields = [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)];
    fields.into_iter().filter_map(|(field, value)| Some((field, HeaderValue::from_str(&value).ok()?))).collect()
}
