//! The settings, section by section, with their defaults. `config.default.toml` explains them to operators.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::period::Period;
use super::sources::Sources;
use super::value::{CursorKey, Percent, Secret, ServerUrl, Setting};

/// What a signature algorithm of tokens is called in the configuration. Shared secrets (`HS256` …) and `none` are not
/// among them, so that they cannot even be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA-PSS with SHA-384.
    Ps384,
    /// RSA-PSS with SHA-512.
    Ps512,
}

impl TokenAlgorithm {
    /// All that are supported.
    pub const ALL: [Self; 9] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// The name of RFC 7518 and RFC 8037.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    /// Reads the name, to the letter.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Setting for TokenAlgorithm {
    fn read(given: &super::value::Given) -> Result<Self, String> {
        let name = String::read(given)?;
        Self::parse(&name).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{name} is no signature algorithm that tokens may have; these are: {all}")
        })
    }
}

impl Setting for LogFormat {
    fn read(given: &super::value::Given) -> Result<Self, String> {
        match String::read(given)?.as_str() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be json or text".to_owned()),
        }
    }
}

/// A value to go on with after a fault; the configuration is refused then.
trait NeverUsed {
    fn never_used() -> Self;
}

macro_rules! never_used {
    ($($kind:ty => $value:expr),* $(,)?) => {$(
        impl NeverUsed for $kind {
            fn never_used() -> Self {
                $value
            }
        }
    )*};
}

never_used! {
    bool => false,
    u32 => 1,
    u64 => 1,
    usize => 1,
    String => String::new(),
    Period => Period::from_secs(1),
    Percent => Percent::from_basis_points(100),
    SocketAddr => SocketAddr::from(([0, 0, 0, 0], 0)),
    BTreeSet<String> => BTreeSet::new(),
    ServerUrl => ServerUrl::new(""),
    CursorKey => CursorKey::all_zero(),
    Option<Secret> => None,
    LogFormat => LogFormat::Json,
    Vec<TokenAlgorithm> => vec![TokenAlgorithm::EdDsa],
    Option<PathBuf> => None,
    Option<ServerUrl> => None,
}

/// A section: its fields, each with its default; a field without one is required.
macro_rules! section {
    ($(#[$doc:meta])* $path:literal => $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty $(= $default:expr)?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            pub(super) fn take(sources: &mut Sources) -> Self {
                Self {
                    $($field: {
                        let default: Option<$kind> = None $(.or_else(|| Some($default)))?;
                        sources.take(concat!($path, ".", stringify!($field)), default, NeverUsed::never_used)
                    },)*
                }
            }
        }
    };
}

section! {
    /// The REST listener.
    "http" => Http {
        /// Where REST is served.
        listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8080)),
        /// From the first byte of a request's body to the last of the handler's work.
        request_timeout: Period = Period::from_secs(30),
        /// The largest body of a request, in bytes; imports have their own limit.
        body_limit_bytes: usize = 65_536,
        /// The most connections at once; more wait in the kernel's queue.
        max_connections: usize = 4_096,
        /// How long a client may take over the head of a request, and idle between two.
        header_read_timeout: Period = Period::from_secs(10),
        /// How long requests under way may take after the stop signal.
        drain: Period = Period::from_secs(10),
        /// How long to answer on, unready, before the listener closes, so that a balancer can notice.
        unready_grace: Period = Period::default(),
    }
}

section! {
    /// The gRPC listener.
    "grpc" => Grpc {
        /// Where gRPC is served.
        listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 9090)),
        /// The threads that serve it; 0 for one on each core.
        threads: usize = 0,
        /// The most calls under way at once; more are refused with `UNAVAILABLE`.
        max_concurrent_requests: usize = 4_096,
        /// The most connections at once; more are closed as soon as they are made.
        max_connections: usize = 1_024,
        /// The most calls under way at once on one connection.
        max_concurrent_streams: u32 = 1_024,
        /// The largest message that is taken, in bytes.
        max_message_bytes: usize = 262_144,
        /// How long a call may take, where the client asks for no less.
        request_timeout: Period = Period::from_secs(5),
        /// After so long a connection is asked to close, so that clients spread over new replicas.
        max_connection_age: Period = Period::from_mins(30),
        /// How long calls under way may take after the stop signal, or past the connection's age.
        drain: Period = Period::from_secs(10),
        /// The certificate chain (PEM); with it and the key, gRPC is served over TLS.
        tls_cert: Option<PathBuf> = None,
        /// The certificate's key (PEM).
        tls_key: Option<PathBuf> = None,
    }
}

