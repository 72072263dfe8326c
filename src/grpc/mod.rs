//! The gRPC side: `numbering.v1.LeaseValidation`, with server reflection and `grpc.health.v1`.
//!
//! What must stay true: who may ask is settled before what is asked is looked at (`leases.validate`, and nothing less: the
//! answers tell who owns what); everything a client can hold has a limit; a stop loses no call under way.

mod calls;
mod connections;
mod deadline;
mod health;
mod pairs;
mod session;
mod tls;
mod unary;
mod validate_lease;
mod workers;

use std::fmt;
use std::io;
use std::sync::Arc;

use numbering_proto::FILE_DESCRIPTOR_SET;
use numbering_proto::v1::lease_validation_server::LeaseValidationServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use tls::TlsFault;

use crate::auth::Verifier;
use crate::config::Config;
use crate::http::Readiness;
use crate::operations::validate::Validation;
use crate::telemetry::Metrics;
use calls::Calls;
use connections::Connections;
use validate_lease::LeaseValidationService;
use workers::Workers;

/// What serving needs; cheap to clone.
#[derive(Clone)]
pub struct GrpcState {
    config: Arc<Config>,
    verifier: Arc<Verifier>,
    validation: Arc<Validation>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

impl GrpcState {
    /// `readiness` is what `grpc.health.v1` says.
    #[must_use]
    pub const fn new(
        config: Arc<Config>,
        verifier: Arc<Verifier>,
        validation: Arc<Validation>,
        readiness: Arc<Readiness>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { config, verifier, validation, readiness, metrics }
    }
}

impl fmt::Debug for GrpcState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcState").field("settings", &self.config.grpc).finish_non_exhaustive()
    }
}

/// Why gRPC cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum GrpcFault {
    /// The listener's address cannot be read, or no thread can be started.
    #[error("the gRPC listener: {0}")]
    Listener(#[from] io::Error),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The description of the interface cannot be read.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `shutdown`; then says unready, waits `http.unready_grace`, stops accepting, and lets calls under way end within
/// `grpc.drain`.
///
/// # Errors
/// When it cannot begin.
pub async fn serve(listener: TcpListener, state: GrpcState, shutdown: CancellationToken) -> Result<(), GrpcFault> {
    let settings = &state.config.grpc;
    let tls = tls::acceptor(settings)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let service = Arc::new(LeaseValidationService::new(&state));
    let validation =
        LeaseValidationServer::from_arc(Arc::clone(&service)).max_decoding_message_size(settings.max_message_bytes);
    let others = Routes::new(health_service).add_service(reflection).prepare();
    let calls = Calls::new(service, validation, others, settings, &state.metrics);
    let workers = Workers::start(settings.threads)?;
    let connections = Connections::new(calls, Arc::clone(&state.verifier), tls, settings, &state.metrics);

    tracing::info!(address = %listener.local_addr()?, tls = settings.tls_cert.is_some(), "gRPC is served");
    let closing = CancellationToken::new();
    let stop = async {
        tokio::select! {
            never = health::follow(&health, &state.readiness) => match never {},
            () = shutdown.cancelled() => health::stopping(&health).await,
        }
        tokio::time::sleep(state.config.http.unready_grace.duration()).await;
        closing.cancel();
    };
    tokio::join!(stop, connections.serve(listener, workers, &closing));
    Ok(())
}
