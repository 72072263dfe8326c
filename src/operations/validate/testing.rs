//! Validation on real servers: a Redis of the test's own, which it may freeze and kill, and a database of its own in the
//! PostgreSQL that all tests share, or for a test that freezes it in a private one.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Validation;
use crate::cache::{Cache, Trusted};
use crate::config::{self, Period, ServerUrl};
use crate::devstack::{Databases, Home, Server, postgres, redis};
use crate::store::migrate::migrate;
use crate::store::testing::TestDatabase;
use crate::store::{Store, StoreSettings};
use crate::telemetry::Metrics;

pub(crate) struct Bench {
    pub(crate) redis: Server,
    pub(crate) superuser: Client,
    pub(crate) store: Store,
    pub(crate) cache: Cache,
    pub(crate) validation: Arc<Validation>,
    /// As another replica on the same servers has it, which has been there for as long.
    pub(crate) other: Arc<Validation>,
    pub(crate) metrics: Arc<Metrics>,
    _stop: DropGuard,
    _directory: TempDir,
}

pub(crate) fn directory() -> TempDir {
    // Where PostgreSQL's own user may pass through when the tests run as root.
    tempfile::Builder::new().prefix("numbering-validate-").tempdir_in("/var/tmp").unwrap()
}

pub(crate) fn redis_settings(server: &Server) -> config::Redis {
    config::Redis {
        url: ServerUrl::new(format!("{}/0", server.url())),
        timers_url: ServerUrl::new(format!("{}/1", server.url())),
        // Not the ten milliseconds of the default: a busy machine must not fail a test.
        call_timeout: Period::from_millis(100),
        command_timeout: Period::from_millis(250),
    }
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < deadline, "in ten seconds it did not come to this: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

impl Bench {
    /// With the numbers of `testing.sql`, all connected and trusted.
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::make().await;
        Self::start_on(database.stack.databases(), &database.name).await
    }

    /// The same on a PostgreSQL of the test's own.
    pub(crate) async fn start_private(home: &Arc<Home>) -> (Server, Self) {
        let (postgres, databases) = postgres::start(home).await.unwrap();
        migrate(&databases.owner_url("numbering")).await.unwrap();
        databases.admit_service().await.unwrap();
        (postgres, Self::start_on(&databases, "numbering").await)
    }

    async fn start_on(databases: &Databases, database: &str) -> Self {
        let directory = directory();
        let redis = redis::start(&Home::open(directory.path()).unwrap()).await.unwrap();
        let (superuser, connection) = tokio_postgres::connect(&databases.superuser_url(database), NoTls).await.unwrap();
        tokio::spawn(connection);
        superuser.batch_execute(include_str!("testing.sql")).await.unwrap();

        let settings = |pool_size| StoreSettings {
            url: databases.app_url(database),
            pool_size,
            acquire_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
        };
        let store = Store::new(&settings(8)).unwrap();
        let journal = || Store::planning_anew(&settings(1)).unwrap();
        let metrics = Arc::new(Metrics::default());
        let stop = CancellationToken::new();
        let (cache, validation) = replica(&store, journal(), &redis, &metrics, &stop).await;
        let (_, other) = replica(&store, journal(), &redis, &Arc::default(), &stop).await;
        Self {
            redis,
            superuser,
            store,
            cache,
            validation,
            other,
            metrics,
            _stop: stop.drop_guard(),
            _directory: directory,
        }
    }

    pub(crate) fn trusted(&self) -> Option<Trusted> {
        self.cache.trust().trusted()
    }
}

/// Validation as one replica has it, connected and trusted.
async fn replica(
    store: &Store,
    journal: Store,
    redis: &Server,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> (Cache, Arc<Validation>) {
    let settings =
        config::Cache { snapshot_ttl: Period::from_secs(60), local_numbers: 10_000, quota_ttl: Period::from_mins(5) };
    let cache = Cache::new(&redis_settings(redis), &settings, metrics).unwrap();
    let plan = numbering_domain::NumberingPlan {
        country_code: "93".into(),
        national_digits: 9,
        never_leasable: ["119".to_owned()].into(),
    };
    let validation = Validation::start(plan, store.clone(), cache.clone(), 2_048, Arc::clone(metrics));
    tokio::spawn({
        let (trust, cache, stop) = (Arc::clone(cache.trust()), cache.clone(), stop.clone());
        async move {
            tokio::join!(trust.follow(&journal, &stop), cache.keep_connected(stop.clone()));
        }
    });
    eventually("Redis is connected", async || cache.snapshots().link().is_up()).await;
    eventually("caches are trusted", async || cache.trust().trusted().is_some()).await;
    (cache, Arc::new(validation))
}
