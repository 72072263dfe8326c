//! Wires the service together, runs it, and stops it in good order.
//!
//! What must stay true: what is away at start (PostgreSQL, Redis, NATS, the key set) does not keep the service from
//! starting, it keeps it from being ready where it must; and a stop is first said, then waited for, then done.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use numbering_domain::capacity::Threshold;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{self, Verifier};
use crate::cache::{Cache, Expiries, Rate, RedisWatch};
use crate::clock::{ClockWatch, DatabaseClock, Tolerance};
use crate::config::{Config, Percent, Period};
use crate::events::relay::{Relay, RelaySettings};
use crate::events::{Consume, ConsumeSettings, jetstream};
use crate::grpc::{self, GrpcState};
use crate::http::cursor::Cursors;
use crate::http::{self, AppState, Limits, Readiness};
use crate::jobs::capacity::{CapacitySettings, FollowCapacity};
use crate::jobs::cascade_recalls::{self, CascadeRecalls};
use crate::jobs::grace_reminders::GraceReminders;
use crate::jobs::override_report::OverrideReport;
use crate::jobs::reconcile_usage::ReconcileUsage;
use crate::jobs::renew_leases::RenewLeases;
use crate::jobs::{self, Job, Runner, RunnerSettings, Wakes, end_quarantine, expire_leases, release_expired};
use crate::operations::alertmanager::{Alertmanager, Pusher};
use crate::operations::alerts::Alerts;
use crate::operations::billing::Billing;
use crate::operations::blocks::{Blocks, ImportSettings};
use crate::operations::capacity::{Capacity, Thresholds};
use crate::operations::numbers::Numbers;
use crate::operations::places::Places;
use crate::operations::quotas::Quotas;
use crate::operations::renewal::Renewals;
use crate::operations::told::Tidings;
use crate::operations::validate::Validation;
use crate::store::leadership::Replica;
use crate::store::{Store, StoreError, StoreSettings};
use crate::telemetry::{self, Metrics, PoolLabels};

/// How often PostgreSQL is asked whether it answers.
const PING_EVERY: Duration = Duration::from_millis(500);
/// How long it may take to answer that.
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// How often what is there is counted, for the metrics.
const GAUGE_EVERY: Duration = Duration::from_secs(5);
/// How often old idempotency keys are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(10);
/// The most that are forgotten in one statement, of those or of events that came in.
const FORGET_AT_ONCE: i64 = 5_000;

/// Serves until SIGTERM or SIGINT, then stops in good order.
///
/// # Errors
/// When an address cannot be listened on, or the configuration does not describe something that can be started.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.log)?;
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            shutdown.cancel();
        }
    });
    let app = App::bind(config).await?;
    Box::pin(app.run(shutdown)).await
}

/// The service, its addresses bound, not yet running.
#[derive(Debug)]
pub struct App {
    http: TcpListener,
    grpc: TcpListener,
    state: AppState,
    grpc_state: GrpcState,
    cache: Cache,
    expiries: Expiries,
    journal: Store,
    clock_watch: ClockWatch,
    redis_watch: RedisWatch,
    relay: Relay,
    consume: Consume,
    renewals: Renewals,
    pusher: Option<Pusher>,
    replica: Replica,
    begun: TaskTracker,
}

