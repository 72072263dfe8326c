//! What every call passes through: the cap on calls under way, the deadline, the counts.
//!
//! What must stay true: health can be asked however busy the service is; a call that is refused for lack of room says when
//! to come again.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::deadline;
use crate::config::Grpc;
use crate::telemetry::{GrpcCall, Metrics};

const HEALTH: &str = "/grpc.health.v1.Health/";

/// How soon a call that found no room may come again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// `UNAVAILABLE`, with the hint that clients' retry policies heed (gRFC A6).
pub(super) fn try_again(why: &impl fmt::Display, after: Duration) -> Status {
    let mut status = Status::unavailable(why.to_string());
    if let Ok(milliseconds) = after.as_millis().to_string().parse() {
        status.metadata_mut().insert("grpc-retry-pushback-ms", milliseconds);
    }
    status
}

/// The services, behind the limits; cheap to clone.
#[derive(Clone)]
pub(super) struct Calls {
    routes: Routes,
    room: Arc<Semaphore>,
    longest: Duration,
    metrics: Arc<Metrics>,
}

impl Calls {
    pub(super) fn new(routes: Routes, settings: &Grpc, metrics: &Arc<Metrics>) -> Self {
        Self {
            routes,
            room: Arc::new(Semaphore::new(settings.max_concurrent_requests)),
            longest: settings.request_timeout.duration(),
            metrics: Arc::clone(metrics),
        }
    }

    pub(super) async fn call(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let method = method_name(request.uri().path());
        let response = self.limited(request).await;
        let code = response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        self.metrics.grpc_calls.get_or_create(&GrpcCall { method, code: code_name(code) }).inc();
        Ok(response)
    }

    async fn limited(&self, request: Request<Incoming>) -> Response<Body> {
        let urgent = request.uri().path().starts_with(HEALTH);
        let room = self.room.try_acquire();
        if room.is_err() && !urgent {
            return try_again(&"too many calls are under way", BUSY_PAUSE).into_http();
        }
        let left = deadline::of(request.headers()).map_or(self.longest, |asked| asked.min(self.longest));
        match timeout(left, self.routes.clone().oneshot(request)).await {
            Ok(Ok(response)) => response,
            Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
        }
    }
}

/// The methods of this server; whatever else a client asks for has one name, so that it cannot fill the metrics.
fn method_name(path: &str) -> &'static str {
    match path {
        "/numbering.v1.LeaseValidation/ValidateLease" => "ValidateLease",
        "/numbering.v1.LeaseValidation/ValidateLeases" => "ValidateLeases",
        "/grpc.health.v1.Health/Check" => "Health/Check",
        "/grpc.health.v1.Health/Watch" => "Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => "ServerReflectionInfo",
        _ => "unmatched",
    }
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
