//! `grpc.health.v1` says what readiness says.

use std::convert::Infallible;
use std::time::Duration;

use numbering_proto::v1::lease_validation_server::SERVICE_NAME;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::http::Readiness;

/// How often readiness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The service by its name, then the server as a whole: who sees the second may rely on the first.
const NAMES: [&str; 2] = [SERVICE_NAME, ""];

/// Tells of every change of readiness.
pub(super) async fn follow(health: &HealthReporter, readiness: &Readiness) -> Infallible {
    let mut told = None;
    loop {
        let is_ready = readiness.obstacle().is_none();
        if told != Some(is_ready) {
            tell(health, is_ready).await;
            told = Some(is_ready);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells that the service is about to stop.
pub(super) async fn stopping(health: &HealthReporter) {
    tell(health, false).await;
}

async fn tell(health: &HealthReporter, is_ready: bool) {
    let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}