impl App {
    /// Binds the addresses and makes the parts.
    ///
    /// # Errors
    /// When an address cannot be bound or a setting describes nothing that can be made.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::default());
        let (http, grpc) = listeners(&config).await?;
        let Stores { store, journal, outbox } = Stores::new(&config)?;
        let cache = Cache::new(&config.redis, &config.cache, &metrics)?;
        let expiries = Expiries::new(config.redis.timers_url.as_str(), &metrics)?;
        let replica = Replica::new(&replica_name(&config, bound(&http)));
        let verifier = Arc::new(Verifier::new(&config.auth, Arc::clone(&metrics), auth::machine_clock)?);
        let readiness = Arc::new(Readiness::default());
        let committed = Arc::new(Notify::new());
        let plan = Arc::new(config.numbering_plan());
        let begun = TaskTracker::new();
        let numbers = Numbers::new(
            store.clone(),
            cache.clone(),
            config.policy(),
            &config.policy.default_plan,
            Arc::clone(&committed),
            Arc::clone(&metrics),
            begun.clone(),
        );
        let blocks = Blocks::new(
            store.clone(),
            Arc::clone(cache.trust()),
            Arc::clone(&plan),
            import_settings(&config),
            Arc::clone(&metrics),
            Arc::clone(&committed),
            begun.clone(),
        );
        let validation = Arc::new(validation(&config, &store, &cache, &metrics));
        let alerts = Alerts::new(store.clone(), Arc::clone(&committed));
        let clock_watch = ClockWatch::new(store.clone(), alerts.clone(), Arc::clone(&metrics), &replica);
        let redis_watch = RedisWatch::new(cache.clone(), alerts.clone(), &replica);
        let nats = jetstream::connect(config.nats.url.as_str()).await?;
        let relay = Relay::new(
            outbox,
            nats.clone(),
            RelaySettings::new(&config.outbox, &config.nats),
            metrics.relay.clone(),
            Arc::clone(&committed),
            replica.clone(),
        );
        let wakes = Wakes::of(&jobs::NAMES);
        let quotas = Quotas::new(store.clone(), cache.limits().clone(), &config.policy.default_plan);
        let consume = Consume::new(
            nats,
            store.clone(),
            tidings(&config, &store, &quotas, &committed, &wakes),
            alerts,
            ConsumeSettings::new(&config.inbox, &config.nats),
            metrics.consume.clone(),
        );
        let renewals = renewals(&config, &store, &numbers, &metrics)?;
        let pusher = pusher(&config, &store, &replica, &metrics)?;
        let grpc_state = GrpcState::new(
            Arc::clone(&config),
            Arc::clone(&verifier),
            validation,
            Arc::clone(&readiness),
            Arc::clone(&metrics),
        );
        let state = AppState {
            limits: limits(&config, &cache),
            capacity: capacity(&config, &store, &committed),
            cursors: Cursors::new(config.security.cursor_key.bytes()),
            config,
            verifier,
            metrics,
            readiness,
            plan,
            store,
            numbers,
            quotas,
            blocks,
            committed,
            wakes,
        };
        Ok(Self {
            http,
            grpc,
            state,
            grpc_state,
            cache,
            expiries,
            journal,
            clock_watch,
            redis_watch,
            relay,
            consume,
            renewals,
            pusher,
            replica,
            begun,
        })
    }

    /// Where REST is served.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        bound(&self.http)
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        bound(&self.grpc)
    }

    /// Runs until `shutdown`: then says unready, lets what is under way end, and stops the workers.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            http,
            grpc,
            state,
            grpc_state,
            cache,
            expiries,
            journal,
            clock_watch,
            redis_watch,
            relay,
            consume,
            renewals,
            pusher,
            replica,
            begun,
        } = self;
        let drain = state.config.http.drain.duration();
        let workers_stop = CancellationToken::new();
        let workers = TaskTracker::new();
        let verifier = Arc::clone(&state.verifier);
        let stop = workers_stop.clone();
        workers.spawn(async move { verifier.keep_keys_fresh(stop).await });
        workers.spawn(cache.clone().keep_connected(workers_stop.clone()));
        let (trust, stop) = (Arc::clone(cache.trust()), workers_stop.clone());
        workers.spawn(async move { trust.follow(&journal, &stop).await });
        workers.spawn(clock_watch.run(workers_stop.clone()));
        workers.spawn(redis_watch.run(workers_stop.clone()));
        workers.spawn(relay.run(workers_stop.clone()));
        workers.spawn(consume.run(workers_stop.clone()));
        if let Some(pusher) = pusher {
            workers.spawn(pusher.run(workers_stop.clone()));
        }
        workers.spawn(watch_database(state.store.clone(), Arc::clone(&state.readiness), workers_stop.clone()));
        workers.spawn(keep_gauges(state.clone(), workers_stop.clone()));
        workers.spawn(forget_old_keys(state.clone(), workers_stop.clone()));
        workers.spawn(forget_old_events(state.clone(), workers_stop.clone()));
        let (released, stop) = (state.wakes.of_job(release_expired::NAME), workers_stop.clone());
        workers.spawn(async move { expiries.listen(&released, &stop).await });
        keep_jobs(&workers, &state, renewals, replica, &workers_stop);
        workers.close();

        let served = tokio::try_join!(
            async { http::serve(http, state, shutdown.clone()).await.context("the REST interface failed") },
            async { grpc::serve(grpc, grpc_state, shutdown.clone()).await.context("the gRPC interface failed") },
        );
        shutdown.cancel();
        // What was begun for clients that have gone is brought to its end too: its caches must hear of it.
        begun.close();
        if tokio::time::timeout(drain, begun.wait()).await.is_err() {
            tracing::warn!(left = begun.len(), "what was begun did not end within http.drain");
        }
        workers_stop.cancel();
        workers.wait().await;
        tracing::info!("stopped");
        served.map(drop)
    }
}

