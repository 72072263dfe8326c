//! The one typed configuration: a file, then `NUMBERING_*` environment over it, checked whole before anything starts.
//!
//! What must stay true: every fault is listed at once by the setting's path; nothing that was set is ignored; and
//! `config.default.toml`, which is the documentation, parses to the defaults.

mod period;
mod sections;
mod sources;
mod value;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr as _;

use numbering_domain::{NumberingPlan, Policy, Term};

pub use period::{InvalidPeriod, Period};
pub use sections::{
    Alertmanager, Allocate, Auth, Billing, Browse, Cache, CapacityThresholds, ClockSettings, Database, Export, Grpc,
    Http, Idempotency, Import, Inbox, Instance, Jobs, Log, LogFormat, Nats, NumberingPlanSettings, Outbox,
    PolicySettings, Quarantine, Redis, Security, TokenAlgorithm,
};
pub use sources::{ConfigFault, ConfigFaults};
pub use value::{CursorKey, Percent, Secret, ServerUrl};

use sources::Sources;

/// The plans a tenant can be on.
pub const PLANS: [&str; 3] = ["starter", "business", "premium"];

/// The most that the issuer's clock may be off.
const LEEWAY_LONGEST: Period = Period::from_secs(30);

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The REST listener.
    pub http: Http,
    /// The gRPC listener.
    pub grpc: Grpc,
    /// PostgreSQL.
    pub database: Database,
    /// Redis.
    pub redis: Redis,
    /// NATS JetStream.
    pub nats: Nats,
    /// Bearer tokens.
    pub auth: Auth,
    /// Secrets of the service itself.
    pub security: Security,
    /// The shape of the country's identifiers; [`Config::numbering_plan`] is the domain's form of it.
    pub numbering_plan: NumberingPlanSettings,
    /// How long claims last; [`Config::policy`] is the domain's form of it.
    pub policy: PolicySettings,
    /// `policy.quarantine`.
    pub quarantine: Quarantine,
    /// How often a tenant may browse.
    pub browse: Browse,
    /// How much may be searched for numbers to reserve.
    pub allocate: Allocate,
    /// Billing, which is asked before a lease is renewed.
    pub billing: Billing,
    /// What is kept outside PostgreSQL.
    pub cache: Cache,
    /// Imports of number blocks.
    pub import: Import,
    /// `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// Lists as files.
    pub export: Export,
    /// How far PostgreSQL's clock may be off.
    pub clock: ClockSettings,
    /// The way of events.
    pub outbox: Outbox,
    /// The events of other services.
    pub inbox: Inbox,
    /// What the service does by itself.
    pub jobs: Jobs,
    /// How much of each pool is left.
    pub capacity: CapacityThresholds,
    /// Who is told of alerts.
    pub alertmanager: Alertmanager,
    /// This replica.
    pub instance: Instance,
    /// Log lines.
    pub log: Log,
}

