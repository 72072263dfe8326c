//! One log line, and one observation in the metrics, for every request.
//!
//! What must stay true: the line has the route's template and never the path, the query, a body, an identifier unmasked,
//! or any part of a token.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use numbering_domain::TenantId;

use super::AppState;
use super::code::Code;
use super::request::{RequestRecord, X_REQUEST_ID};
use crate::telemetry::{HttpRequest, HttpRoute};

/// The template of a request that no route matched.
const UNMATCHED: &str = "unmatched";

/// Serves the request under a record of its own and writes its line.
pub(super) async fn record(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let record = RequestRecord::new(request.headers());
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(Arc::clone(&record));

    let mut response = Arc::clone(&record).serving(next.run(request)).await;

    if let Ok(id) = HeaderValue::from_str(record.id()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    let total = started.elapsed();
    let status = response.status().as_u16();
    let caller = record.caller();
    tracing::info!(
        request_id = record.id(),
        method,
        route,
        status,
        code = response.extensions().get::<Code>().map(|code| code.as_str()),
        tenant = caller.and_then(|caller| caller.tenant.as_ref()).map(TenantId::as_str),
        actor = caller.map(|caller| caller.sub.as_str()),
        identifier = record.identifier(),
        total_ms = total.as_secs_f64() * 1_000.0,
        database_ms = record.store_use().elapsed().as_secs_f64() * 1_000.0,
        queries = record.store_use().queries(),
        "request"
    );
    state.metrics.http_requests.get_or_create(&HttpRequest { method, route: route.clone(), status }).inc();
    state.metrics.http_request_seconds.get_or_create(&HttpRoute { method, route }).observe(total.as_secs_f64());
    response
}

/// The method as a label: a client cannot make new ones.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
