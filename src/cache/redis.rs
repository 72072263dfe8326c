//! The connection to one Redis database, which may be absent at start, die, freeze or vanish behind the network at any time.
//!
//! What must stay true: a call never connects, never waits for a connection, and never waits longer than its limit. One
//! background loop makes the connection and probes it, once a second; while its probe has not succeeded the breaker is open
//! and calls fail at once. A connection that was given up is dropped: behind a network that swallows packets it would
//! otherwise stay silent for a quarter of an hour.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use crate::telemetry::{Metrics, RedisDatabase};

/// How often the connection is probed, and made anew where there is none.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long connecting may take; only the background loop waits for it.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address does not parse.
    #[error("the address of Redis is not usable: {0}")]
    Address(RedisError),
    /// It is known to be away: nothing was tried.
    #[error("Redis is away")]
    Away,
    /// No answer came in time.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// It refused, or the connection broke.
    #[error("Redis: {0}")]
    Refused(#[from] RedisError),
}

/// The link to one Redis database; cheap to clone.
#[derive(Clone)]
pub struct RedisLink {
    shared: Arc<Shared>,
}

struct Shared {
    database: &'static str,
    client: Client,
    limit: Duration,
    connection: ArcSwapOption<MultiplexedConnection>,
    breaker: Breaker,
    opened: Notify,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").field("database", &self.shared.database).finish_non_exhaustive()
    }
}

impl RedisLink {
    /// A link without a connection yet. `database` names it in metrics and logs, `limit` is how long a call may take.
    ///
    /// # Errors
    /// [`LinkError::Address`].
    pub fn new(database: &'static str, url: &str, limit: Duration, metrics: &Arc<Metrics>) -> Result<Self, LinkError> {
        let client = Client::open(url).map_err(LinkError::Address)?;
        metrics.redis_up.get_or_create(&RedisDatabase { database }).set(0);
        Ok(Self {
            shared: Arc::new(Shared {
                database,
                client,
                limit,
                connection: ArcSwapOption::empty(),
                breaker: Breaker::new(),
                opened: Notify::new(),
                metrics: Arc::clone(metrics),
            }),
        })
    }

    /// What the database is called in metrics and logs.
    #[must_use]
    pub fn database(&self) -> &'static str {
        self.shared.database
    }

    /// Whether calls are tried at all.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.shared.breaker.is_open()
    }

    /// Runs one command within the link's limit.
    ///
    /// # Errors
    /// When Redis is away, late, or refuses.
    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        let mut connection = self.connection()?;
        self.within(self.shared.limit, command.query_async(&mut connection)).await
    }

    /// Runs some commands in one round trip, within `limit`.
    ///
    /// # Errors
    /// When Redis is away, late, or refuses one of them.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline, limit: Duration) -> Result<T, LinkError> {
        let mut connection = self.connection()?;
        self.within(limit, pipeline.query_async(&mut connection)).await
    }

    /// How long a call may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.shared.limit
    }

    /// Makes the connection, probes it every second, and makes it anew when it is lost, until told to stop.
    pub async fn keep_connected(&self, stop: &CancellationToken) {
        stop.run_until_cancelled(self.connect_and_probe()).await;
    }

    fn connection(&self) -> Result<MultiplexedConnection, LinkError> {
        if self.shared.breaker.is_open() {
            return Err(LinkError::Away);
        }
        self.shared.connection.load().as_deref().cloned().ok_or(LinkError::Away)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, LinkError> {
        let asked_at = Instant::now();
        let answer = match timeout(limit, answer).await {
            Ok(answer) => answer.map_err(LinkError::Refused),
            Err(_) => Err(LinkError::Late(limit)),
        };
        match &answer {
            // Where only what has more time succeeds, Redis is too slow for those who ask.
            Ok(_) if asked_at.elapsed() > self.shared.limit => {}
            Ok(_) => self.shared.breaker.succeeded(),
            Err(error) => self.failed(error),
        }
        answer
    }

    fn failed(&self, error: &LinkError) {
        self.shared.metrics.redis_failures.get_or_create(&self.label()).inc();
        let opened = match error {
            // It is there, and has its reasons.
            LinkError::Refused(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => false,
            LinkError::Refused(error) if error.is_unrecoverable_error() => self.shared.breaker.opened(),
            LinkError::Refused(_) | LinkError::Late(_) | LinkError::Away | LinkError::Address(_) => {
                self.shared.breaker.failed(Instant::now().into_std())
            }
        };
        if opened {
            tracing::warn!(database = self.shared.database, %error, "Redis is away; the service goes on without it");
            self.shared.opened.notify_one();
        }
    }

    async fn connect_and_probe(&self) {
        loop {
            let tried_at = Instant::now();
            match self.connect().await {
                Ok(connection) => {
                    self.shared.connection.store(Some(Arc::new(connection)));
                    self.shared.breaker.closed();
                    self.shared.metrics.redis_up.get_or_create(&self.label()).set(1);
                    tracing::info!(database = self.shared.database, "connected to Redis");
                    self.probe_until_lost().await;
                    self.shared.connection.store(None);
                    self.shared.metrics.redis_up.get_or_create(&self.label()).set(0);
                }
                Err(error) => tracing::debug!(database = self.shared.database, %error, "no connection to Redis"),
            }
            sleep_until(tried_at + PROBE_EVERY).await;
        }
    }

    /// A connection that answers as quickly as a call must be.
    async fn connect(&self) -> Result<MultiplexedConnection, LinkError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_LIMIT)).set_response_timeout(None);
        let connecting = self.shared.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = timeout(CONNECT_LIMIT, connecting).await.map_err(|_| LinkError::Late(CONNECT_LIMIT))??;
        let ping = redis::cmd("PING");
        let answer = timeout(self.shared.limit, ping.query_async::<()>(&mut connection)).await;
        answer.map_err(|_| LinkError::Late(self.shared.limit))??;
        Ok(connection)
    }

    /// Keeps asking, so that an outage is seen without traffic too.
    async fn probe_until_lost(&self) {
        loop {
            tokio::select! {
                () = self.shared.opened.notified() => {
                    // A notice of an outage before this connection was made says nothing about it.
                    if self.shared.breaker.is_open() {
                        return;
                    }
                }
                () = sleep(PROBE_EVERY) => {
                    // What the answer says about Redis, `within` has taken down.
                    let _: Result<(), LinkError> = self.command(&redis::cmd("PING")).await;
                }
            }
        }
    }

    fn label(&self) -> RedisDatabase {
        RedisDatabase { database: self.shared.database }
    }
}
