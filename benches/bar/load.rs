//! Two ways to load a server: so many calls under way at all times, or so many a second whatever becomes of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The longest latency that is told apart, in microseconds.
const LONGEST_MICROS: u64 = 60_000_000;
/// How long what is still under way at the end is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// How often the open loop looks what is due: so late a call may begin, which counts as its latency.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It was answered as it should be.
    Good,
    /// It was not, and this is what was said.
    Refused(String),
}

/// What a load has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) good: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    /// Of the good ones, in microseconds.
    latency: Histogram<u64>,
    /// From the first call's beginning to the last one's end.
    pub(crate) elapsed: Duration,
    began: Instant,
    ended: Instant,
}

impl Outcome {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LONGEST_MICROS, 3).context("no histogram of these bounds")?;
        let now = Instant::now();
        Ok(Self { good: 0, refused: BTreeMap::new(), latency, elapsed: Duration::ZERO, began: now, ended: now })
    }

    pub(crate) fn count(&mut self, judged: anyhow::Result<Judged>, took: Duration) {
        match judged {
            Ok(Judged::Good) => {
                self.good += 1;
                self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_MICROS));
            }
            Ok(Judged::Refused(why)) => *self.refused.entry(why).or_default() += 1,
            Err(error) => *self.refused.entry(format!("{error:#}")).or_default() += 1,
        }
        self.ended = Instant::now();
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.good += other.good;
        for (why, count) in &other.refused {
            *self.refused.entry(why.clone()).or_default() += count;
        }
        // Both have the same bounds.
        self.latency.add(&other.latency).ok();
        self.ended = self.ended.max(other.ended);
    }

    pub(crate) fn finished(mut self) -> Self {
        self.elapsed = self.ended.duration_since(self.began);
        self
    }

    /// Good answers a second.
    pub(crate) fn rate(&self) -> f64 {
        as_f64(self.good) / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the good ones did not exceed, in seconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        as_f64(self.latency.value_at_quantile(share)) / 1e6
    }

    /// How many were not good.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Fails when more than one in a thousand was not answered as it should be: then it is no measurement.
    pub(crate) fn all_good(self, what: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.good > 0 && self.refusals() * 1_000 <= self.good,
            "{what}: {} good answers, and {:?}",
            self.good,
            self.refused
        );
        Ok(self)
    }
}

/// A count as a number to reckon with; none here comes near 2^32.
pub(crate) fn as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Keeps `under_way` calls going for `span`. Each is given its number.
pub(crate) async fn closed<A, F>(under_way: usize, span: Duration, ask: A) -> anyhow::Result<Outcome>
where
    A: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<Judged>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut whole = Outcome::new()?;
    let until = whole.began + span;
    let mut askers = JoinSet::new();
    for _ in 0..under_way {
        let (ask, next) = (ask.clone(), Arc::clone(&next));
        let mut own = Outcome::new()?;
        askers.spawn(async move {
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                let judged = ask(number).await;
                own.count(judged, began.elapsed());
            }
            own
        });
    }
    while let Some(own) = askers.join_next().await {
        whole.add(&own?);
    }
    Ok(whole.finished())
}

/// Begins `rate` calls a second for `span`, however long they take. Latency counts from the moment that a call was due.
pub(crate) async fn open<A, F>(rate: f64, span: Duration, ask: A) -> anyhow::Result<Outcome>
where
    A: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = anyhow::Result<Judged>> + Send,
{
    let whole = Arc::new(Mutex::new(Outcome::new()?));
    let began = Instant::now();
    let mut calls = JoinSet::new();
    let mut number = 0;
    let due = |number: u64| Duration::from_secs_f64(as_f64(number) / rate);
    while due(number) < span {
        while due(number) <= began.elapsed().min(span) {
            let (ask, whole) = (ask.clone(), Arc::clone(&whole));
            let due = began + due(number);
            calls.spawn(async move {
                let judged = ask(number).await;
                let took = due.elapsed();
                whole.lock().unwrap_or_else(PoisonError::into_inner).count(judged, took);
            });
            number += 1;
        }
        while calls.try_join_next().is_some() {}
        sleep(TICK).await;
    }
    let ended = async { while calls.join_next().await.is_some() {} };
    timeout(PATIENCE, ended).await.context("calls were still under way long after the last had begun")?;
    let whole = Arc::into_inner(whole).context("a call outlived the measurement")?;
    Ok(whole.into_inner().unwrap_or_else(PoisonError::into_inner).finished())
}
