//! Notices of timers that ran out in Redis (US-NUM-010): they wake whoever releases reservations, and say nothing else.
//!
//! What must stay true: a notice is never believed. What is due, PostgreSQL says; a notice that is late, false or lost costs at
//! most the time to the next look. The notices are switched on here, beside those that somebody else wants.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Client, RedisError};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::LinkError;
use crate::telemetry::Metrics;

/// The setting of Redis that says which notices it sends.
pub(crate) const NOTICES: &str = "notify-keyspace-events";
/// How long after a connection was lost, or not made, the next is tried.
const CONNECT_EVERY: Duration = Duration::from_secs(1);
/// How long connecting and subscribing may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A connection over which nothing came for so long is made anew: it may be dead and nobody have said so.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was lost.
    Lost,
    /// Nothing came for long; it is made anew at once.
    Silent,
}

/// Hears of expired timers.
#[derive(Clone, Debug)]
pub struct Expiries {
    client: Client,
    database: i64,
    metrics: Arc<Metrics>,
}

impl Expiries {
    /// Of the database that the timers are in. Nothing is connected yet.
    ///
    /// # Errors
    /// Where the address does not parse.
    pub fn new(timers_url: &str, metrics: &Arc<Metrics>) -> Result<Self, LinkError> {
        let client = Client::open(timers_url).map_err(LinkError::Address)?;
        let database = client.get_connection_info().redis_settings().db();
        Ok(Self { client, database, metrics: Arc::clone(metrics) })
    }

    /// Wakes `wake` at each notice, until told to stop.
    pub async fn listen(&self, wake: &Notify, stop: &CancellationToken) {
        stop.run_until_cancelled(self.connect_and_hear(wake)).await;
    }

    async fn connect_and_hear(&self, wake: &Notify) {
        loop {
            let heard = self.hear(wake).await;
            if matches!(heard, Ok(Ended::Silent)) {
                continue;
            }
            if let Err(error) = heard {
                tracing::debug!(%error, "notices of expired timers are not heard");
            }
            self.metrics.expiry_notices_heard.set(0);
            sleep(CONNECT_EVERY).await;
        }
    }

    async fn hear(&self, wake: &Notify) -> Result<Ended, LinkError> {
        let late = |_| LinkError::Late(CONNECT_LIMIT);
        let subscribed = timeout(CONNECT_LIMIT, async {
            self.switch_on().await;
            let mut notices = self.client.get_async_pubsub().await?;
            notices.subscribe(format!("__keyevent@{}__:expired", self.database)).await?;
            Ok::<_, RedisError>(notices)
        });
        let notices = subscribed.await.map_err(late)?.map_err(LinkError::Refused)?;
        if self.metrics.expiry_notices_heard.set(1) == 0 {
            tracing::info!("notices of expired timers are heard");
        }
        // What ran out while nobody listened is found by looking.
        wake.notify_one();
        let mut notices = notices.into_on_message();
        loop {
            match timeout(SILENCE_LIMIT, notices.next()).await {
                Ok(Some(_)) => {
                    self.metrics.expiry_notices.inc();
                    wake.notify_one();
                }
                Ok(None) => return Ok(Ended::Lost),
                Err(_) => return Ok(Ended::Silent),
            }
        }
    }

    /// Lets Redis tell of keys that expire. Where it does not let us, somebody may have switched it on for us.
    async fn switch_on(&self) {
        if let Err(error) = self.try_switch_on().await {
            tracing::warn!(%error, "Redis does not let notices of expired keys be switched on; deadlines are looked up instead");
        }
    }

    async fn try_switch_on(&self) -> Result<(), RedisError> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        let current: Vec<String> = redis::cmd("CONFIG").arg("GET").arg(NOTICES).query_async(&mut connection).await?;
        let Some(wanted) = with_expired(current.get(1).map_or("", String::as_str)) else { return Ok(()) };
        redis::cmd("CONFIG").arg("SET").arg(NOTICES).arg(wanted).exec_async(&mut connection).await
    }
}

/// The notices wanted besides those that are on; `None` where expired keys are among them already.
pub(crate) fn with_expired(current: &str) -> Option<String> {
    let by_event = current.contains('E');
    let expired = current.contains('x') || current.contains('A');
    (!(by_event && expired)).then(|| {
        let mut wanted = current.to_owned();
        wanted.extend((!by_event).then_some('E'));
        wanted.extend((!expired).then_some('x'));
        wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_want_to_be_told_stays_on() {
        for (current, wanted) in [
            ("", Some("Ex")),
            ("Kg", Some("KgEx")),
            ("E", Some("Ex")),
            ("xK", Some("xKE")),
            ("AKE", None),
            ("Ex", None),
        ] {
            assert_eq!(with_expired(current).as_deref(), wanted, "{current}");
        }
    }
}