/// The ways to PostgreSQL.
struct Stores {
    store: Store,
    /// For who follows the journal, who never waits behind requests for a connection. A plan for an empty journal would be kept until
    /// its statistics are taken.
    journal: Store,
    /// For the relay.
    outbox: Store,
}

impl Stores {
    fn new(config: &Config) -> Result<Self, StoreError> {
        let clock = Arc::new(DatabaseClock::new(tolerance(config)));
        let settings = |pool_size| StoreSettings { pool_size, ..store_settings(config) };
        Ok(Self {
            store: Store::new(&store_settings(config))?.with_clock(Arc::clone(&clock)),
            journal: Store::planning_anew(&settings(1))?.with_clock(Arc::clone(&clock)),
            outbox: Store::planning_anew(&settings(3))?.with_clock(clock),
        })
    }
}

/// What answers the SMS path.
fn validation(config: &Config, store: &Store, cache: &Cache, metrics: &Arc<Metrics>) -> Validation {
    // Who waits for PostgreSQL leaves half of the room to who need not.
    let look_ups_most = config.grpc.max_concurrent_requests.div_ceil(2);
    Validation::start(config.numbering_plan(), store.clone(), cache.clone(), look_ups_most, Arc::clone(metrics))
}

/// What hears other services.
fn tidings(config: &Config, store: &Store, quotas: &Quotas, committed: &Arc<Notify>, wakes: &Wakes) -> Tidings {
    let policy = &config.policy;
    let recalls_due = wakes.of_job(cascade_recalls::NAME);
    let (store, quotas, committed) = (store.clone(), quotas.clone(), Arc::clone(committed));
    Tidings::new(store, quotas, &policy.default_plan, policy.cascade_confirm_above, committed, recalls_due)
}

/// Starts every job there is.
fn keep_jobs(workers: &TaskTracker, state: &AppState, renewals: Renewals, replica: Replica, stop: &CancellationToken) {
    let (settings, store, numbers) = (&state.config.jobs, &state.store, Arc::new(state.numbers.clone()));
    let runner = Runner::new(
        store.clone(),
        replica,
        RunnerSettings { leadership: settings.leadership_ttl.duration(), runs_kept: settings.runs_kept.into() },
        Arc::clone(&state.metrics),
    );
    let keep = Keep { workers, runner, wakes: &state.wakes, stop };
    keep.job(release_expired::job(store.clone(), Arc::clone(&numbers), &settings.release_expired));
    keep.job(end_quarantine::job(store.clone(), Arc::clone(&numbers), &settings.end_quarantine));
    keep.job(expire_leases::job(store.clone(), Arc::clone(&numbers), &settings.expire_leases));
    let alerts = Alerts::new(store.clone(), Arc::clone(&state.committed));
    keep.job(CascadeRecalls::new(store.clone(), Arc::clone(&numbers), alerts, &settings.cascade_recalls));
    keep.job(RenewLeases::new(renewals, state.config.policy.short_terms, &settings.renew_leases));
    let policy = state.config.policy();
    keep.job(GraceReminders::new(store.clone(), numbers, policy, &settings.grace_reminders));
    keep.job(OverrideReport::new(store.clone(), Arc::clone(&state.committed), &settings.override_report));
    let alerts = Alerts::new(store.clone(), Arc::clone(&state.committed));
    keep.job(ReconcileUsage::new(store.clone(), alerts, &settings.reconcile_usage));
    let follow = CapacitySettings {
        schedule: settings.capacity.clone(),
        look_every: state.config.capacity.look_every.duration(),
        recount_every: state.config.capacity.recount_every.signed(),
    };
    keep.job(FollowCapacity::new(store.clone(), state.capacity.clone(), Arc::clone(&state.metrics), follow));
}

