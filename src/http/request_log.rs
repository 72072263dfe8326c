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
use crate::telemetry::{HttpRequest, HttpRoute, Metrics};

/// The template of a request that no route matched.
const UNMATCHED: &str = "unmatched";

/// The status of a request whose client hung up before there was an answer. No client ever sees it.
const HUNG_UP: u16 = 499;

/// Serves the request under a record of its own and writes its line.
pub(super) async fn record(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let mut line = Line {
        started: Instant::now(),
        metrics: Arc::clone(&state.metrics),
        record: RequestRecord::new(request.headers()),
        method: method_name(request.method()),
        route: request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned(),
        status: HUNG_UP,
        code: None,
    };
    request.extensions_mut().insert(Arc::clone(&line.record));

    let mut response = Arc::clone(&line.record).serving(next.run(request)).await;

    line.status = response.status().as_u16();
    line.code = response.extensions().get::<Code>().copied();
    if let Ok(id) = HeaderValue::from_str(line.record.id()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// What becomes of a request, written down when it is dropped: also a client that hangs up ends its request.
struct Line {
    started: Instant,
    metrics: Arc<Metrics>,
    record: Arc<RequestRecord>,
    method: &'static str,
    route: String,
    status: u16,
    code: Option<Code>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self { method, status, .. } = *self;
        let total = self.started.elapsed();
        let caller = self.record.caller();
        tracing::info!(
            request_id = self.record.id(),
            method,
            route = self.route,
            status,
            code = self.code.map(Code::as_str),
            tenant = caller.and_then(|caller| caller.tenant.as_ref()).map(TenantId::as_str),
            actor = caller.map(|caller| caller.sub.as_str()),
            identifier = self.record.identifier(),
            total_ms = total.as_secs_f64() * 1_000.0,
            database_ms = self.record.store_use().elapsed().as_secs_f64() * 1_000.0,
            queries = self.record.store_use().queries(),
            "request"
        );
        let route = std::mem::take(&mut self.route);
        self.metrics.http_requests.get_or_create(&HttpRequest { method, route: route.clone(), status }).inc();
        self.metrics.http_request_seconds.get_or_create(&HttpRoute { method, route }).observe(total.as_secs_f64());
    }
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
