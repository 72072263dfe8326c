//! PostgreSQL, the truth. Every SQL statement of the service lives here, as a `.sql` file beside the code that runs it.
//!
//! What must stay true: number state has one writer, `commit.sql`; no transaction is held open across anything but
//! the statements of one operation; every statement runs under a `lock_timeout` and a `statement_timeout`; and a moment
//! by which something is decided or shown is PostgreSQL's only as far as [`Store::clock`] vouches for it.

pub mod alerts;
pub mod allocate;
pub mod blocks;
pub mod browse;
pub mod capacity;
pub mod cascades;
mod clock;
pub mod commit;
pub mod commits;
pub mod due;
pub mod idempotency;
pub mod import;
pub mod inbox;
pub mod jobs;
pub mod journal;
pub mod journal_tail;
pub mod leadership;
pub mod leases;
mod lent;
pub mod load;
pub mod migrate;
pub mod operators;
pub mod outbox;
pub mod prices;
pub mod renewals;
pub mod reports;
pub(crate) mod rows;
mod seen;
pub mod snapshot;
pub mod tenants;
#[cfg(test)]
pub(crate) mod testing;
pub mod told;
pub mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod, Runtime, Transaction,
};
use jiff::Timestamp;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, NoTls, Row};

use crate::clock::DatabaseClock;
use crate::telemetry::StoreUse;
use lent::Lent;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The settings do not describe a database.
    #[error("the database settings are not usable: {0}")]
    Settings(String),
    /// No connection was to be had in time.
    #[error("no database connection: {0}")]
    Connection(#[from] PoolError),
    /// PostgreSQL refused, timed out, or went away.
    #[error("the database refused a statement: {}", described(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// No answer came in time, not even that there is none.
    #[error("the database did not answer within {0:?}")]
    Late(Duration),
    /// A row that the schema should not allow.
    #[error("the row of {subject} cannot be: {what}")]
    Impossible {
        /// Which row.
        subject: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Others kept changing the same rows.
    #[error("the row kept changing under {attempts} attempts")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The migrations could not be applied.
    #[error("migration failed: {0}")]
    Migration(#[from] refinery::Error),
    /// A statement failed that served several callers.
    #[error(transparent)]
    Shared(Arc<StoreError>),
}

fn described(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}

impl StoreError {
    /// Whether the same statement may succeed when it is tried again at once: a deadlock or a serialization failure.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.cause(), Self::Statement(error)
            if error.code().is_some_and(|code| [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)))
    }

    /// Whether PostgreSQL refused the statement for what it says, so that nothing of it has happened, and a part of it may succeed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.cause(), Self::Statement(error) if error.code().is_some_and(|code| !means_away(code)))
    }

    /// What failed, for whomever it was.
    fn cause(&self) -> &Self {
        match self {
            Self::Shared(cause) => cause.cause(),
            itself => itself,
        }
    }

    /// Whether the statement gave up waiting for a lock.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self.cause(), Self::Statement(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    /// Whether the database is away or too busy, so that the caller should come again later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self.cause() {
            Self::Connection(_) | Self::Late(_) | Self::Contended { .. } => true,
            Self::Statement(error) => error.is_closed() || error.code().is_none_or(means_away),
            Self::Settings(_) | Self::Impossible { .. } | Self::Migration(_) | Self::Shared(_) => false,
        }
    }
}

/// Classes 08 (connection), 53 (resources), 57 (shut down, cancelled by a timeout), 40 (rollback), and lock timeouts.
fn means_away(code: &SqlState) -> bool {
    ["08", "53", "57", "40"].iter().any(|class| code.code().starts_with(class)) || *code == SqlState::LOCK_NOT_AVAILABLE
}

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `postgresql://…` of the serving role.
    pub url: String,
    /// The most connections.
    pub pool_size: usize,
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// How long to wait for a new connection.
    pub connect_timeout: Duration,
    /// How long a statement waits for a lock.
    pub lock_timeout: Duration,
    /// How long a statement runs.
    pub statement_timeout: Duration,
}

/// How many times as long as another a transaction may take that only reads, and locks nothing.
const LONGER_PATIENCE: u32 = 2;

/// The store: a pool of connections, cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    patience: Duration,
    clock: Arc<DatabaseClock>,
}

impl Store {
    /// Makes the pool; connections are opened when they are first needed.
    ///
    /// # Errors
    /// [`StoreError::Settings`] where the URL does not parse.
    pub fn new(settings: &StoreSettings) -> Result<Self, StoreError> {
        // A plan that was made while a table was small is kept while it grows; it would read all of it each time, dead rows too, until
        // autovacuum has been there. What is to read a whole table has no other way to it, or says so in its transaction.
        Self::with_options(settings, " -c enable_seqscan=off")
    }

    /// For statements about a table that is empty now and full in a moment, as the outbox and at first the journal: they are planned
    /// each time, for what the table has then. A plan that PostgreSQL made once for an empty outbox, and kept, compared each of 500
    /// entries with all of 20,000.
    ///
    /// # Errors
    /// As there.
    pub fn planning_anew(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::with_options(settings, " -c plan_cache_mode=force_custom_plan")
    }