impl Config {
    /// Reads the file, if there is one, and the environment (`std::env::vars_os()`), which overrides it.
    ///
    /// # Errors
    /// Every fault there is, each with its setting.
    pub fn load<K, V>(file: Option<&Path>, environment: impl IntoIterator<Item = (K, V)>) -> Result<Self, ConfigFaults>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut sources = Sources::gather(file, environment);
        let config = Self::take(&mut sources);
        config.check(&mut sources);
        sources.finish().map(|_| config)
    }

    fn take(sources: &mut Sources) -> Self {
        Self {
            http: Http::take(sources),
            grpc: Grpc::take(sources),
            database: Database::take(sources),
            redis: Redis::take(sources),
            nats: Nats::take(sources),
            auth: Auth::take(sources),
            security: Security::take(sources),
            numbering_plan: NumberingPlanSettings::take(sources),
            policy: PolicySettings::take(sources),
            quarantine: Quarantine::take(sources),
            browse: Browse::take(sources),
            allocate: Allocate::take(sources),
            billing: Billing::take(sources),
            cache: Cache::take(sources),
            import: Import::take(sources),
            idempotency: Idempotency::take(sources),
            export: Export::take(sources),
            clock: ClockSettings::take(sources),
            outbox: Outbox::take(sources),
            inbox: Inbox::take(sources),
            jobs: Jobs::take(sources),
            capacity: CapacityThresholds::take(sources),
            alertmanager: Alertmanager::take(sources),
            instance: Instance::take(sources),
            log: Log::take(sources),
        }
    }

    /// The numbering plan as the domain knows it.
    #[must_use]
    pub fn numbering_plan(&self) -> NumberingPlan {
        let NumberingPlanSettings { country_code, national_digits, never_leasable } = self.numbering_plan.clone();
        NumberingPlan { country_code, national_digits, never_leasable }
    }

    /// The policy as the domain knows it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            reservation_ttl: self.policy.reservation_ttl.signed(),
            reservation_ceiling: self.policy.reservation_ceiling.signed(),
            hold_ttl: self.policy.hold_ttl.signed(),
            renewal_window: self.policy.renewal_window.signed(),
            renewal_retry: self.policy.renewal_retry.signed(),
            reminder_interval: self.policy.reminder_interval.signed(),
            vanity_grace: self.policy.vanity_grace.signed(),
            quarantine_msisdn: self.quarantine.msisdn.signed(),
            quarantine_short_code: self.quarantine.short_code.signed(),
            quarantine_alpha: self.quarantine.alpha.signed(),
            quarantine_vanity: self.quarantine.vanity.signed(),
        }
    }

    /// The checks beyond one value's own type. Values that a fault replaced pass them, so that no fault is told twice.
    fn check(&self, sources: &mut Sources) {
        self.check_no_zero(sources);
        self.check_servers(sources);
        self.check_tokens(sources);
        self.check_numbering_plan(sources);
        self.check_schedules(sources);
        self.check_capacity(sources);
        if self.grpc.tls_cert.is_some() != self.grpc.tls_key.is_some() {
            sources.fault("grpc.tls_cert", "and grpc.tls_key go together: set both or neither".to_owned());
        }
        if !PLANS.contains(&self.policy.default_plan.as_str()) && !self.policy.default_plan.is_empty() {
            sources.fault("policy.default_plan", format!("must be one of {}", PLANS.join(", ")));
        }
        if !self.policy.max_term.is_empty() && Term::parse(&self.policy.max_term, self.policy.short_terms).is_err() {
            sources.fault("policy.max_term", "must be a term up to ten years, such as 30d, 6m or 5y".to_owned());
        }
        if self.clock.stop_skew < self.clock.alert_skew {
            sources.fault("clock.stop_skew", "must not be less than clock.alert_skew".to_owned());
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log.filter).is_err() {
            sources.fault("log.filter", "is no filter: write a level (info), or target=level pairs".to_owned());
        }
    }

    fn check_no_zero(&self, sources: &mut Sources) {
        for (path, period) in [
            ("http.request_timeout", self.http.request_timeout),
            ("http.header_read_timeout", self.http.header_read_timeout),
            ("grpc.request_timeout", self.grpc.request_timeout),
            ("grpc.max_connection_age", self.grpc.max_connection_age),
            ("database.acquire_timeout", self.database.acquire_timeout),
            ("database.lock_timeout", self.database.lock_timeout),
            ("database.statement_timeout", self.database.statement_timeout),
            ("database.connect_timeout", self.database.connect_timeout),
            ("redis.call_timeout", self.redis.call_timeout),
            ("redis.command_timeout", self.redis.command_timeout),
            ("nats.ack_timeout", self.nats.ack_timeout),
            ("auth.refresh", self.auth.refresh),
            ("policy.reservation_ttl", self.policy.reservation_ttl),
            ("policy.reservation_ceiling", self.policy.reservation_ceiling),
            ("policy.hold_ttl", self.policy.hold_ttl),
            ("policy.renewal_window", self.policy.renewal_window),
            ("policy.renewal_retry", self.policy.renewal_retry),
            ("policy.reminder_interval", self.policy.reminder_interval),
            ("browse.rate_window", self.browse.rate_window),
            ("billing.timeout", self.billing.timeout),
            ("cache.snapshot_ttl", self.cache.snapshot_ttl),
            ("cache.quota_ttl", self.cache.quota_ttl),
            ("allocate.timeout", self.allocate.timeout),
            ("import.timeout", self.import.timeout),
            ("export.timeout", self.export.timeout),
            ("idempotency.keep", self.idempotency.keep),
            ("idempotency.claim", self.idempotency.claim),
            ("clock.alert_skew", self.clock.alert_skew),
            ("clock.stop_skew", self.clock.stop_skew),
            ("outbox.poll", self.outbox.poll),
            ("outbox.leadership_ttl", self.outbox.leadership_ttl),
            ("inbox.ack_wait", self.inbox.ack_wait),
            ("inbox.retry_pause", self.inbox.retry_pause),
            ("inbox.keep", self.inbox.keep),
            ("inbox.check", self.inbox.check),
            ("jobs.leadership_ttl", self.jobs.leadership_ttl),
            ("capacity.look_every", self.capacity.look_every),
            ("capacity.recount_every", self.capacity.recount_every),
            ("alertmanager.timeout", self.alertmanager.timeout),
            ("alertmanager.repeat_every", self.alertmanager.repeat_every),
        ] {
            if period.is_zero() {
                sources.fault(path, "must be longer than nothing".to_owned());
            }
        }
        for (path, zero) in [
            ("http.body_limit_bytes", self.http.body_limit_bytes == 0),
            ("http.max_connections", self.http.max_connections == 0),
            ("grpc.max_concurrent_requests", self.grpc.max_concurrent_requests == 0),
            ("grpc.max_connections", self.grpc.max_connections == 0),
            ("export.max_concurrent", self.export.max_concurrent == 0),
            ("grpc.max_concurrent_streams", self.grpc.max_concurrent_streams == 0),
            ("grpc.max_message_bytes", self.grpc.max_message_bytes == 0),
            ("database.pool_size", self.database.pool_size == 0),
            ("cache.local_numbers", self.cache.local_numbers == 0),
            ("billing.in_flight", self.billing.in_flight == 0),
            ("import.max_file_bytes", self.import.max_file_bytes == 0),
            ("import.max_line_bytes", self.import.max_line_bytes == 0),
            ("outbox.batch", self.outbox.batch == 0),
            ("outbox.in_flight", self.outbox.in_flight == 0),
            ("inbox.attempts", self.inbox.attempts == 0),
            ("jobs.runs_kept", self.jobs.runs_kept == 0),
            ("browse.rate_limit", self.browse.rate_limit == 0),
            ("browse.rate_limit_without_redis", self.browse.rate_limit_without_redis == 0),
            ("allocate.max_concurrent", self.allocate.max_concurrent == 0),
            ("allocate.rate_limit", self.allocate.rate_limit == 0),
            ("allocate.rate_limit_without_redis", self.allocate.rate_limit_without_redis == 0),
        ] {
            if zero {
                sources.fault(path, "must be at least 1".to_owned());
            }
        }
    }

    fn check_schedules(&self, sources: &mut Sources) {
        for (path, schedule) in [
            ("jobs.release_expired", &self.jobs.release_expired),
            ("jobs.end_quarantine", &self.jobs.end_quarantine),
            ("jobs.expire_leases", &self.jobs.expire_leases),
            ("jobs.cascade_recalls", &self.jobs.cascade_recalls),
            ("jobs.renew_leases", &self.jobs.renew_leases),
            ("jobs.grace_reminders", &self.jobs.grace_reminders),
            ("jobs.override_report", &self.jobs.override_report),
            ("jobs.reconcile_usage", &self.jobs.reconcile_usage),
            ("jobs.capacity", &self.jobs.capacity),
        ] {
            // Empty is what a fault left.
            if !schedule.is_empty() && croner::Cron::from_str(schedule).is_err() {
                sources.fault(path, "must be as cron writes it, such as 0 2 * * * for two in the morning".to_owned());
            }
        }
    }

    fn check_servers(&self, sources: &mut Sources) {
        let postgres = |url: &ServerUrl| url.as_str().parse::<tokio_postgres::Config>().is_ok();
        let scheme = |url: &ServerUrl, schemes: &[&str]| {
            let given = url.as_str();
            given.is_empty() || schemes.iter().any(|scheme| given.starts_with(scheme))
        };
        if !postgres(&self.database.url) {
            sources.fault("database.url", "must be like postgres://user:password@host:5432/database".to_owned());
        }
        if self.database.migrate_url.as_ref().is_some_and(|url| !postgres(url)) {
            sources
                .fault("database.migrate_url", "must be like postgres://user:password@host:5432/database".to_owned());
        }
        for (path, url) in [("redis.url", &self.redis.url), ("redis.timers_url", &self.redis.timers_url)] {
            if !scheme(url, &["redis://", "redis+unix://", "unix://"]) {
                sources.fault(path, "must be like redis://:password@host:6379/0".to_owned());
            }
        }
        if !self.redis.url.as_str().is_empty() && self.redis.url == self.redis.timers_url {
            let fault = "must be another database index or instance than redis.url: expiry notices come late otherwise";
            sources.fault("redis.timers_url", fault.to_owned());
        }
        if !scheme(&self.nats.url, &["nats://", "tls://"]) {
            sources.fault("nats.url", "must be like nats://host:4222".to_owned());
        }
        let whole = |url: &ServerUrl| reqwest::Url::parse(url.as_str()).is_ok_and(|url| url.has_host());
        for (path, url) in [("billing.url", &self.billing.url), ("alertmanager.url", &self.alertmanager.url)] {
            if url.as_ref().is_some_and(|url| !scheme(url, &["http://", "https://"]) || !whole(url)) {
                let name = path.split('.').next().unwrap_or_default();
                sources.fault(path, format!("must be like https://{name}.example.com"));
            }
        }
    }

    fn check_capacity(&self, sources: &mut Sources) {
        let CapacityThresholds { exhausted_below, exhausted_until, critical_below, critical_until, .. } = self.capacity;
        for (path, until, below) in [
            ("capacity.exhausted_until", exhausted_until, exhausted_below),
            ("capacity.critical_until", critical_until, critical_below),
        ] {
            if until < below {
                sources.fault(path, "must not be less than the share that the alert is raised below".to_owned());
            }
        }
    }

    fn check_tokens(&self, sources: &mut Sources) {
        if self.auth.algorithms.is_empty() {
            sources.fault("auth.algorithms", "must name at least one algorithm".to_owned());
        }
        if self.auth.leeway > LEEWAY_LONGEST {
            sources.fault("auth.leeway", format!("must not be more than {LEEWAY_LONGEST}"));
        }
    }

    fn check_numbering_plan(&self, sources: &mut Sources) {
        let NumberingPlanSettings { country_code, national_digits, never_leasable } = &self.numbering_plan;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !digits(country_code) || country_code.len() > 3 || country_code.starts_with('0') {
            sources.fault("numbering_plan.country_code", "must be 1 to 3 digits without +, such as 93".to_owned());
        }
        // E.164: fifteen digits at most, country code and all.
        if *national_digits == 0 || country_code.len() + national_digits > 15 {
            let fault = "must be at least 1, and with the country code at most 15 (E.164)".to_owned();
            sources.fault("numbering_plan.national_digits", fault);
        }
        let wrong: BTreeSet<&str> = never_leasable
            .iter()
            .map(String::as_str)
            .filter(|code| !digits(code) || !(3..=6).contains(&code.len()))
            .collect();
        for code in wrong {
            sources.fault("numbering_plan.never_leasable", format!("{code:?} is no short code of 3 to 6 digits"));
        }
    }
}

#[cfg(test)]
mod tests;
