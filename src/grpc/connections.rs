//! The listener: HTTP/2 only, with a limit on everything a client can hold.
//!
//! What must stay true: a connection that makes no call is closed soon, one that falls silent too, and an old one is asked to
//! go, so that clients spread; what is under way when a connection is asked to go may end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calls::Calls;
use super::session::Session;
use super::workers::Workers;
use crate::auth::Verifier;
use crate::config::Grpc;
use crate::telemetry::Metrics;

/// How long a client may take from connecting to its first call, TLS and all.
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(10);

/// How long a client that made no call may take over its goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often a silent client is asked for a sign of life, and how long it may take over it.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The largest head of a call: a token of 8,000 bytes and as much again.
const HEAD_MOST_BYTES: u32 = 16_384;

/// How many streams a client may reset before they were looked at (CVE-2023-44487).
const RESETS_MOST: usize = 64;

/// How long to wait when the system has no socket left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Makes connections out of what the listener accepts; cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    calls: Calls,
    verifier: Arc<Verifier>,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    http2: http2::Builder<TokioExecutor>,
    longest: Duration,
    drain: Duration,
    metrics: Arc<Metrics>,
}

/// What the calls of one connection share.
struct Client {
    calls: Calls,
    session: Session,
    has_called: AtomicBool,
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn count(metrics: &Arc<Metrics>) -> Self {
        metrics.grpc_connections.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.grpc_connections.dec();
    }
}

impl Connections {
    pub(super) fn new(
        calls: Calls,
        verifier: Arc<Verifier>,
        tls: Option<TlsAcceptor>,
        settings: &Grpc,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_concurrent_streams)
            .max_header_list_size(HEAD_MOST_BYTES)
            .max_pending_accept_reset_streams(RESETS_MOST)
            .max_local_error_reset_streams(RESETS_MOST)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        Self {
            calls,
            verifier,
            tls,
            room: Arc::new(Semaphore::new(settings.max_connections)),
            http2,
            longest: settings.max_connection_age.duration(),
            drain: settings.drain.duration(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Accepts until `closing`, for the threads that serve; then lets what is under way end, for as long as it may take.
    pub(super) async fn serve(self, listener: TcpListener, workers: Workers, closing: &CancellationToken) {
        let open = TaskTracker::new();
        while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    // Beyond the limit it is closed at once: the client finds another replica sooner than by waiting.
                    if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                        let (connections, closing) = (self.clone(), closing.clone());
                        workers.spawn(open.track_future(async move {
                            connections.connection(stream, &closing).await;
                            drop(room);
                        }));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        open.close();
        // Every connection ends by itself when its time to drain is over.
        open.wait().await;
    }

    async fn connection(&self, stream: TcpStream, closing: &CancellationToken) {
        let _open = Open::count(&self.metrics);
        let stream = match of_this_thread(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was gone before it was used");
                return;
            }
        };
        let first_call_by = Instant::now() + FIRST_CALL_WITHIN;
        match &self.tls {
            None => self.http2(stream, first_call_by, closing).await,
            Some(tls) => match closing.run_until_cancelled(timeout_at(first_call_by, tls.accept(stream))).await {
                Some(Ok(Ok(stream))) => self.http2(stream, first_call_by, closing).await,
                Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
                Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
                None => tracing::debug!("a TLS handshake was broken off at the stop"),
            },
        }
    }

    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        first_call_by: Instant,
        closing: &CancellationToken,
    ) {
        let client = Arc::new(Client {
            calls: self.calls.clone(),
            session: Session::new(Arc::clone(&self.verifier)),
            has_called: AtomicBool::new(false),
        });
        let service = service_fn(|request| {
            let client = Arc::clone(&client);
            async move {
                client.has_called.store(true, Ordering::Relaxed);
                client.calls.call(&client.session, request).await
            }
        });
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        let no_call = async {
            sleep_until(first_call_by).await;
            if client.has_called.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            drain = self.time_to_go(no_call, closing) => {
                connection.as_mut().graceful_shutdown();
                timeout(drain, connection).await.unwrap_or_else(|_| {
                    tracing::debug!("a connection was closed with calls under way: its time to drain was over");
                    Ok(())
                })
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    /// Waits until a connection should be asked to go, and gives how long what is under way on it may take.
    async fn time_to_go(&self, no_call: impl Future<Output = ()>, closing: &CancellationToken) -> Duration {
        tokio::select! {
            () = no_call => FAREWELL,
            () = sleep(self.longest) => self.drain,
            () = closing.cancelled() => self.drain,
        }
    }
}

/// The connection, as the thread sees it that is to serve it.
fn of_this_thread(stream: TcpStream) -> std::io::Result<TcpStream> {
    // Answers are small and whole: no reason to hold any of them back.
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream.into_std()?)
}