    fn with_options(settings: &StoreSettings, more: &str) -> Result<Self, StoreError> {
        let mut config: tokio_postgres::Config =
            settings.url.parse().map_err(|error: tokio_postgres::Error| StoreError::Settings(error.to_string()))?;
        // Statements here are short. Compiling one takes a second and more, once estimates have grown with the inventory.
        config
            .application_name("numbering")
            .connect_timeout(settings.connect_timeout)
            // A standby knows what was so some time ago.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .tcp_user_timeout(settings.statement_timeout + settings.connect_timeout)
            .options(format!(
                "-c lock_timeout={} -c statement_timeout={} -c idle_in_transaction_session_timeout={} -c search_path=numbering -c jit=off{more}",
                settings.lock_timeout.as_millis(),
                settings.statement_timeout.as_millis(),
                settings.statement_timeout.as_millis(),
            ));
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size)
            // The one that was used last knows the tables and the plans best.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(settings.acquire_timeout))
            .create_timeout(Some(settings.connect_timeout))
            .recycle_timeout(Some(settings.connect_timeout))
            .build()
            .map_err(|error| StoreError::Settings(error.to_string()))?;
        // A statement that PostgreSQL itself would have ended by then has met a server that does not answer.
        let patience = settings.acquire_timeout + settings.statement_timeout;
        Ok(Self { pool, patience, clock: Arc::default() })
    }

    /// The same store, its moments judged by `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Arc<DatabaseClock>) -> Self {
        Self { clock, ..self }
    }

    /// PostgreSQL's clock, as far as it is to be believed.
    #[must_use]
    pub const fn clock(&self) -> &Arc<DatabaseClock> {
        &self.clock
    }

    pub(crate) async fn connection(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// A connection that goes back to the pool only when that is said.
    async fn lent(&self) -> Result<Lent, StoreError> {
        Ok(Lent::new(self.connection().await?))
    }

    /// Runs one prepared statement on a connection of the pool.
    pub(crate) async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.query_within(sql, params, self.patience).await
    }

    /// Like [`Store::query`], waiting no longer than `patience` in all. A server that stopped in its tracks keeps its
    /// connections open and says nothing, so the wait ends on this side, and the connection with it; so it does when whoever
    /// asked has gone, so that the pool never lends a connection that is still busy for somebody else.
    pub(crate) async fn query_within(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        patience: Duration,
    ) -> Result<Vec<Row>, StoreError> {
        let started = Instant::now();
        let late_at = tokio::time::Instant::now() + patience;
        let late = |_| StoreError::Late(patience);
        let rows = async {
            let connection = tokio::time::timeout_at(late_at, self.lent()).await.map_err(late)??;
            let answer = async {
                let statement = connection.prepare_cached(sql).await?;
                connection.query(&statement, params).await
            };
            let rows = tokio::time::timeout_at(late_at, answer).await.map_err(late)?;
            connection.give_back();
            Ok(rows?)
        }
        .await;
        StoreUse::record(started.elapsed());
        rows
    }

    /// Waits for what is done for several callers at once, no longer than for a statement of the caller's own.
    async fn asked<T>(
        &self,
        subject: &str,
        answer: impl Future<Output = Option<Result<T, StoreError>>>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let answer = match tokio::time::timeout(self.patience, answer).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(StoreError::Impossible { subject: subject.to_owned(), what: "left without an answer" }),
            Err(_) => Err(StoreError::Late(self.patience)),
        };
        StoreUse::record(started.elapsed());
        answer
    }

    /// The database's moment, as far as its clock is vouched for.
    pub async fn moment(&self) -> Result<Timestamp, StoreError> {
        let rows = self.query("SELECT clock_timestamp()", &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Impossible {
            subject: "the database's clock".to_owned(),
            what: "it gives one row",
        })?;
        Ok(self.clock.vouched(row.try_get(0)?))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.query("SELECT 1", &[]).await.map(drop)
    }

    /// Runs the statements of one transaction, which `work` commits, or drops to roll it back; all within the store's
    /// patience. When it fails or comes late, the connection ends with it.
    pub(crate) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transaction_at(IsolationLevel::ReadCommitted, self.patience, work).await
    }

    /// Like [`Store::transaction`], for reading only: all its statements see the same moment, and it may take longer.
    pub(crate) async fn snapshot<T>(
        &self,
        work: impl AsyncFnOnce(Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transaction_at(IsolationLevel::RepeatableRead, self.patience * LONGER_PATIENCE, work).await
    }

    async fn transaction_at<T>(
        &self,
        level: IsolationLevel,
        patience: Duration,
        work: impl AsyncFnOnce(Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let done = tokio::time::timeout(patience, async {
            let mut connection = self.lent().await?;
            let done = work(connection.build_transaction().isolation_level(level).start().await?).await?;
            connection.give_back();
            Ok(done)
        })
        .await
        .unwrap_or(Err(StoreError::Late(patience)));
        StoreUse::record(started.elapsed());
        done
    }

    /// Like [`Store::query`], for statements that give at most one row.
    pub(crate) async fn query_opt(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.pop())
    }
}
