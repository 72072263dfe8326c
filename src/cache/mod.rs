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
//! - `suspended`: which tenants are suspended and what time it is, read from PostgreSQL several times a second. While that
//!   is older than [`TRUSTED_FOR`], no snapshot of a cache is used: PostgreSQL answers, or nobody.
//!
//! A cache in the process itself belongs here too, between a caller and `snapshots`; so does the watermark of the journal's
//! tail, beside `suspended`, which is read in the same poll and trusted for as long.

mod breaker;
pub(crate) mod expiries;
mod limits;
mod rate;
mod redis;
mod snapshots;
mod suspended;
mod timers;

use std::sync::Arc;

use jiff::Timestamp;
use numbering_domain::Transition;
use tokio_util::sync::CancellationToken;

pub use expiries::Expiries;
pub use limits::{Limits, TenantLimits};
pub use rate::{Rate, RateLimit, Turn};
pub use redis::{LinkError, RedisLink};
pub use snapshots::Snapshots;
pub use suspended::{Suspended, TRUSTED_FOR, Trusted};
pub use timers::Timers;

use crate::config;
use crate::telemetry::Metrics;

/// The caches in Redis, to be told of every change.
#[derive(Clone, Debug)]
pub struct Cache {
    snapshots: Snapshots,
    limits: Limits,
    timers: Timers,
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
        tokio::join!(self.snapshots.tell(transitions, as_of), self.timers.tell(transitions));
    }
}
