//! What every call passes through: the cap on calls under way, the deadline, who may ask, the counts.
//!
//! What must stay true: health can be asked however busy the service is; a call that is refused for lack of room says when
//! to come again, and costs next to nothing; who may ask is settled before what is asked is looked at. What is refused is read
//! to its end all the same: a stream that is answered before its message has come is reset, and a connection with many such
//! is closed as one of somebody who means ill.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use numbering_proto::v1::lease_validation_server::LeaseValidationServer;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _};

use super::deadline;
use super::pairs;
use super::session::Session;
use super::unary;
use super::validate_lease::{LeaseValidationService, question, questions};
use crate::config::Grpc;
use crate::telemetry::{GrpcCall, Metrics};

const HEALTH: &str = "/grpc.health.v1.Health/";

/// How soon a call that found no room may come again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// How long the message of a call that is refused may take to come.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// `UNAVAILABLE`, with the hint that clients' retry policies heed (gRFC A6).
pub(super) fn try_again(why: &impl fmt::Display, after: Duration) -> Status {
    let mut status = Status::unavailable(why.to_string());
    if let Ok(milliseconds) = after.as_millis().to_string().parse() {
        status.metadata_mut().insert("grpc-retry-pushback-ms", milliseconds);
    }
    status
}

/// A method of this server; whatever else a client asks for is one, so that it cannot fill the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    ValidateLease,
    ValidateLeases,
    HealthCheck,
    HealthWatch,
    Reflection,
    Unmatched,
}

impl Method {
    fn of(path: &str) -> Self {
        match path {
            "/numbering.v1.LeaseValidation/ValidateLease" => Self::ValidateLease,
            "/numbering.v1.LeaseValidation/ValidateLeases" => Self::ValidateLeases,
            "/grpc.health.v1.Health/Check" => Self::HealthCheck,
            "/grpc.health.v1.Health/Watch" => Self::HealthWatch,
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Self::Reflection,
            _ => Self::Unmatched,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ValidateLease => "ValidateLease",
            Self::ValidateLeases => "ValidateLeases",
            Self::HealthCheck => "Health/Check",
            Self::HealthWatch => "Health/Watch",
            Self::Reflection => "ServerReflectionInfo",
            Self::Unmatched => "unmatched",
        }
    }
}

/// The services, behind the limits; cheap to clone.
#[derive(Clone)]
pub(super) struct Calls {
    service: Arc<LeaseValidationService>,
    validation: LeaseValidationServer<LeaseValidationService>,
    others: Routes,
    room: Arc<Semaphore>,
    longest: Duration,
    message_most_bytes: usize,
    counts: Arc<Counts>,
}

/// Counts calls. Those that are made most and end well are counted without looking their counter up.
struct Counts {
    metrics: Arc<Metrics>,
    validate_lease: OnceLock<Counter>,
    validate_leases: OnceLock<Counter>,
}

impl Counts {
    fn count(&self, method: Method, code: Code) {
        let known = match (method, code) {
            (Method::ValidateLease, Code::Ok) => Some(&self.validate_lease),
            (Method::ValidateLeases, Code::Ok) => Some(&self.validate_leases),
            _ => None,
        };
        let looked_up = || {
            let labels = GrpcCall { method: method.name(), code: code_name(code) };
            self.metrics.grpc_calls.get_or_create_owned(&labels)
        };
        match known {
            Some(counter) => counter.get_or_init(looked_up).inc(),
            None => looked_up().inc(),
        };
    }
}

impl Calls {
    /// `service` for who may ask it, which is what `validation` serves, `others` for everybody.
    pub(super) fn new(
        service: Arc<LeaseValidationService>,
        validation: LeaseValidationServer<LeaseValidationService>,
        others: Routes,
        settings: &Grpc,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let counts =
            Counts { metrics: Arc::clone(metrics), validate_lease: OnceLock::new(), validate_leases: OnceLock::new() };
        Self {
            service,
            validation,
            others,
            room: Arc::new(Semaphore::new(settings.max_concurrent_requests)),
            longest: settings.request_timeout.duration(),
            message_most_bytes: settings.max_message_bytes,
            counts: Arc::new(counts),
        }
    }

    pub(super) async fn call(
        &self,
        session: &Session,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let method = Method::of(request.uri().path());
        let response = self.limited(method, session, request).await;
        let code = response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        self.counts.count(method, code);
        Ok(response)
    }

    async fn limited(&self, method: Method, session: &Session, request: Request<Incoming>) -> Response<Body> {
        let urgent = request.uri().path().starts_with(HEALTH);
        let room = self.room.try_acquire();
        if room.is_err() && !urgent {
            return self.refused(request, try_again(&"too many calls are under way", BUSY_PAUSE)).await;
        }
        let left = deadline::of(request.headers()).map_or(self.longest, |asked| asked.min(self.longest));
        if left.is_zero() {
            return self.refused(request, Status::deadline_exceeded("the call had no time left")).await;
        }
        timeout(left, self.answered(method, session, request))
            .await
            .unwrap_or_else(|_| Status::deadline_exceeded("the call took too long").into_http())
    }

    async fn answered(&self, method: Method, session: &Session, request: Request<Incoming>) -> Response<Body> {
        let answer = match method {
            Method::ValidateLease | Method::ValidateLeases => {
                if let Err(refused) = session.authorize(request.headers()).await {
                    return self.refused(request, refused).await;
                }
                if !unary::is_plain(request.headers()) {
                    // It is ready always.
                    self.validation.clone().call(request).await
                } else if method == Method::ValidateLease {
                    Ok(self.validate_lease(request).await.unwrap_or_else(Status::into_http))
                } else {
                    Ok(self.validate_leases(request).await.unwrap_or_else(Status::into_http))
                }
            }
            Method::HealthCheck | Method::HealthWatch | Method::Reflection => {
                self.others.clone().oneshot(request).await
            }
            Method::Unmatched => return self.refused(request, Status::unimplemented("there is no such method")).await,
        };
        match answer {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl Calls {
    async fn validate_lease(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let message = unary::asked(request, self.message_most_bytes).await?;
        let answer = match pairs::pair(&message) {
            Some(asked) => self.service.answer(asked).await?,
            None => self.service.answer(question(&unary::decoded(message)?)).await?,
        };
        Ok(unary::answer(&answer))
    }

    async fn validate_leases(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let message = unary::asked(request, self.message_most_bytes).await?;
        self.service.look_ahead(&message)?;
        let answers = match pairs::pairs(&message) {
            Some(asked) => self.service.answers(&asked).await?,
            None => self.service.answers(&questions(&unary::decoded(message)?)).await?,
        };
        Ok(unary::answer(&answers))
    }

    /// Refuses a call once its message has come, as far as that is no longer or later than it may be.
    async fn refused(&self, request: Request<Incoming>, status: Status) -> Response<Body> {
        let mut message = request.into_body();
        let mut room = self.message_most_bytes;
        let read = async {
            while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut message).poll_frame(cx)).await {
                room = room.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
                if room == 0 {
                    return;
                }
            }
        };
        if timeout(REFUSED_WITHIN, read).await.is_err() {
            tracing::debug!("a message that is refused did not come in time");
        }
        status.into_http()
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
