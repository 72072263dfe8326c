//! When little is left of a pool, and when there is enough again (US-NUM-013); and what is known of its end.
//!
//! What must stay true: what was said last is the alert that is open in PostgreSQL, so that whoever looks next, on whatever
//! replica, goes on from there; an alert, its events and the pool's own event are one commit, which happens only while the counts
//! stand that it was decided on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use numbering_domain::IdentifierClass;
use numbering_domain::capacity::{BasisPoints, Judgement, Outlook, Projection, Threshold, WHOLE, judge, utilisation};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::alerts::AlertKind;
use crate::store::alerts::{Alert, NewAlert};
use crate::store::capacity::{DecidedOn, Pool, PoolCounts, PoolPast, PoolReturns, Pools};
use crate::store::{Store, StoreError};

/// Little is left of a pool.
pub const EXHAUSTED: &str = "numbering.pool.exhausted";
/// There is enough of it again.
pub const RECOVERED: &str = "numbering.pool.recovered";

/// How many whole days a projection looks back.
pub const DAYS_BACK: i32 = 28;

/// New short codes are not an operator's to give.
const SHORT_CODE_RUNBOOK: &str = "docs/runbooks/short-code-atra-request.md";

/// When something is said about a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Little is left: `numbering_pool_exhausted`.
    pub exhausted: Threshold,
    /// Next to nothing is left: `numbering_block_critical`, which pages.
    pub critical: Threshold,
}

impl Thresholds {
    /// Every alert that there is about pools, with its threshold.
    const fn by_kind(self) -> [(AlertKind, Threshold); 2] {
        [(AlertKind::PoolExhausted, self.exhausted), (AlertKind::BlockCritical, self.critical)]
    }
}

/// What was said of the pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Alerts that were raised.
    pub raised: usize,
    /// Alerts that were resolved.
    pub resolved: usize,
}

/// Watches how much of each pool is left. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Capacity {
    store: Store,
    thresholds: Thresholds,
    committed: Arc<Notify>,
}

/// A pool, as operators are shown it.
#[derive(Clone, Debug)]
pub struct PoolStanding {
    /// Which.
    pub pool: Pool,
    /// How many numbers are in which state.
    pub counts: PoolCounts,
    /// When nothing will be left: the earliest, likely and latest moment.
    pub exhaustion: Option<(Timestamp, Timestamp, Timestamp)>,
    /// The open alerts about it.
    pub alerts: Vec<Alert>,
}

impl Capacity {
    /// `committed` is woken after each commit, for the relay of events.
    #[must_use]
    pub const fn new(store: Store, thresholds: Thresholds, committed: Arc<Notify>) -> Self {
        Self { store, thresholds, committed }
    }

    /// Judges every pool, and says what has changed.
    pub async fn judge(
        &self,
        role: &crate::store::leadership::Leadership,
        origin: &crate::store::commit::Origin,
    ) -> Result<Said, StoreError> {
        let now = self.store.moment().await?;
        let open = self.open().await?;
        let pools = self.store.pools(now).await?;
        let decided = DecidedOn { role, seen: &pools.seen, origin };
        let mut said = Said::default();
        for (pool, counts) in of_all(&pools, &open) {
            for (kind, threshold) in self.thresholds.by_kind() {
                let raised = open.contains_key(&(kind.name().to_owned(), pool.subject()));
                match judge(counts.valid(), counts.remaining(), threshold, raised) {
                    Judgement::Raise => {
                        said.raised += usize::from(self.raise(&decided, kind, &pool, &counts, threshold).await?);
                    }
                    Judgement::Resolve => {
                        said.resolved += usize::from(self.resolve(&decided, kind, &pool, &counts, threshold).await?);
                    }
                    Judgement::Stay => {}
                }
            }
        }
        if said != Said::default() {
            self.committed.notify_one();
        }
        Ok(said)
    }

    /// The open alerts about pools, by name and subject.
    async fn open(&self) -> Result<BTreeMap<(String, String), Alert>, StoreError> {
        let names = self.thresholds.by_kind().map(|(kind, _)| kind.name());
        let open = self.store.open_alerts(&names).await?;
        Ok(open.into_iter().map(|alert| ((alert.name.clone(), alert.subject.clone()), alert)).collect())
    }