section! {
    /// PostgreSQL.
    "database" => Database {
        /// As the role that serves.
        url: ServerUrl,
        /// As the role that owns the schema and migrates; `url` where it is absent.
        migrate_url: Option<ServerUrl> = None,
        /// The most connections of one replica.
        pool_size: usize = 16,
        /// How long to wait for a free connection.
        acquire_timeout: Period = Period::from_secs(5),
        /// How long a statement waits for a lock.
        lock_timeout: Period = Period::from_secs(2),
        /// How long a statement runs.
        statement_timeout: Period = Period::from_secs(5),
        /// How long connecting takes.
        connect_timeout: Period = Period::from_secs(5),
    }
}

section! {
    /// Redis.
    "redis" => Redis {
        /// Lease snapshots and quotas.
        url: ServerUrl,
        /// The timers of reservations: a database index or instance of their own.
        timers_url: ServerUrl,
        /// How long a call for a snapshot may take.
        call_timeout: Period = Period::from_millis(10),
        /// How long a call for a timer may take.
        command_timeout: Period = Period::from_millis(250),
    }
}

section! {
    /// NATS JetStream.
    "nats" => Nats {
        /// The server.
        url: ServerUrl,
        /// How long to wait until a published event is acknowledged.
        ack_timeout: Period = Period::from_secs(5),
    }
}

section! {
    /// Bearer tokens.
    "auth" => Auth {
        /// What `iss` must be.
        issuer: String,
        /// What `aud` must hold.
        audience: String,
        /// The key set: a path or an `http(s)://` address.
        jwks: String,
        /// The algorithms that are accepted at all.
        algorithms: Vec<TokenAlgorithm> = vec![TokenAlgorithm::EdDsa, TokenAlgorithm::Es256, TokenAlgorithm::Rs256],
        /// How far the issuer's clock may be off.
        leeway: Period = Period::from_secs(30),
        /// How often the key set is read again.
        refresh: Period = Period::from_mins(5),
    }
}

section! {
    /// Secrets of the service itself.
    "security" => Security {
        /// Makes cursors tamper-evident; the same on every replica.
        cursor_key: CursorKey,
    }
}

section! {
    /// The shape of the country's identifiers.
    "numbering_plan" => NumberingPlanSettings {
        /// The country calling code, without `+`.
        country_code: String = "93".to_owned(),
        /// How many digits follow it.
        national_digits: usize = 9,
        /// Short codes that nobody may lease.
        never_leasable: BTreeSet<String> = ["100", "102", "119"].map(String::from).into(),
    }
}

section! {
    /// How long claims last, and what is offered.
    "policy" => PolicySettings {
        /// A RESERVED claim (US-NUM-007).
        reservation_ttl: Period = Period::from_mins(15),
        /// What a RESERVED claim lasts at most, extended as often as may be.
        reservation_ceiling: Period = Period::from_mins(60),
        /// A HELD claim (US-NUM-008).
        hold_ttl: Period = Period::from_hours(24),
        /// How long before its end a lease is renewed (US-NUM-005).
        renewal_window: Period = Period::from_days(7),
        /// How long after a refused renewal it is asked for again (US-NUM-005).
        renewal_retry: Period = Period::from_hours(24),
        /// How long a vanity lease lives on after a failed renewal (US-NUM-012).
        vanity_grace: Period = Period::from_days(14),
        /// How often a tenant in grace is reminded (US-NUM-012).
        reminder_interval: Period = Period::from_hours(24),
        /// Whether terms may be `<n>s` and `<n>h`, for trying things out.
        short_terms: bool = false,
        /// The plan of a tenant first seen in a token.
        default_plan: String = "starter".to_owned(),
        /// The longest term of a lease.
        max_term: String = "5y".to_owned(),
        /// A suspended tenant with more leases keeps them until an admin confirms the recall; 0 is never (US-NUM-004).
        cascade_confirm_above: u32 = 0,
    }
}