/// Who watches how much of each pool is left.
pub(crate) fn capacity(config: &Config, store: &Store, committed: &Arc<Notify>) -> Capacity {
    let threshold =
        |below: Percent, until: Percent| Threshold { below: below.basis_points(), until: until.basis_points() };
    let settings = &config.capacity;
    let thresholds = Thresholds {
        exhausted: threshold(settings.exhausted_below, settings.exhausted_until),
        critical: threshold(settings.critical_below, settings.critical_until),
    };
    Capacity::new(store.clone(), thresholds, Arc::clone(committed))
}

/// Who tells Alertmanager of alerts; where none is set, it is said once that nobody is paged.
fn pusher(config: &Config, store: &Store, replica: &Replica, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Pusher>> {
    let alertmanager = Alertmanager::new(&config.alertmanager)?;
    if alertmanager.is_none() {
        tracing::warn!("alertmanager.url is not set: alerts are stored and published, and nobody is paged");
    }
    Ok(alertmanager.map(|alertmanager| Pusher::new(store.clone(), alertmanager, replica.clone(), Arc::clone(metrics))))
}

/// What every job is started with.
struct Keep<'a> {
    workers: &'a TaskTracker,
    runner: Runner,
    wakes: &'a Wakes,
    stop: &'a CancellationToken,
}

impl Keep<'_> {
    fn job(&self, job: impl Job) {
        let wake = self.wakes.of_job(job.name());
        self.workers.spawn(self.runner.clone().keep(job, wake, self.stop.clone()));
    }
}

/// The renewal of leases; where no billing is set, it is said once that there is none.
fn renewals(config: &Config, store: &Store, numbers: &Numbers, metrics: &Arc<Metrics>) -> anyhow::Result<Renewals> {
    let billing = Billing::new(&config.billing)?;
    if billing.is_none() {
        tracing::warn!("billing.url is not set: no lease is renewed");
    }
    let (in_flight, numbers) = (config.billing.in_flight, Arc::new(numbers.clone()));
    Ok(Renewals::new(store.clone(), numbers, billing, in_flight, config.policy(), Arc::clone(metrics)))
}

/// The name that operators know this replica by: as configured, else its machine and port. It is the same after a restart, so that
/// what a replica of this name left behind it finds again.
fn replica_name(config: &Config, http: SocketAddr) -> String {
    if !config.instance.name.is_empty() {
        return config.instance.name.clone();
    }
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{machine}:{}", http.port())
}

fn bound(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound listener has an address")
}

/// Where REST and gRPC are served.
async fn listeners(config: &Config) -> anyhow::Result<(TcpListener, TcpListener)> {
    Ok((listen("http.listen", config.http.listen).await?, listen("grpc.listen", config.grpc.listen).await?))
}

async fn listen(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{setting}: cannot listen on {address}"))
}

/// How much callers may ask for: a tenant has half of the searches at most, and nobody more than one export.
pub(crate) fn limits(config: &Config, cache: &Cache) -> Limits {
    let (browse, allocate) = (&config.browse, &config.allocate);
    let rate = |turns, window: Period| Rate { turns, window: window.duration() };
    let of_browse = |turns| rate(turns, browse.rate_window);
    let of_allocate = |turns| rate(turns, allocate.rate_window);
    Limits {
        browse: cache.rate_limit("browse", of_browse(browse.rate_limit), of_browse(browse.rate_limit_without_redis)),
        allocate: cache.rate_limit(
            "allocate",
            of_allocate(allocate.rate_limit),
            of_allocate(allocate.rate_limit_without_redis),
        ),
        searches: Places::new(allocate.max_concurrent, allocate.max_concurrent.div_ceil(2)),
        exports: Places::new(config.export.max_concurrent, 1),
    }
}

pub(crate) fn import_settings(config: &Config) -> ImportSettings {
    ImportSettings {
        max_file_bytes: config.import.max_file_bytes,
        max_line_bytes: config.import.max_line_bytes,
        timeout: config.import.timeout.duration(),
        spool_dir: config.import.spool_dir.clone(),
    }
}