    async fn raise(
        &self,
        decided: &DecidedOn<'_>,
        kind: AlertKind,
        pool: &Pool,
        counts: &PoolCounts,
        threshold: Threshold,
    ) -> Result<bool, StoreError> {
        let subject = pool.subject();
        let summary = format!(
            "{} of {} numbers of {subject} are left, less than {}.",
            counts.remaining(),
            counts.valid(),
            written(threshold.below),
        );
        let runbook = if pool.class == IdentifierClass::ShortCode { SHORT_CODE_RUNBOOK } else { kind.runbook() };
        let alert =
            NewAlert { name: kind.name(), severity: kind.severity(), subject: &subject, summary: &summary, runbook };
        let data = told(pool, counts, threshold.below);
        let event = (kind == AlertKind::PoolExhausted).then_some((EXHAUSTED, &data));
        let raised = self.store.raise_pool_alert(decided, &alert, event).await?;
        if raised {
            tracing::warn!(alert = alert.name, subject, summary, "an alert is raised");
        }
        Ok(raised)
    }

    async fn resolve(
        &self,
        decided: &DecidedOn<'_>,
        kind: AlertKind,
        pool: &Pool,
        counts: &PoolCounts,
        threshold: Threshold,
    ) -> Result<bool, StoreError> {
        let subject = pool.subject();
        let data = told(pool, counts, threshold.until);
        let event = (kind == AlertKind::PoolExhausted).then_some((RECOVERED, &data));
        let resolved = self.store.resolve_pool_alert(decided, kind.name(), &subject, event).await?;
        if resolved {
            tracing::info!(alert = kind.name(), subject, "an alert is resolved");
        }
        Ok(resolved)
    }

    /// Every pool, with what is known of its end.
    pub async fn standings(&self) -> Result<Vec<PoolStanding>, StoreError> {
        let now = self.store.moment().await?;
        let today = now.to_zoned(TimeZone::UTC).date();
        let since = today.saturating_sub(DAYS_BACK.days());
        let pools = self.store.pools(now).await?;
        let pasts = self.store.past_of_pools(since, today).await?;
        let returns = self.store.returns_of_pools(now).await?;
        let open = self.open().await?;
        let standing = |(pool, counts): (Pool, PoolCounts)| {
            let past = pasts.get(&pool).cloned().unwrap_or_default();
            let returns = returns.get(&pool).cloned().unwrap_or_default();
            let exhaustion = outlook(&counts, &past, &returns, now, since).project();
            let subject = pool.subject();
            let alerts = open.values().filter(|alert| alert.subject == subject).cloned().collect();
            PoolStanding { pool, counts, exhaustion: exhaustion.map(|projection| moments(projection, now)), alerts }
        };
        Ok(pools.counts.into_iter().map(standing).collect())
    }
}

/// The pools that are counted, and those that are no more and have an open alert.
fn of_all(pools: &Pools, open: &BTreeMap<(String, String), Alert>) -> BTreeMap<Pool, PoolCounts> {
    let gone: BTreeSet<Pool> = open.keys().filter_map(|(_, subject)| Pool::of_subject(subject)).collect();
    let mut all: BTreeMap<Pool, PoolCounts> = gone.into_iter().map(|pool| (pool, PoolCounts::default())).collect();
    all.extend(pools.counts.clone());
    all
}

/// The data of a pool's own events.
pub(crate) fn told(pool: &Pool, counts: &PoolCounts, threshold: BasisPoints) -> Value {
    let mut data = json!({
        "identifierClass": pool.class.as_str(),
        "blockPrefix": pool.prefix,
        "total": counts.total(),
        "notYetValid": counts.not_yet_valid,
        "remaining": counts.remaining(),
        "utilisation": utilisation(counts.valid(), counts.remaining()),
        "threshold": f64::from(threshold) / f64::from(WHOLE),
    });
    if !pool.operator.is_empty() {
        data["operatorId"] = json!(pool.operator);
    }
    data
}

/// A share as people write it: `5 %`, `1.5 %`.
fn written(share: BasisPoints) -> String {
    format!("{} %", f64::from(share) / 100.0)
}

