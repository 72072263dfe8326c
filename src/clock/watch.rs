//! Asks PostgreSQL what time it is, over and over, and tells operators when the answer cannot be right.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{DatabaseClock, Judgement, Told, Verdict, Witness};
use crate::operations::alerts::{AlertKind, Alerts};
use crate::store::commit::{Origin, TIME};
use crate::store::leadership::Replica;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How often PostgreSQL is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How often the high-water mark is written.
const MARK_EVERY: Duration = Duration::from_secs(3);
/// For how many looks in a row it must be better before that is told: a clock at the edge of a bound is told of once.
const BETTER_FOR: u32 = 5;
/// How long taking the alert back may take at a stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Watches the clock for one replica.
#[derive(Debug)]
pub struct ClockWatch {
    store: Store,
    alerts: Alerts,
    metrics: Arc<Metrics>,
    replica: Replica,
    origin: Origin,
    /// What operators were last told; nothing before the first judgement.
    told: Option<Verdict>,
    /// How many looks in a row were better than that.
    better: u32,
    /// What was last written as high-water mark.
    marked: Option<Timestamp>,
}

impl ClockWatch {
    /// A watch that speaks for `replica`.
    #[must_use]
    pub fn new(store: Store, alerts: Alerts, metrics: Arc<Metrics>, replica: &Replica) -> Self {
        let origin = Origin { actor: TIME.to_owned(), request_id: format!("clock-{}", Uuid::now_v7()) };
        Self { store, alerts, metrics, replica: replica.clone(), origin, told: None, better: 0, marked: None }
    }

    /// Watches until told to stop. Then nobody watches here any more, and an alert that is open is taken back.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.watch()).await;
        if matches!(self.told, Some(Verdict::Off | Verdict::Untrusted)) {
            let taken_back = self.alerts.resolve(AlertKind::ClockSkew, self.replica.name(), &self.origin);
            if !matches!(timeout(FAREWELL, taken_back).await, Ok(Ok(_))) {
                tracing::warn!("the alert of the clock stays open: it could not be taken back at the stop");
            }
        }
    }

    async fn watch(&mut self) {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look().await {
                // Readiness tells of it already; the expectation goes on by itself.
                tracing::debug!(%error, "PostgreSQL's clock could not be read");
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let clock = Arc::clone(self.store.clock());
        let asked = clock.moments();
        let (said, high_water) = self.store.read_clock(ASK_LIMIT).await?;
        let told = Told { asked, answered: clock.moments(), said, high_water };
        let judgement = clock.judge(&told);
        self.metrics.clock_skew_seconds.set(judgement.skew.as_secs_f64());
        self.metrics.clock_trusted.set(i64::from(judgement.verdict != Verdict::Untrusted));
        self.tell(&judgement, &clock).await?;
        if judgement.verdict == Verdict::Well {
            self.mark(said).await?;
        }
        Ok(())
    }

    /// Tells operators what has changed since they were last told. What failed is told at the next look.
    async fn tell(&mut self, judgement: &Judgement, clock: &DatabaseClock) -> Result<(), StoreError> {
        self.better = if self.told > Some(judgement.verdict) { self.better + 1 } else { 0 };
        if self.told == Some(judgement.verdict) || (1..BETTER_FOR).contains(&self.better) {
            return Ok(());
        }
        // Also before the first alert: a replica of this name may have died with one open, or with another summary.
        self.alerts.resolve(AlertKind::ClockSkew, self.replica.name(), &self.origin).await?;
        if judgement.verdict != Verdict::Well {
            let summary = summary(judgement, clock);
            self.alerts.raise(AlertKind::ClockSkew, self.replica.name(), &summary, &self.origin).await?;
        }
        self.told = Some(judgement.verdict);
        Ok(())
    }

    /// Writes what was told while all was well, and never what PostgreSQL's clock shows by the time of writing.
    async fn mark(&mut self, said: Timestamp) -> Result<(), StoreError> {
        let recent = |marked: Timestamp| said.duration_since(marked).unsigned_abs() < MARK_EVERY;
        if !self.marked.is_some_and(recent) {
            self.store.mark_clock(said).await?;
            self.marked = Some(said);
        }
        Ok(())
    }
}

fn summary(judgement: &Judgement, clock: &DatabaseClock) -> String {
    let Judgement { skew, against, machine_agrees, verdict } = judgement;
    let way = if skew.is_negative() { "behind" } else { "ahead of" };
    let seconds = skew.unsigned_abs().as_secs();
    let what = format!("PostgreSQL's clock is {seconds} s {way} {against}.");
    let then = match verdict {
        Verdict::Well => return what,
        Verdict::Off => format!(" Beyond {} s nothing will end by itself.", clock.tolerance.stop.as_secs()),
        Verdict::Untrusted => " It is not trusted: nothing ends by itself until it is right.".to_owned(),
    };
    let both = if *machine_agrees && *against == Witness::Before {
        " This machine's clock agrees with it, so both have jumped: go back, or restart this replica if the time is right."
    } else {
        ""
    };
    format!("{what}{then}{both}")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_summary_says_how_far_from_what_and_what_follows() {
        let clock = DatabaseClock::default();
        let judged = |seconds, against, machine_agrees, verdict| {
            let skew = SignedDuration::from_secs(seconds);
            summary(&Judgement { skew, against, machine_agrees, verdict }, &clock)
        };
        assert_eq!(
            judged(-45, Witness::Machine, false, Verdict::Off),
            "PostgreSQL's clock is 45 s behind this machine's clock. Beyond 60 s nothing will end by itself."
        );
        let jumped = judged(7_862_400, Witness::Before, true, Verdict::Untrusted);
        assert!(jumped.starts_with("PostgreSQL's clock is 7862400 s ahead of what it said before,"), "{jumped}");
        assert!(
            jumped.contains("not trusted") && jumped.ends_with("restart this replica if the time is right."),
            "{jumped}"
        );
        assert!(!judged(7_862_400, Witness::Before, false, Verdict::Untrusted).contains("both"));
    }
}
