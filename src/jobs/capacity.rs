//! Keeps the counts of pools up to date from the journal, and says when little is left of one (US-NUM-013).
//!
//! What must stay true: counts follow in whole transactions, whoever runs the job; no request and no commit waits for it; an
//! operator's pools are counted anew when its prefixes change, when the counts are in doubt, and every so often in any case, so that
//! what somebody wrote past the commit is found and mended.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{Job, JobError, Run};
use crate::operations::capacity::{Capacity, Said};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// The job's name.
pub const NAME: &str = "capacity";

/// For how many days is kept what happened in a pool.
const DAYS_KEPT: i32 = 90;

/// See the module.
#[derive(Debug)]
pub struct FollowCapacity {
    store: Store,
    capacity: Capacity,
    metrics: Arc<Metrics>,
    settings: CapacitySettings,
}

/// How the job works.
#[derive(Clone, Debug)]
pub struct CapacitySettings {
    /// When it runs in any case, as cron writes it, UTC.
    pub schedule: String,
    /// How often to look whether the journal has something new.
    pub look_every: Duration,
    /// How often an operator's pools are counted anew in any case.
    pub recount_every: SignedDuration,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    /// Operators, or the short codes, whose pools were counted anew.
    recounted: usize,
    /// By how many numbers the counts had been wrong.
    drift: i64,
    said: Said,
}

impl Done {
    fn counts(self) -> Value {
        let Self { recounted, drift, said } = self;
        json!({ "recounted": recounted, "drift": drift, "raised": said.raised, "resolved": said.resolved })
    }
}

impl FollowCapacity {
    /// By these settings.
    #[must_use]
    pub const fn new(store: Store, capacity: Capacity, metrics: Arc<Metrics>, settings: CapacitySettings) -> Self {
        Self { store, capacity, metrics, settings }
    }

    /// Counts anew what is to be; `false` where that was interrupted.
    async fn recount(&self, run: &Run, done: &mut Done) -> Result<bool, StoreError> {
        for recount in self.store.due_recounts(self.counted_before().await?).await? {
            let Some(recounted) = self.store.recount(&recount, || run.may_go_on()).await? else { return Ok(false) };
            let Some(drift) = self.store.install_recount(&run.role(), &recount, &recounted).await? else {
                return Ok(false);
            };
            done.recounted += 1;
            done.drift += drift;
            if drift > 0 {
                tracing::warn!(operator = recount.operator, drift, "counts of pools were wrong, and are mended");
                self.metrics.capacity_drift.inc_by(drift.unsigned_abs());
            }
        }
        Ok(true)
    }

    /// Counts everything that the journal has new; `false` where that was interrupted.
    async fn follow(&self, run: &Run) -> Result<bool, StoreError> {
        while run.may_go_on() {
            let look = self.store.look_at_capacity().await?;
            if look.is_of_another_cluster() {
                tracing::warn!("the database was restored from elsewhere; every pool is counted anew");
                self.store.restart_capacity(&run.role(), &look).await?;
                return Ok(true);
            }
            if !look.has_news() {
                return Ok(true);
            }
            match self.store.fold_capacity(&run.role(), &look).await? {
                None => return Ok(false),
                // What was seen is not to be counted yet; the next run looks again.
                Some(0) => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    async fn counted_before(&self) -> Result<Timestamp, StoreError> {
        let now = self.store.moment().await?;
        Ok(now.saturating_sub(self.settings.recount_every).unwrap_or(Timestamp::MIN))
    }
}

impl Job for FollowCapacity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:capacity"
    }

    fn schedule(&self) -> &str {
        &self.settings.schedule
    }

    fn look_every(&self) -> Duration {
        self.settings.look_every
    }

    /// What was counted stays true whatever the clock says; what is valid by now, the store vouches for.
    fn rests_on_time(&self) -> bool {
        false
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        let look = self.store.look_at_capacity().await?;
        let due = look.has_news() || !self.store.due_recounts(self.counted_before().await?).await?.is_empty();
        Ok(due.then_some(Duration::ZERO))
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let mut done = Done::default();
        if !self.follow(run).await? || !self.recount(run, &mut done).await? {
            return Err(JobError::Interrupted { so_far: done.counts() });
        }
        done.said = self.capacity.judge(&run.role(), &run.origin()).await?;
        let today = self.store.moment().await?.to_zoned(TimeZone::UTC).date();
        self.store.forget_old_days(today.saturating_sub(DAYS_KEPT.days())).await?;
        Ok(done.counts())
    }
}