/// What a projection rests on. A pool that came in within the days looked at has no days before that; of another, days on
/// which nothing happened count as such.
fn outlook(counts: &PoolCounts, past: &PoolPast, returns: &PoolReturns, now: Timestamp, since: Date) -> Outlook {
    let today = now.to_zoned(TimeZone::UTC).date();
    let followed = past.followed_since.unwrap_or(today).saturating_add(1.days()).max(since);
    let from = match past.days.first() {
        Some(first) if first.imported > 0 => first.day.max(followed),
        _ => followed,
    };
    let days: BTreeMap<Date, _> = past.days.iter().map(|day| (day.day, day)).collect();
    let whole: Vec<Date> = from.series(1.day()).take_while(|day| *day < today).collect();
    let seen = || whole.iter().map(|day| days.get(day));
    let demand: Vec<i64> = seen().map(|day| day.map_or(0, |day| day.demand)).collect();
    let rested: i64 = seen().flatten().map(|day| day.rested).sum();
    let rested_a_day = f64::from(i32::try_from(rested).unwrap_or(i32::MAX))
        / f64::from(u32::try_from(whole.len().max(1)).unwrap_or(1));
    let in_days = |due: &Timestamp| (due.duration_since(now).as_secs_f64() / SECONDS_A_DAY).max(0.0);
    let all_in_days = |due: &[(Timestamp, u64)]| due.iter().map(|(due, numbers)| (in_days(due), *numbers)).collect();
    Outlook {
        remaining: counts.remaining(),
        demand,
        returns: all_in_days(&returns.rested),
        becoming_valid: all_in_days(&returns.becoming_valid),
        rested_a_day,
    }
}

const SECONDS_A_DAY: f64 = 86_400.0;

fn moments(projection: Projection, now: Timestamp) -> (Timestamp, Timestamp, Timestamp) {
    let at = |days: f64| {
        let length = SignedDuration::try_from_secs_f64((days * SECONDS_A_DAY).round()).unwrap_or(SignedDuration::MAX);
        now.saturating_add(length).unwrap_or(Timestamp::MAX)
    };
    (at(projection.earliest), at(projection.likely), at(projection.latest))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::store::capacity::PoolDay;

    fn day(day: i8, imported: i64, demand: i64, rested: i64) -> PoolDay {
        PoolDay { day: date(2026, 4, day), imported, demand, rested }
    }

    fn outlook_of(followed_since: Date, days: Vec<PoolDay>) -> Outlook {
        let counts = PoolCounts { by_state: BTreeMap::from([("AVAILABLE", 1_000)]), not_yet_valid: 100 };
        let past = PoolPast { followed_since: Some(followed_since), days };
        let now = "2026-04-20T12:00:00Z".parse().unwrap();
        let rested = ["2026-04-20T00:00:00Z", "2026-04-22T00:00:00Z"].map(|due| (due.parse().unwrap(), 7)).to_vec();
        let returns = PoolReturns { rested, becoming_valid: vec![("2026-04-21T12:00:00Z".parse().unwrap(), 100)] };
        outlook(&counts, &past, &returns, now, date(2026, 3, 23))
    }

    #[test]
    fn days_on_which_nothing_happened_count_and_days_that_were_not_seen_whole_do_not() {
        let seen = outlook_of(date(2026, 4, 14), vec![day(14, 0, 99, 0), day(16, 0, 12, 4), day(18, 0, 9, 1)]);
        assert_eq!(seen.demand, [0, 12, 0, 9, 0], "from the 15th to the 19th");
        assert_eq!((seen.remaining, seen.returns.as_slice()), (900, [(0.0, 7), (1.5, 7)].as_slice()));
        assert_eq!(seen.becoming_valid, [(1.0, 100)], "a block says nothing of how long numbers rest");
        assert!((seen.rested_a_day - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_pool_has_no_days_before_it_came_in() {
        let seen = outlook_of(date(2026, 1, 1), vec![day(17, 5_000, 3, 0), day(19, 0, 5, 0)]);
        assert_eq!(seen.demand, [3, 0, 5]);
        let old = outlook_of(date(2026, 1, 1), vec![day(17, 0, 3, 0), day(19, 0, 5, 0)]);
        assert_eq!((old.demand.len(), old.demand.iter().sum::<i64>()), (28, 8));
    }

    #[test]
    fn shares_are_written_as_people_do() {
        assert_eq!((written(500).as_str(), written(150).as_str()), ("5 %", "1.5 %"));
    }
}
