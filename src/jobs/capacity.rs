//! Keeps the counts of pools up to date from the journal, and says when little is left of one (US-NUM-013).
//!
//! What must stay true: counts follow in whole transactions, whoever runs the job; no request and no commit waits for it; an
//! operator's pools are counted anew when its prefixes change, when the counts are in doubt, and every so often in any case, so that
//! what somebody wrote past the commit is found and mended. What is said of pools waits for no recount but one operator's, and a
//! recount that fails keeps nothing from being said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};
use serde_json::{Value, json};

use super::{Job, JobError, Run};
use crate::boot_clock::BootInstant;
use crate::operations::capacity::{Capacity, Said};
use crate::store::capacity::Recount;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// The job's name.
pub const NAME: &str = "capacity";

/// For how many days is kept what happened in a pool.
const DAYS_KEPT: i32 = 90;
/// An operator whose recount failed is counted again after so long; the others have their turn meanwhile.
const COUNT_AGAIN: Duration = Duration::from_mins(5);

/// See the module.
#[derive(Debug)]
pub struct FollowCapacity {
    store: Store,
    capacity: Capacity,
    metrics: Arc<Metrics>,
    settings: CapacitySettings,
    /// Operators whose recount failed, and when each is to be tried again.
    failed: Mutex<HashMap<String, BootInstant>>,
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
    /// Those whose recount failed.
    failed: usize,
    /// By how many numbers the counts had been wrong.
    drift: i64,
    said: Said,
}

impl Done {
    fn counts(self) -> Value {
        let Self { recounted, failed, drift, said } = self;
        json!({ "recounted": recounted, "failed": failed, "drift": drift, "raised": said.raised, "resolved": said.resolved })
    }
}

impl FollowCapacity {
    /// By these settings.
    #[must_use]
    pub fn new(store: Store, capacity: Capacity, metrics: Arc<Metrics>, settings: CapacitySettings) -> Self {
        Self { store, capacity, metrics, settings, failed: Mutex::default() }
    }

    /// Counts one operator's pools anew, where any is to be; `None` where that was interrupted.
    async fn recount(&self, run: &Run, done: &mut Done) -> Result<Option<()>, StoreError> {
        let Some(recount) = self.next_recount().await? else { return Ok(Some(())) };
        let counted = match self.count_anew(run, &recount).await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(operator = recount.operator, %error, "pools could not be counted anew");
                self.metrics.capacity_recount_failures.inc();
                done.failed += 1;
                self.failures().insert(recount.operator, BootInstant::now().after(COUNT_AGAIN));
                return Ok(Some(()));
            }
        };
        let Some(drift) = counted else { return Ok(None) };
        self.failures().remove(&recount.operator);
        done.recounted += 1;
        done.drift += drift;
        if drift > 0 {
            tracing::warn!(operator = recount.operator, drift, "counts of pools were wrong, and are mended");
            self.metrics.capacity_drift.inc_by(drift.unsigned_abs());
        }
        Ok(Some(()))
    }

    /// By how many numbers the kept counts were wrong; `None` where that was interrupted.
    async fn count_anew(&self, run: &Run, recount: &Recount) -> Result<Option<i64>, StoreError> {
        let Some(recounted) = self.store.recount(recount, || run.may_go_on()).await? else { return Ok(None) };
        self.store.install_recount(&run.role(), recount, &recounted).await
    }

    /// Whose pools are counted anew next.
    async fn next_recount(&self) -> Result<Option<Recount>, StoreError> {
        let due = self.store.due_recounts(self.settings.recount_every).await?;
        let failed = self.failures();
        let may = |recount: &Recount| failed.get(&recount.operator).is_none_or(|again| again.remaining().is_zero());
        Ok(due.into_iter().find(may))
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<String, BootInstant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what the journal has new, until one batch takes all of it; `false` where that was interrupted. What comes meanwhile is left
    /// to the next run: under traffic there is always something, and each statement costs the same for one entry or a thousand.
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
                Some(_) if look.is_within_a_batch() => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// Says what has changed about the pools.
    async fn say(&self, run: &Run, done: &mut Done) -> Result<(), StoreError> {
        let said = self.capacity.judge(&run.role(), &run.origin()).await?;
        done.said.raised += said.raised;
        done.said.resolved += said.resolved;
        Ok(())
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
        let due = look.has_news() || look.is_of_another_cluster() || self.next_recount().await?.is_some();
        Ok(due.then_some(Duration::ZERO))
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let mut done = Done::default();
        if !self.follow(run).await? {
            return Err(JobError::Interrupted { so_far: done.counts() });
        }
        self.say(run, &mut done).await?;
        if self.recount(run, &mut done).await?.is_none() {
            return Err(JobError::Interrupted { so_far: done.counts() });
        }
        self.say(run, &mut done).await?;
        let today = self.store.moment().await?.to_zoned(TimeZone::UTC).date();
        self.store.forget_old_days(today.saturating_sub(DAYS_KEPT.days())).await?;
        Ok(done.counts())
    }
}
