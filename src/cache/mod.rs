//! What is kept outside PostgreSQL to answer sooner: lease snapshots, limits of tenants and the timers of reservations in Redis.
//!
//! What must stay true: everything here is a hint. With Redis dead, frozen, empty or wrong, nothing committed is lost and
//! nothing wrong is answered; a call waits for Redis no longer than its limit, and not at all while the breaker is open.
//!
//! - `redis`: the connection, made and probed in the background only, behind a `breaker`.
//! - `snapshots`: `num:snapshot:{identifier}`, what validation needs to know of a number. Written only if newer.
//! - `limits`: `num:quota:{tenant}`, what a tenant may have, of one of its revisions.
//! - `timers`: `num:reserve:{identifier}` and `num:hold:{identifier}`, which run out when the claim does.
//! - `rate`: how many turns a caller has left, over all replicas.
//! - `expiries`: notices of timers that ran out, which wake the job that releases reservations.
//! - `trust`: which of these snapshots may be believed, by the journal, which is read several times a second. While that is
//!   older than [`TRUSTED_FOR`], no cached snapshot is used: PostgreSQL answers, or nobody. It keeps `recent`, the versions
//!   that it has heard of, and `local`, the snapshots that this process remembers itself.

mod breaker;
pub(crate) mod expiries;
mod limits;
mod local;
mod rate;
mod recent;
mod redis;
mod snapshots;
mod timers;
mod trust;
mod watch;

use std::sync::Arc;

use jiff::Timestamp;
use numbering_domain::Transition;
use tokio_util::sync::CancellationToken;

pub use expiries::Expiries;
pub use limits::{Limits, TenantLimits};
pub use local::{Found, Inventory, Kept};
pub use rate::{Rate, RateLimit, Turn};
pub use redis::{LinkError, RedisLink};
pub use snapshots::Snapshots;
pub use timers::Timers;
pub use trust::{TRUSTED_FOR, Trust, Trusted};
pub use watch::RedisWatch;

use crate::config;
use crate::telemetry::Metrics;

/// The caches, to be told of every change.
#[derive(Clone, Debug)]
pub struct Cache {
    snapshots: Snapshots,
    limits: Limits,
    timers: Timers,
    trust: Arc<Trust>,
}

impl Cache {
    /// Nothing is connected yet: [`Cache::keep_connected`] does that.
    ///
    /// # Errors
    /// Where an address does not parse.
    pub fn new(redis: &config::Redis, cache: &config::Cache, metrics: &Arc<Metrics>) -> Result<Self, LinkError> {
        let snapshots = RedisLink::new("snapshots", redis.url.as_str(), redis.call_timeout.duration(), metrics)?;
        let timers = RedisLink::new("timers", redis.timers_url.as_str(), redis.command_timeout.duration(), metrics)?;
        let write_limit = redis.command_timeout.duration();
        Ok(Self {
            limits: Limits::new(snapshots.clone(), cache.quota_ttl.duration(), write_limit),
            snapshots: Snapshots::new(snapshots, cache.snapshot_ttl.duration(), write_limit),
            timers: Timers::new(timers),
            trust: Arc::new(Trust::new(cache.local_numbers, cache.snapshot_ttl.duration(), metrics)),
        })
    }

    /// Lease snapshots.
    #[must_use]
    pub const fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Limits of tenants.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The timers of reservations and holds.
    #[must_use]
    pub const fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Which snapshots may be believed, and those that this process remembers.
    #[must_use]
    pub const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// A limit on how often a caller may do something, over all replicas; each replica's own share while Redis is away.
    #[must_use]
    pub fn rate_limit(&self, name: &'static str, rate: Rate, share: Rate) -> RateLimit {
        RateLimit::new(self.snapshots.link().clone(), self.timers.link().limit(), name, rate, share)
    }

    /// Connects to both databases, and again whenever a connection is lost, until told to stop.
    pub async fn keep_connected(self, stop: CancellationToken) {
        tokio::join!(self.snapshots.link().keep_connected(&stop), self.timers.link().keep_connected(&stop));
    }

    /// Tells the caches what was committed. To be awaited after the commit and before the answer, so that who was answered
    /// sees the change; takes no longer than `redis.command_timeout` for each few hundred changes, and never fails.
    ///
    /// `as_of` is a moment on the database's clock at which the changes were not decided yet or just then: the `now` of
    /// the decision. A teller that was frozen since is thereby recognised: what it writes is too old to be used.
    pub async fn tell(&self, transitions: &[Transition], as_of: Timestamp) {
        self.trust.committed(transitions);
        tokio::join!(self.snapshots.tell(transitions, as_of), self.timers.tell(transitions));
    }
}
