//! The listener: HTTP/1.1, with a limit on everything a client can hold.
//!
//! HTTP/1.1 only: what stands in front of this service speaks it, and every protocol more is one more to harden. What must
//! stay true: time limits from the first byte to the last, a cap on connections, and a stop that loses no request under way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::{AppState, router};
use crate::telemetry::Metrics;

/// The largest head of a request, in bytes: a token of 8,000 and as much again.
const HEAD_MOST_BYTES: usize = 16_384;

/// How long to wait when the system has no socket left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Counts an open connection for as long as it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn count(metrics: &Arc<Metrics>) -> Self {
        metrics.http_connections.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.http_connections.dec();
    }
}

/// Serves until `shutdown`; then says unready, waits `http.unready_grace`, stops accepting, and lets requests under way end
/// within `http.drain`.
///
/// # Errors
/// When the listener's address cannot be read.
pub async fn serve(listener: TcpListener, state: AppState, shutdown: CancellationToken) -> io::Result<()> {
    let settings = state.config.http.clone();
    let app = router(state.clone());
    tracing::info!(address = %listener.local_addr()?, "REST is served");
    let connections = Arc::new(Semaphore::new(settings.max_connections));
    let graceful = GracefulShutdown::new();
    let closing = CancellationToken::new();
    let stop = async {
        shutdown.cancelled().await;
        state.readiness.stopping();
        tokio::time::sleep(settings.unready_grace.duration()).await;
    };
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections, settings.request_timeout.duration()) => accepted,
            () = &mut stop => break,
        };
        let Some((stream, permit)) = accepted else { continue };
        let cut = Connection::default();
        let (app, of_request) = (TowerToHyperService::new(app.clone()), cut.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(of_request.clone());
            app.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_read_timeout.duration())
            .max_buf_size(HEAD_MOST_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        let open = Open::count(&state.metrics);
        let closing = closing.clone();
        tokio::spawn(async move {
            let _held = (permit, open);
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                }
                () = cut.is_cut() => {}
                () = closing.cancelled() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.drain.duration(), graceful.shutdown()).await.is_err() {
        tracing::warn!(drain = %settings.drain, "requests were still under way when the time to drain was over");
        closing.cancel();
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    write_timeout: Duration,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and whole: no reason to hold any of them back.
            let _ = stream.set_nodelay(true);
            // A client that asks and never reads is cut off by the system: without this it would hold its place for good.
            let milliseconds = u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX);
            if let Err(error) = set_tcp_user_timeout(&stream, milliseconds) {
                tracing::warn!(%error, "a connection got no time limit for writing, and was closed");
                return None;
            }
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
