//! Rate limits of callers, over all replicas (US-NUM-014): a turn is taken in Redis, by one script and Redis's own clock.
//!
//! What must stay true: nobody is ever without a limit. While Redis is away each replica grants a smaller share by itself, so
//! that all of them together do not grant much more than was promised.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Pipeline;

use super::RedisLink;

const TAKE: &str = include_str!("take_turn.lua");
/// So many callers are remembered by a replica while Redis is away; then those who have all their turns again are forgotten.
const CALLERS_REMEMBERED: usize = 10_000;

/// So many turns in so long, all at once or spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub turns: u32,
    /// In how long.
    pub window: Duration,
}

impl Rate {
    /// The time between two turns at this rate.
    fn interval(self) -> Duration {
        self.window / self.turns.max(1)
    }
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether it is granted.
    pub granted: bool,
    /// The rate that it was judged by.
    pub rate: Rate,
    /// How many more would be granted right now.
    pub left: u32,
    /// In how long the next one is granted; nothing where it is now.
    pub next_in: Duration,
    /// In how long all turns are there again.
    pub all_in: Duration,
}

/// A rate limit.
#[derive(Clone, Debug)]
pub struct RateLimit {
    link: RedisLink,
    patience: Duration,
    name: &'static str,
    rate: Rate,
    /// Of each replica, while Redis is away.
    share: Rate,
    take_hash: String,
    paid_at: Arc<Mutex<HashMap<String, Instant>>>,
}

impl RateLimit {
    /// A limit of this name, for whose turns Redis is waited for as long as `patience`; each replica grants `share` by itself
    /// while Redis is away.
    #[must_use]
    pub fn new(link: RedisLink, patience: Duration, name: &'static str, rate: Rate, share: Rate) -> Self {
        let take_hash = redis::Script::new(TAKE).get_hash().to_owned();
        Self { link, patience, name, rate, share, take_hash, paid_at: Arc::default() }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Takes a turn for `caller`.
    pub async fn take(&self, caller: &str) -> Turn {
        let microseconds = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let interval = microseconds(self.rate.interval());
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("SCRIPT").arg("LOAD").arg(TAKE).ignore();
        pipeline.cmd("EVALSHA").arg(&self.take_hash).arg(1).arg(format!("num:rate:{}:{caller}", self.name));
        pipeline.arg(interval).arg(interval.saturating_mul(u64::from(self.rate.turns)));
        let taken: Result<((u8, u32, u64, u64),), _> = self.link.pipeline(&pipeline, self.patience).await;
        match taken {
            Ok(((granted, left, next_in, all_in),)) => Turn {
                granted: granted == 1,
                rate: self.rate,
                left,
                next_in: Duration::from_micros(next_in),
                all_in: Duration::from_micros(all_in),
            },
            Err(error) => {
                tracing::debug!(%error, "a turn is granted by this replica's own share");
                self.take_share(caller, Instant::now())
            }
        }
    }

    /// The same by this replica alone, at the smaller rate.
    fn take_share(&self, caller: &str, now: Instant) -> Turn {
        let interval = self.share.interval();
        let burst = interval * self.share.turns;
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_at.len() >= CALLERS_REMEMBERED {
            paid_at.retain(|_, paid| *paid > now);
        }
        let paid = paid_at.get(caller).map_or(now, |paid| (*paid).max(now));
        let after = paid + interval;
        let owed = after - now;
        if owed > burst || (paid_at.len() >= CALLERS_REMEMBERED && !paid_at.contains_key(caller)) {
            let next_in = owed.saturating_sub(burst);
            return Turn { granted: false, rate: self.share, left: 0, next_in, all_in: paid - now };
        }
        paid_at.insert(caller.to_owned(), after);
        let left =
            u32::try_from(burst.saturating_sub(owed).as_micros() / interval.as_micros().max(1)).unwrap_or(u32::MAX);
        let next_in = if left == 0 { (owed + interval).saturating_sub(burst) } else { Duration::ZERO };
        Turn { granted: true, rate: self.share, left, next_in, all_in: owed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devstack::SharedStack;
    use crate::telemetry::Metrics;

    const RATE: Rate = Rate { turns: 5, window: Duration::from_secs(5) };
    const SHARE: Rate = Rate { turns: 2, window: Duration::from_secs(4) };

    async fn limit() -> RateLimit {
        let part = SharedStack::from_env().unwrap().take_part().await.unwrap();
        let metrics = Arc::new(Metrics::default());
        let link = RedisLink::new("snapshots", &part.redis_url, Duration::from_secs(2), &metrics).unwrap();
        RateLimit::new(link, Duration::from_secs(2), "test", RATE, SHARE)
    }

    #[tokio::test]
    async fn turns_are_granted_at_once_or_at_the_rate_and_each_caller_has_its_own() {
        let limit = limit().await;
        let stop = tokio_util::sync::CancellationToken::new();
        let link = limit.link.clone();
        let connected = tokio::spawn({
            let stop = stop.clone();
            async move { link.keep_connected(&stop).await }
        });
        while limit.link.command::<()>(&redis::cmd("PING")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for left in (0..5).rev() {
            let turn = limit.take("a").await;
            assert_eq!((turn.granted, turn.rate), (true, RATE));
            assert!((left..=left + 1).contains(&turn.left), "{turn:?}");
        }
        let refused = limit.take("a").await;
        assert!(
            !refused.granted && !refused.next_in.is_zero() && refused.next_in <= Duration::from_secs(1),
            "{refused:?}"
        );
        assert!(limit.take("b").await.granted);
        tokio::time::sleep(refused.next_in).await;
        assert!(limit.take("a").await.granted, "after as long as it said");
        stop.cancel();
        connected.await.unwrap();
    }

    #[tokio::test]
    async fn without_redis_a_replica_grants_a_smaller_share_and_never_more() {
        let limit = limit().await;
        let turns = [limit.take("a").await, limit.take("a").await, limit.take("a").await];
        assert_eq!(turns.map(|turn| turn.granted), [true, true, false]);
        assert_eq!(turns.map(|turn| turn.rate), [SHARE; 3]);
        assert!(turns[2].next_in <= Duration::from_secs(2) && !turns[2].next_in.is_zero(), "{turns:?}");
        let later = Instant::now() + turns[2].next_in;
        assert!(limit.take_share("a", later).granted, "after as long as it said");
        for caller in 0..CALLERS_REMEMBERED + 5 {
            limit.take_share(&format!("{caller}"), later);
        }
        assert!(limit.paid_at.lock().unwrap().len() <= CALLERS_REMEMBERED);
        assert!(!limit.take_share("one more", later).granted, "nobody is without a limit");
    }
}