/// How far the configuration lets the database's clock be off.
fn tolerance(config: &Config) -> Tolerance {
    Tolerance { alert: config.clock.alert_skew.signed(), stop: config.clock.stop_skew.signed() }
}

/// How the configuration says to reach the database.
pub(crate) fn store_settings(config: &Config) -> StoreSettings {
    let database = &config.database;
    StoreSettings {
        url: database.url.as_str().to_owned(),
        pool_size: database.pool_size,
        acquire_timeout: database.acquire_timeout.duration(),
        connect_timeout: database.connect_timeout.duration(),
        lock_timeout: database.lock_timeout.duration(),
        statement_timeout: database.statement_timeout.duration(),
    }
}

/// Readiness follows PostgreSQL.
async fn watch_database(store: Store, readiness: Arc<Readiness>, stop: CancellationToken) {
    loop {
        let answer = tokio::time::timeout(PING_PATIENCE, store.ping()).await;
        // Before PostgreSQL's clock was judged for the first time, deadlines have nothing to be held against.
        readiness.database_answers(matches!(answer, Ok(Ok(()))) && store.clock().is_known());
        tokio::select! {
            () = tokio::time::sleep(PING_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Tells how much of each pool is left; `known` are the pools that were told of before. Where it is not known, nothing is told: a
/// replica that is cut off must not tell for ever of what was left.
async fn tell_of_pools(state: &AppState, known: &mut BTreeSet<PoolLabels>) {
    let read = async {
        let now: Timestamp = state.store.moment().await?;
        Ok::<_, StoreError>(state.store.pools(now).await?.counts)
    };
    let pools = read.await.unwrap_or_else(|error| {
        tracing::debug!(%error, "what is left of the pools could not be read");
        BTreeMap::new()
    });
    let mut told = BTreeSet::new();
    for (pool, counts) in pools {
        let labels: PoolLabels = [("operatorId", pool.operator), ("blockPrefix", pool.prefix)];
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        state.metrics.pool_remaining.get_or_create(&labels).set(gauge(counts.remaining()));
        state.metrics.pool_total.get_or_create(&labels).set(gauge(counts.valid()));
        told.insert(labels);
    }
    for gone in known.difference(&told) {
        state.metrics.pool_remaining.remove(gone);
        state.metrics.pool_total.remove(gone);
    }
    *known = told;
}

/// Keeps `num_reservations_active` up to date, how late releases are, what finance has to look at, and how much of each pool is
/// left.
async fn keep_gauges(state: AppState, stop: CancellationToken) {
    let mut pools = BTreeSet::new();
    loop {
        tell_of_pools(&state, &mut pools).await;
        match state.store.active_reservations().await {
            Ok(active) => {
                state.metrics.reservations_active.set(active.count);
                state.metrics.reservations_overdue_seconds.set(active.overdue_seconds);
            }
            // Readiness tells of it already.
            Err(error) => tracing::debug!(%error, "active reservations could not be counted"),
        }
        match state.store.charges_without_renewal().await {
            Ok(count) => {
                state.metrics.charges_without_renewal.set(count);
            }
            Err(error) => tracing::debug!(%error, "charges without a renewal could not be counted"),
        }
        tokio::select! {
            () = tokio::time::sleep(GAUGE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Idempotency keys are kept for `idempotency.keep`, and no longer.
async fn forget_old_keys(state: AppState, stop: CancellationToken) {
    let keep = state.config.idempotency.keep.duration();
    loop {
        match state.store.forget_old_idempotency_keys(keep, FORGET_AT_ONCE).await {
            Ok(forgotten) if forgotten > 0 && !stop.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old idempotency keys could not be forgotten"),
        }
        tokio::select! {
            () = tokio::time::sleep(FORGET_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Events that came in are remembered for `inbox.keep`, and no longer.
async fn forget_old_events(state: AppState, stop: CancellationToken) {
    let keep = state.config.inbox.keep.duration();
    loop {
        match state.store.forget_old_events(keep, FORGET_AT_ONCE).await {
            Ok(forgotten) if forgotten > 0 && !stop.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old events could not be forgotten"),
        }
        tokio::select! {
            () = tokio::time::sleep(FORGET_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
