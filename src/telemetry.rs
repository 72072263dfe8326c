//! What the service tells about itself: log lines, metrics, and how much of a request was spent in PostgreSQL.
//!
//! What must stay true: no identifier and no tenant is ever a label of a metric, and nothing is logged that would let a
//! reader act as somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::events::{ConsumeMetrics, RelayMetrics};

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` does not parse.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("the log is set up already: {0}")]
    Already(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging to standard output, panics among it.
///
/// # Errors
/// When the filter does not parse, or logging was started before.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&log.filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    match log.format {
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()?;
        }
        LogFormat::Text => subscriber.finish().try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, message, "panic");
    }));
    Ok(())
}

/// Labels of a request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpRequest {
    /// The method; `OTHER` for one that HTTP does not define.
    pub method: &'static str,
    /// The route's template, never the path itself; `unmatched` where there is none.
    pub route: String,
    /// The status.
    pub status: u16,
}

/// Labels of a request's duration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpRoute {
    /// The method; `OTHER` for one that HTTP does not define.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
}

/// Labels of a token that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AuthRefusal {
    /// Why, as `auth::Refusal::label` names it.
    pub reason: &'static str,
}

/// Labels of a validation that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Validated {
    /// Where the facts came from: `process`, `redis` or `postgres`; `none` where none were needed.
    pub layer: &'static str,
    /// `VALID`, or the reason as the contract names it.
    pub verdict: &'static str,
}

/// Label of many validations that were answered together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ValidatedBatch {
    /// The slowest place that the facts of one came from: `none`, `process`, `redis` or `postgres`.
    pub layer: &'static str,
}

/// Labels of a gRPC call that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GrpcCall {
    /// The method.
    pub method: &'static str,
    /// The status, as gRPC names it.
    pub code: &'static str,
}

/// Label of a Redis database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RedisDatabase {
    /// `snapshots` or `timers`.
    pub database: &'static str,
}

/// Label of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobLabel {
    /// Its name.
    pub job: &'static str,
}

/// Labels of a job's runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobRunLabels {
    /// Its name.
    pub job: &'static str,
    /// `DONE`, `FAILED` or `INTERRUPTED`.
    pub outcome: &'static str,
}

/// Labels of rows that an import brought.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ImportedRows {
    /// `inserted`, `duplicate` or `invalid`.
    pub outcome: &'static str,
}

/// Labels of an import that did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ImportRefused {
    /// Why, in a word or two.
    pub reason: &'static str,
}

/// Label of an answer of billing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BillingAnswered {
    /// `approved`, `rejected` or `unavailable`.
    pub answer: &'static str,
}

/// Label of what became of a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RenewalEnded {
    /// `renewed`, `rejected`, `tenant_suspended`, `unavailable`, `unpriced` or `charged_in_vain`.
    pub outcome: &'static str,
}

/// Labels of a pool, by the names of the contract. Its operator is empty for a range of short codes.
pub type PoolLabels = [(&'static str, String); 2];

/// Label of what became of telling Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Pushed {
    /// `accepted`, `refused` or `failed`.
    pub outcome: &'static str,
}

/// A family of histograms whose buckets are fixed by its constructor.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Seconds from half a millisecond to thirty seconds: an HTTP request.
fn request_seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.08, 0.15, 0.3, 0.6, 1.0, 2.0, 5.0, 10.0, 30.0])
}

/// Seconds from 50 microseconds to a second: a validation.
fn validation_seconds() -> Histogram {
    Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.08, 0.15, 0.3, 1.0])
}

/// Seconds from a hundredth to ten minutes: an import.
fn import_seconds() -> Histogram {
    Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0])
}

/// Seconds from a millisecond to ten minutes: a job.
fn job_seconds() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 600.0])
}

/// Seconds from ten milliseconds to ten minutes: how late a reservation was released.
fn lag_seconds() -> Histogram {
    Histogram::new([0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 10.0, 60.0, 600.0])
}

/// Declares [`Metrics`]: a field's doc comment is the metric's help text.
///
/// The name is as exposed, but for counters: their `_total` is appended when they are written out.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $name:literal, $made:expr;)*) => {
        /// Every metric of the service, typed. The doc comment of a field is its help text.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            /// The relay's own.
            pub relay: RelayMetrics,
            /// Those of events that come in.
            pub consume: ConsumeMetrics,
            $($(#[doc = $help])+ pub $field: $kind,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::default();
                $(
                    let $field: $kind = $made;
                    registry.register($name, help(concat!($($help),+)), $field.clone());
                )*
                let relay = RelayMetrics::default();
                relay.register(&mut registry);
                let consume = ConsumeMetrics::default();
                consume.register(&mut registry);
                Self { registry, relay, consume, $($field,)* }
            }
        }
    };
}

/// The encoder appends the full stop itself.
fn help(text: &'static str) -> &'static str {
    text.trim().trim_end_matches('.')
}

metrics! {
    /// HTTP requests that ended; status 499 where the client hung up before its answer.
    http_requests: Family<HttpRequest, Counter> = "numbering_http_requests", Family::default();
    /// Time from the head of a request to the head of its answer, in seconds.
    http_request_seconds: Histograms<HttpRoute> = "numbering_http_request_duration_seconds",
        Family::new_with_constructor(request_seconds);
    /// HTTP connections open.
    http_connections: Gauge = "numbering_http_connections", Gauge::default();
    /// Bearer tokens refused, over HTTP and gRPC.
    auth_refusals: Family<AuthRefusal, Counter> = "numbering_auth_refusals", Family::default();
    /// Attempts to read the issuer's key set that failed; the last good set stays in force.
    jwks_failures: Counter = "numbering_jwks_refresh_failures", Counter::default();
    /// Verdicts on an identifier and a tenant, by where the facts came from.
    validations: Family<Validated, Counter> = "numbering_validations", Family::default();
    /// Time to all verdicts of a call for many, by the slowest place that the facts of one came from, in seconds.
    validation_batch_seconds: Histograms<ValidatedBatch> = "numbering_validation_batch_duration_seconds",
        Family::new_with_constructor(validation_seconds);
    /// Time to the verdict on an identifier and a tenant, by where the facts came from, in seconds.
    validation_seconds: Histograms<Validated> = "numbering_validation_duration_seconds",
        Family::new_with_constructor(validation_seconds);
    /// Calls to validate refused because too many were waiting for Redis or PostgreSQL.
    validations_shed: Counter = "numbering_validations_shed", Counter::default();
    /// Whether cached lease snapshots are believed on this replica: 1, or 0 while it does not hear of changes in time.
    cache_trusted: Gauge = "numbering_cache_trusted", Gauge::default();
    /// How often all that was cached was given up, because changes may have been missed; once at the start.
    cache_restarts: Counter = "numbering_cache_restarts", Counter::default();
    /// Numbers that this replica remembers for validation.
    local_snapshots: Gauge = "numbering_local_snapshots", Gauge::default();
    /// gRPC calls answered.
    grpc_calls: Family<GrpcCall, Counter> = "numbering_grpc_calls", Family::default();
    /// gRPC connections open.
    grpc_connections: Gauge = "numbering_grpc_connections", Gauge::default();
    /// Requests refused because their tenant had made as many as it may.
    rate_limited: Counter = "numbering_rate_limited", Counter::default();
    /// Whether a Redis database answers: 1, or 0 while its breaker is open.
    redis_up: Family<RedisDatabase, Gauge> = "numbering_redis_up", Family::default();
    /// Calls to Redis that failed or came late.
    redis_failures: Family<RedisDatabase, Counter> = "numbering_redis_failures", Family::default();
    /// Leases that were looked up and not put into Redis, because too many were waiting for that.
    redis_fills_dropped: Counter = "numbering_redis_fills_dropped", Counter::default();
    /// Rows of imported blocks and inventories, by what became of them.
    imported_rows: Family<ImportedRows, Counter> = "numbering_import_rows", Family::default();
    /// Imports that did not happen.
    imports_refused: Family<ImportRefused, Counter> = "numbering_imports_refused", Family::default();
    /// Time from the end of a block's upload to its commit, in seconds.
    import_seconds: Histogram = "numbering_import_duration_seconds", import_seconds();
    /// Time to an answer of billing about a renewal, by what it said, in seconds.
    billing_seconds: Histograms<BillingAnswered> = "numbering_billing_duration_seconds",
        Family::new_with_constructor(request_seconds);
    /// Renewals tried, by what became of them.
    renewals: Family<RenewalEnded, Counter> = "numbering_renewals", Family::default();
    /// Charges, known or possible, of leases that were not renewed, as last counted, until finance has settled them.
    charges_without_renewal: Gauge = "numbering_charges_without_renewal", Gauge::default();
    /// Reservations and holds that have not run out.
    reservations_active: Gauge = "num_reservations_active", Gauge::default();
    /// How far PostgreSQL's clock is off the witness that it is furthest from, in seconds; negative where it is behind.
    clock_skew_seconds: Gauge<f64, AtomicU64> = "numbering_clock_skew_seconds", Gauge::default();
    /// Whether PostgreSQL's clock is trusted: 1, or 0 while nothing may end by itself.
    clock_trusted: Gauge = "numbering_clock_trusted", Gauge::default();
    /// Reservations and holds released because their time was over.
    reservations_auto_released: Counter = "num_reservations_auto_released", Counter::default();
    /// Rounds of reservations by criteria that came to nothing, others being quicker, and were begun again.
    allocations_retried: Counter = "numbering_allocation_retries", Counter::default();
    /// From a reservation's or hold's deadline to the decision that released it, in seconds.
    release_lag_seconds: Histogram = "numbering_release_lag_seconds", lag_seconds();
    /// How long the longest overdue reservation or hold has been so, in seconds.
    reservations_overdue_seconds: Gauge<f64, AtomicU64> = "numbering_reservations_overdue_seconds", Gauge::default();
    /// Numbers of a pool that may be leased now.
    pool_remaining: Family<PoolLabels, Gauge> = "numbering_block_capacity_remaining", Family::default();
    /// Numbers of a pool that are valid, whoever has them.
    pool_total: Family<PoolLabels, Gauge> = "numbering_block_capacity_total", Family::default();
    /// By how many numbers the counts of pools were wrong when they were made anew.
    capacity_drift: Counter = "numbering_block_capacity_drift", Counter::default();
    /// Recounts of an operator's pools that failed.
    capacity_recount_failures: Counter = "numbering_block_capacity_recount_failures", Counter::default();
    /// Attempts to tell Alertmanager of alerts, by what became of them.
    alertmanager_pushes: Family<Pushed, Counter> = "numbering_alertmanager_pushes", Family::default();
    /// Runs of jobs on this replica.
    job_runs: Family<JobRunLabels, Counter> = "numbering_job_runs", Family::default();
    /// How long a job ran, in seconds.
    job_seconds: Histograms<JobLabel> = "numbering_job_duration_seconds", Family::new_with_constructor(job_seconds);
    /// Whether this replica is the one that runs the job: 1, or 0.
    job_held: Family<JobLabel, Gauge> = "numbering_job_held", Family::default();
    /// Notices of expired keys that Redis sent to this replica.
    expiry_notices: Counter = "numbering_expiry_notices", Counter::default();
    /// Whether this replica hears of keys that expire in Redis: 1, or 0.
    expiry_notices_heard: Gauge = "numbering_expiry_notices_heard", Gauge::default();
}

impl Metrics {
    /// The media type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics as text, for a scrape.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written out");
        }
        text
    }
}

tokio::task_local! {
    static STORE_USE: Arc<StoreUse>;
}

/// How much of a request was spent in PostgreSQL, for its log line.
#[derive(Debug, Default)]
pub struct StoreUse {
    microseconds: AtomicU64,
    queries: AtomicU32,
}

impl StoreUse {
    /// Runs `work` so that the queries it makes are counted here.
    pub async fn counting<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        STORE_USE.scope(self, work).await
    }

    /// Wraps work that is about to be spawned, so that its queries count for the request that spawned it.
    pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
        let carried = STORE_USE.try_with(Arc::clone).unwrap_or_default();
        STORE_USE.scope(carried, work)
    }

    /// Told by the store after each query; outside a request nothing is counted.
    pub fn record(elapsed: Duration) {
        let _ = STORE_USE.try_with(|store_use| {
            let microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            store_use.microseconds.fetch_add(microseconds, Ordering::Relaxed);
            store_use.queries.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Time spent waiting for PostgreSQL.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed))
    }

    /// How many queries were made.
    #[must_use]
    pub fn queries(&self) -> u32 {
        self.queries.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod watched;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_bear_the_names_of_the_contract_and_their_help() {
        let metrics = Metrics::default();
        metrics.reservations_auto_released.inc();
        metrics.reservations_active.set(3);
        metrics
            .http_requests
            .get_or_create(&HttpRequest { method: "GET", route: "/healthz".into(), status: 200 })
            .inc();
        let text = metrics.encode();
        for line in [
            "num_reservations_auto_released_total 1",
            "num_reservations_active 3",
            "# HELP num_reservations_active Reservations and holds that have not run out.",
            r#"numbering_http_requests_total{method="GET",route="/healthz",status="200"} 1"#,
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn queries_of_spawned_work_count_for_the_request() {
        let store_use = Arc::new(StoreUse::default());
        let work = async {
            StoreUse::record(Duration::from_millis(2));
            tokio::spawn(StoreUse::carried(async { StoreUse::record(Duration::from_millis(3)) })).await.unwrap();
        };
        Arc::clone(&store_use).counting(work).await;
        StoreUse::record(Duration::from_secs(1));
        assert_eq!((store_use.queries(), store_use.elapsed()), (2, Duration::from_millis(5)));
    }
}