section! {
    /// How long a number rests after a lease (US-NUM-004, US-NUM-012).
    "policy.quarantine" => Quarantine {
        /// A mobile number.
        msisdn: Period = Period::from_days(90),
        /// A short code.
        short_code: Period = Period::from_days(30),
        /// An alphanumeric sender ID.
        alpha: Period = Period::default(),
        /// Anything leased as vanity.
        vanity: Period = Period::from_days(365),
    }
}

section! {
    /// How often a tenant may browse the pool (US-NUM-014).
    "browse" => Browse {
        /// How many requests a tenant may make in each window, over all replicas.
        rate_limit: u32 = 60,
        /// How many of each replica while Redis is away.
        rate_limit_without_redis: u32 = 20,
        /// The window.
        rate_window: Period = Period::from_mins(1),
    }
}

section! {
    /// Numbers reserved by criteria, which are searched for.
    "allocate" => Allocate {
        /// The most searches at once; one tenant has half of these at most, and more wait in line.
        max_concurrent: usize = 4,
        /// How long a search and the reservation of what it found may take together, the wait for their turn too; no longer than
        /// `http.request_timeout` in any case.
        timeout: Period = Period::from_secs(15),
        /// How many requests a tenant may make in each window, over all replicas.
        rate_limit: u32 = 600,
        /// How many of each replica while Redis is away.
        rate_limit_without_redis: u32 = 200,
        /// The window.
        rate_window: Period = Period::from_mins(1),
    }
}

section! {
    /// Billing, which is asked before a lease is renewed.
    "billing" => Billing {
        /// Where it is; without it nothing is renewed.
        url: Option<ServerUrl> = None,
        /// The bearer token that it wants to see.
        token: Option<Secret> = None,
        /// How long an answer may take.
        timeout: Period = Period::from_secs(5),
        /// The most renewals that are asked about at once.
        in_flight: usize = 8,
    }
}

section! {
    /// What is kept outside PostgreSQL.
    "cache" => Cache {
        /// How long a lease snapshot is kept (US-NUM-002).
        snapshot_ttl: Period = Period::from_secs(60),
        /// The most numbers whose lease snapshots this process remembers itself.
        local_numbers: usize = 500_000,
        /// How long a tenant's limits are kept (US-NUM-011).
        quota_ttl: Period = Period::from_mins(5),
    }
}

section! {
    /// Imports of number blocks.
    "import" => Import {
        /// The largest file, in bytes.
        max_file_bytes: u64 = 268_435_456,
        /// The longest line, in bytes.
        max_line_bytes: usize = 4_096,
        /// How long one import may take.
        timeout: Period = Period::from_mins(10),
        /// Where files rest until their signature is verified; the system's place for temporary files where absent.
        spool_dir: Option<PathBuf> = None,
    }
}

section! {
    /// `Idempotency-Key`.
    "idempotency" => Idempotency {
        /// How long an answer is kept.
        keep: Period = Period::from_hours(24),
        /// How long a request that never finished blocks its key.
        claim: Period = Period::from_secs(10),
    }
}

section! {
    /// Lists as files.
    "export" => Export {
        /// The most exports at once, and one of each tenant's; more are refused with `UNAVAILABLE`.
        max_concurrent: usize = 4,
        /// How long one may take.
        timeout: Period = Period::from_mins(30),
    }
}

section! {
    /// How far PostgreSQL's clock may be off.
    "clock" => ClockSettings {
        /// Beyond this an alert is raised.
        alert_skew: Period = Period::from_secs(30),
        /// Beyond this the clock is not trusted: nothing ends by itself.
        stop_skew: Period = Period::from_mins(1),
    }
}

