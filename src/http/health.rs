//! Whether the process lives, whether it should be sent requests, and its metrics. Open to all, for probes and scrapers.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::code::Code;
use super::documented::problem_responses;
use super::problem::ApiError;
use crate::telemetry::Metrics;

/// Whether the service can answer: PostgreSQL answers, and no stop was asked for. Redis and NATS are helpers and count not.
#[derive(Debug, Default)]
pub struct Readiness {
    database: AtomicBool,
    stopping: AtomicBool,
}

impl Readiness {
    /// Told by whoever asks PostgreSQL from time to time whether it answers. Before that, the service is not ready.
    pub fn database_answers(&self, answers: bool) {
        self.database.store(answers, Ordering::Relaxed);
    }

    /// The service is going to stop.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why the service is not ready.
    #[must_use]
    pub fn obstacle(&self) -> Option<&'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            Some("the service is stopping")
        } else if self.database.load(Ordering::Relaxed) {
            None
        } else {
            Some("the database does not answer")
        }
    }
}

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

problem_responses! {
    /// Not ready.
    ReadinessProblems = [Unavailable];
}

/// Whether the process lives.
///
/// Says yes as long as the process can answer at all, whatever else is broken: for restarting it.
#[utoipa::path(get, path = "/healthz", tag = "running", responses((status = 200, body = Health, description = "It lives.")))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests should be sent here.
///
/// Follows PostgreSQL, and says no while the service is stopping: for load balancers.
#[utoipa::path(get, path = "/readyz", tag = "running", responses(
    (status = 200, body = Health, description = "Ready."),
    ReadinessProblems,
))]
async fn readyz(State(state): State<AppState>) -> Result<Json<Health>, ApiError> {
    match state.readiness.obstacle() {
        None => Ok(Json(Health { status: "ok" })),
        Some(obstacle) => Err(ApiError::new(Code::Unavailable, obstacle).retry_after(RETRY)),
    }
}

const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The metrics.
///
/// In the text form that scrapers read.
#[utoipa::path(get, path = "/metrics", tag = "running", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text", description = "All metrics.")
))]
async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], state.metrics.encode())
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}
