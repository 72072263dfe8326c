//! Tells operators when this replica gets no answer from Redis (US-NUM-002), without waiting for anybody's scrape.
//!
//! What must stay true: the alert is raised within ten seconds of the outage and resolved when it is over; a hiccup of a second or
//! two is none.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Cache, RedisLink};
use crate::operations::alerts::{AlertKind, Alerts};
use crate::store::StoreError;
use crate::store::commit::{Origin, TIME};
use crate::store::leadership::Replica;

/// How often the links are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how many looks in a row it must be so before it is told: with the probe of the link about five seconds.
const SO_FOR: u32 = 3;
/// How long taking the alert back may take at a stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Watches the links to Redis for one replica.
#[derive(Debug)]
pub struct RedisWatch {
    cache: Cache,
    alerts: Alerts,
    replica: Replica,
    origin: Origin,
    /// Whether operators were told that Redis is away; `None` before the first time.
    told: Option<bool>,
    /// For how many looks in a row it has been otherwise than told.
    otherwise: u32,
}

impl RedisWatch {
    /// A watch that speaks for `replica`.
    #[must_use]
    pub fn new(cache: Cache, alerts: Alerts, replica: &Replica) -> Self {
        let origin = Origin { actor: TIME.to_owned(), request_id: format!("redis-{}", Uuid::now_v7()) };
        Self { cache, alerts, replica: replica.clone(), origin, told: None, otherwise: 0 }
    }

    /// Watches until told to stop. Then nobody watches here any more, and an alert that is open is taken back.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.watch()).await;
        if self.told == Some(true) {
            let taken_back = self.alerts.resolve(AlertKind::RedisDown, self.replica.name(), &self.origin);
            if !matches!(timeout(FAREWELL, taken_back).await, Ok(Ok(_))) {
                tracing::warn!("the alert of Redis stays open: it could not be taken back at the stop");
            }
        }
    }

    async fn watch(&mut self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the alert of Redis could not be written; it is at the next look");
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let away = self.away();
        if self.told == Some(!away.is_empty()) {
            self.otherwise = 0;
            return Ok(());
        }
        self.otherwise += 1;
        if self.otherwise < SO_FOR {
            return Ok(());
        }
        // Also before the first alert: a replica of this name may have died with one open.
        self.alerts.resolve(AlertKind::RedisDown, self.replica.name(), &self.origin).await?;
        if !away.is_empty() {
            let summary = format!(
                "Redis does not answer this replica ({}). Nothing is lost and nothing wrong is answered; PostgreSQL bears the load.",
                away.join(", ")
            );
            self.alerts.raise(AlertKind::RedisDown, self.replica.name(), &summary, &self.origin).await?;
        }
        (self.told, self.otherwise) = (Some(!away.is_empty()), 0);
        Ok(())
    }

    /// The databases that do not answer.
    fn away(&self) -> Vec<&'static str> {
        let links = [self.cache.snapshots().link(), self.cache.timers().link()];
        links.into_iter().filter(|link| !link.is_up()).map(RedisLink::database).collect()
    }
}