section! {
    /// The way of events from the journal to JetStream.
    "outbox" => Outbox {
        /// How often to look without being woken.
        poll: Period = Period::from_millis(100),
        /// The most entries of one look.
        batch: u32 = 500,
        /// The most events published and not yet acknowledged.
        in_flight: usize = 64,
        /// How long a relay that fell silent stays the one.
        leadership_ttl: Period = Period::from_secs(5),
    }
}

section! {
    /// The events of other services.
    "inbox" => Inbox {
        /// How long a replica that fell silent keeps a message from the others.
        ack_wait: Period = Period::from_secs(5),
        /// How often a message that fails is tried.
        attempts: u32 = 5,
        /// The pause after its first failure; each further one is twice as long.
        retry_pause: Period = Period::from_secs(1),
        /// For how long events are remembered, so that none counts twice.
        keep: Period = Period::from_days(30),
        /// How often the streams are looked at.
        check: Period = Period::from_secs(2),
    }
}

section! {
    /// What the service does by itself.
    "jobs" => Jobs {
        /// How long a replica that fell silent stays the one that runs a job.
        leadership_ttl: Period = Period::from_secs(3),
        /// How many of the latest runs of a job are kept.
        runs_kept: u32 = 50,
        /// When reservations are swept in any case (US-NUM-010), as cron writes it, UTC.
        release_expired: String = "* * * * *".to_owned(),
        /// When quarantine is swept in any case (US-NUM-006).
        end_quarantine: String = "*/5 * * * *".to_owned(),
        /// When leases that ended are swept in any case.
        expire_leases: String = "* * * * *".to_owned(),
        /// When the recalls of suspended tenants are looked for in any case (US-NUM-004).
        cascade_recalls: String = "* * * * *".to_owned(),
        /// When leases that are to be renewed are looked for in any case (US-NUM-005).
        renew_leases: String = "0 2 * * *".to_owned(),
        /// When leases in grace are looked for in any case (US-NUM-012).
        grace_reminders: String = "0 * * * *".to_owned(),
        /// When the overrides of the day before are reported in any case (US-NUM-006).
        override_report: String = "10 0 * * *".to_owned(),
        /// When the counters of quotas are compared with the rows (US-NUM-011).
        reconcile_usage: String = "10 4 * * *".to_owned(),
        /// When it is looked in any case how much of each pool is left (US-NUM-013).
        capacity: String = "* * * * *".to_owned(),
    }
}

section! {
    /// How much of each pool is left (US-NUM-013).
    "capacity" => CapacityThresholds {
        /// Less than this is left: an event and an alert.
        exhausted_below: Percent = Percent::from_basis_points(500),
        /// So much is left again: the alert is over.
        exhausted_until: Percent = Percent::from_basis_points(600),
        /// Less than this is left: an alert that pages.
        critical_below: Percent = Percent::from_basis_points(100),
        /// So much is left again: that alert is over.
        critical_until: Percent = Percent::from_basis_points(150),
        /// How often to look whether anything has changed.
        look_every: Period = Period::from_secs(1),
        /// How often every pool is counted anew in any case.
        recount_every: Period = Period::from_hours(24),
    }
}

section! {
    /// Alertmanager, which is told of the service's own alerts.
    "alertmanager" => Alertmanager {
        /// Where it is; without it alerts are stored and published, and nobody is paged.
        url: Option<ServerUrl> = None,
        /// The bearer token that it wants to see.
        token: Option<Secret> = None,
        /// How long an answer may take.
        timeout: Period = Period::from_secs(5),
        /// How often it is told again of what is open: clearly less than its `resolve_timeout`, after which it takes an alert for over.
        repeat_every: Period = Period::from_secs(30),
    }
}

section! {
    /// This replica.
    "instance" => Instance {
        /// The name that operators know it by; machine and port where it is absent.
        name: String = String::new(),
    }
}

section! {
    /// Log lines.
    "log" => Log {
        /// `json` or `text`.
        format: LogFormat = LogFormat::Json,
        /// What is logged, as `tracing-subscriber` filters are written.
        filter: String = "info".to_owned(),
    }
}
