//! The REST interface: what every request meets before and after its endpoint.
//!
//! What must stay true: every answer that is not a success is a problem of the table in [`code`]; every route is in the
//! OpenAPI document; every request leaves one log line.

pub mod admin;
pub mod code;
pub mod command;
pub mod connection;
pub mod cursor;
mod docs;
pub(crate) mod documented;
pub mod exports;
pub mod extract;
pub mod guard;
mod health;
pub mod leases;
pub mod numbers;
pub mod paging;
pub mod problem;
pub mod quota;
pub mod rate;
pub mod request;
mod request_log;
mod server;
pub mod shapes;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Response};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use numbering_domain::NumberingPlan;
use tokio::sync::Notify;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

pub use health::Readiness;
pub use server::serve;

use crate::auth::Verifier;
use crate::cache::RateLimit;
use crate::config::Config;
use crate::jobs::Wakes;
use crate::operations::blocks::Blocks;
use crate::operations::capacity::Capacity;
use crate::operations::numbers::Numbers;
use crate::operations::places::Places;
use crate::operations::quotas::Quotas;
use crate::store::Store;
use crate::telemetry::Metrics;
use code::Code;
use cursor::Cursors;
use problem::ApiError;

/// How much callers may ask for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How often a tenant may browse (US-NUM-014).
    pub browse: RateLimit,
    /// How often a tenant may have numbers searched for.
    pub allocate: RateLimit,
    /// The places for searches.
    pub searches: Places,
    /// The places for exports.
    pub exports: Places,
}

/// What the endpoints share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The configuration.
    pub config: Arc<Config>,
    /// Verifies bearer tokens.
    pub verifier: Arc<Verifier>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the service can answer.
    pub readiness: Arc<Readiness>,
    /// The canonicaliser of identifiers.
    pub plan: Arc<NumberingPlan>,
    /// PostgreSQL, for what is only read or is no number's state.
    pub store: Store,
    /// The commands about numbers.
    pub numbers: Numbers,
    /// What tenants may have, and have.
    pub quotas: Quotas,
    /// Brings numbers in.
    pub blocks: Blocks,
    /// Makes and opens the cursors of lists.
    pub cursors: Cursors,
    /// Woken after a commit that left events to publish.
    pub committed: Arc<Notify>,
    /// How much of each pool is left.
    pub capacity: Capacity,
    /// Wakes the jobs of this process.
    pub wakes: Wakes,
    /// How much callers may ask for.
    pub limits: Limits,
}

/// Endpoints that answer within `http.request_timeout`.
fn endpoints() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .merge(health::routes())
        .merge(numbers::routes())
        .merge(leases::routes())
        .merge(quota::routes())
        .merge(exports::routes())
        .merge(admin::routes())
}

/// Endpoints with a time limit and body limit of their own: uploads.
fn uploads() -> OpenApiRouter<AppState> {
    admin::uploads()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Numbering",
        description = "Keeps every identity a messaging platform can send from, and decides who may use which, when.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    tags(
        (name = "numbers", description = "Browse, reserve, hold, lease, release and recall numbers."),
        (name = "leases", description = "A tenant's right to send from a number for one term."),
        (name = "quota", description = "What a tenant may have, and has."),
        (name = "admin", description = "Operators, keys, blocks, inventory, tenants, capacity, jobs."),
        (name = "compliance", description = "History, the audit trail and reports."),
        (name = "running", description = "Health, readiness, metrics."),
    )
)]
struct Document;

fn with_document(routes: OpenApiRouter<AppState>) -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let titled = OpenApiRouter::with_openapi(<Document as utoipa::OpenApi>::openapi()).merge(routes);
    let (served, mut document) = titled.split_for_parts();
    documented::complete(&mut document);
    (served, document)
}

/// The OpenAPI 3.1 document of everything that is served.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    with_document(endpoints().merge(uploads())).1
}

/// The whole REST interface.
pub(crate) fn router(state: AppState) -> Router {
    let time_limited = endpoints().layer(middleware::from_fn_with_state(state.clone(), within_time));
    let (router, document) = with_document(time_limited.merge(uploads()));
    finished(router.merge(docs::routes(&document)), state)
}

/// What stands around every route, from the innermost to the outermost.
fn finished(router: Router<AppState>, state: AppState) -> Router {
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(state.config.http.body_limit_bytes))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::map_response(with_security_headers))
        .layer(middleware::from_fn_with_state(state.clone(), request_log::record))
        .with_state(state)
}

async fn within_time(State(state): State<AppState>, request: Request, next: Next) -> axum::response::Response {
    let limit = state.config.http.request_timeout;
    match tokio::time::timeout(limit.duration(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable(
            "the request took too long; what it asked for may still happen: ask for the result, or repeat it with its \
             Idempotency-Key",
            format!("http.request_timeout of {limit} is over"),
        )
        .into_response(),
    }
}

async fn nothing_here() -> ApiError {
    ApiError::not_found("no route has this path; /docs lists them all")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "this path has other methods; the header Allow lists them")
}

fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    // The message and place are logged by the panic hook.
    ApiError::internal("a panic").into_response()
}

async fn with_security_headers(mut response: axum::response::Response) -> axum::response::Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
