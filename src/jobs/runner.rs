//! Runs each job on one replica at a time, and hands it over when that one dies or freezes.
//!
//! What must stay true: who runs a job holds its role, a row with a term that grows (no session-level lock, so that it works
//! behind a transaction pooler); a holder goes by a clock that counts frozen time and is fenced by the term in everything it
//! commits, so that one that thaws beside its successor changes nothing. PostgreSQL away, a job pauses; its clock not trusted, whatever rests
//! on time waits, and its runs say so.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Job, JobError};
use crate::boot_clock::BootInstant;
use crate::clock::DatabaseClock;
use crate::store::commit::{Origin, TIME};
use crate::store::jobs::{DoneRun, JobLook, Outcome, Trigger};
use crate::store::leadership::{Leadership, Replica};
use crate::store::{Store, StoreError};
use crate::telemetry::{JobLabel, JobRunLabels, Metrics};

/// How often the role is looked at while a job runs.
const WATCH: Duration = Duration::from_millis(100);
/// How long a stopping holder waits for PostgreSQL to hear that it resigns; else its term runs out.
const RESIGN: Duration = Duration::from_secs(1);
/// The longest pause after something failed.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Between two looks there is at least so much time, whatever is overdue.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why a run did nothing while PostgreSQL's clock is not trusted.
const WAITS: &str = "PostgreSQL's clock is not trusted: see docs/runbooks/clock-skew.md";

/// How jobs are run.
#[derive(Clone, Debug)]
pub struct RunnerSettings {
    /// How long a holder that fell silent stays the one.
    pub leadership: Duration,
    /// How many of the latest runs of a job are kept.
    pub runs_kept: i64,
}

/// One run of a job.
#[derive(Debug)]
pub struct Run {
    role: Mutex<Leadership>,
    stop: CancellationToken,
    /// Where the job rests on time: what it must wait for.
    clock: Option<Arc<DatabaseClock>>,
    request_id: String,
}

impl Run {
    fn new(role: Leadership, stop: &CancellationToken, clock: Option<Arc<DatabaseClock>>) -> Self {
        let request_id = format!("{}-{}", role.role().replace(':', "-"), Uuid::now_v7());
        Self { role: Mutex::new(role), stop: stop.clone(), clock, request_id }
    }

    /// The role that the run is fenced by, as it was last prolonged.
    #[must_use]
    pub fn role(&self) -> Leadership {
        self.role.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// False once the role's term is over or the service stops, or while PostgreSQL's clock is not trusted and the job rests on
    /// it. Asked before each batch.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        !self.stop.is_cancelled() && !self.role().until().remaining().is_zero() && !self.waits_for_the_clock()
    }

    fn waits_for_the_clock(&self) -> bool {
        self.clock.as_ref().is_some_and(|clock| !clock.is_trusted())
    }

    /// Who does what the run does, for the journal: the service, in this run.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { actor: TIME.to_owned(), request_id: self.request_id.clone() }
    }

    fn renewed(&self, role: Leadership) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }
}

/// Runs jobs, each in a task of its own.
#[derive(Clone, Debug)]
pub struct Runner {
    store: Store,
    replica: Replica,
    settings: RunnerSettings,
    metrics: Arc<Metrics>,
}

impl Runner {
    /// For this replica.
    #[must_use]
    pub fn new(store: Store, replica: Replica, settings: RunnerSettings, metrics: Arc<Metrics>) -> Self {
        Self { store, replica, settings, metrics }
    }

    /// Runs a job whenever this replica is the one and something is due, until told to stop. `wake` lets it look at once.
    pub async fn keep<J: Job>(self, job: J, wake: Arc<Notify>, stop: CancellationToken) {
        let cron = match Cron::from_str(job.schedule()) {
            Ok(cron) => cron,
            Err(error) => {
                // The configuration was checked; a job whose schedule cannot be read must not go unnoticed.
                tracing::error!(job = job.name(), %error, "a job's schedule cannot be read; it does not run");
                return;
            }
        };
        let desk = Desk { runner: &self, job: &job, cron, wake, stop };
        let mut pauses = pauses(&job);
        while !desk.stop.is_cancelled() {
            match desk.serve_a_term().await {
                Ok(()) => pauses = self::pauses(&job),
                Err(error) => {
                    tracing::warn!(job = job.name(), %error, "a job pauses");
                    desk.pause(pauses.next().unwrap_or(PAUSE_MAX)).await;
                }
            }
        }
    }
}

fn pauses<J: Job>(job: &J) -> impl Iterator<Item = Duration> + use<J> {
    ExponentialBuilder::new()
        .with_min_delay(job.look_every())
        .with_max_delay(PAUSE_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}

/// One job on this replica.
struct Desk<'a, J> {
    runner: &'a Runner,
    job: &'a J,
    cron: Cron,
    wake: Arc<Notify>,
    stop: CancellationToken,
}

impl<J: Job> Desk<'_, J> {
    /// Waits to become the one, and runs the job until something ends that; `Ok` when it was told to stop or the term is over.
    async fn serve_a_term(&self) -> Result<(), StoreError> {
        self.enter().await?;
        let Some(role) = self.become_the_one().await? else { return Ok(()) };
        let label = JobLabel { job: self.job.name() };
        let held = self.runner.metrics.job_held.get_or_create(&label).clone();
        held.set(1);
        tracing::info!(job = self.job.name(), term = role.term(), "this replica runs the job");
        let (role, outcome) = self.attend(role).await;
        held.set(0);
        if let Some(role) = role {
            self.resign(role).await;
        }
        outcome
    }

    /// What the job must wait for, where it rests on time.
    fn clock(&self) -> Option<&Arc<DatabaseClock>> {
        self.job.rests_on_time().then(|| self.runner.store.clock())
    }

    /// So that the job is known, with its schedule, before anyone runs it.
    async fn enter(&self) -> Result<(), StoreError> {
        let now = self.runner.store.moment().await?;
        self.runner.store.enter_job(self.job.name(), self.job.schedule(), self.next_run(now)).await
    }

    fn next_run(&self, now: Timestamp) -> Timestamp {
        let from = now.to_zoned(TimeZone::UTC);
        self.cron.find_next_occurrence(&from, false).map_or(Timestamp::MAX, |next| next.timestamp())
    }

    async fn become_the_one(&self) -> Result<Option<Leadership>, StoreError> {
        let Runner { store, replica, settings, .. } = self.runner;
        loop {
            if self.stop.is_cancelled() {
                return Ok(None);
            }
            let acquired = store.acquire_leadership(self.job.role(), replica, settings.leadership).await?;
            if acquired.is_some() {
                return Ok(acquired);
            }
            self.pause(settings.leadership / 4).await;
        }
    }

    /// Looks, runs, waits, over and over. Gives the role back where it is still held.
    async fn attend(&self, mut role: Leadership) -> (Option<Leadership>, Result<(), StoreError>) {
        // A run by the deadline that leaves something overdue is not followed by the next at once.
        let mut left_overdue = false;
        let mut failures = pauses(self.job);
        loop {
            if self.stop.is_cancelled() {
                return (Some(role), Ok(()));
            }
            let looked = self.runner.store.look_at_job(&role, self.job.name(), self.runner.settings.leadership).await;
            let look = match looked {
                Ok(Some(look)) => look,
                Ok(None) => return (None, Ok(())),
                Err(error) => return (Some(role), Err(error)),
            };
            role = look.role.clone();
            let due_in = match self.job.due_in().await {
                Ok(due_in) => due_in,
                Err(error) => return (Some(role), Err(error)),
            };
            let waits = self.clock().is_some_and(|clock| !clock.is_trusted());
            let due_now = due_in.is_some_and(|due_in| due_in.is_zero()) && !left_overdue && !waits;
            let Some(trigger) = trigger(&look, due_now) else {
                left_overdue = false;
                self.wait(&look, due_in).await;
                continue;
            };
            let (still_held, outcome) = self.run(&look, trigger).await;
            role = still_held;
            left_overdue =
                trigger == Trigger::Deadline && matches!(self.job.due_in().await, Ok(Some(due_in)) if due_in.is_zero());
            match outcome {
                Outcome::Done => failures = pauses(self.job),
                Outcome::Failed => self.rest(&mut role, failures.next().unwrap_or(PAUSE_MAX)).await,
                Outcome::Interrupted => {}
            }
        }
    }

    /// Waits until something is due as far as is known, or it is time to look again.
    async fn wait(&self, look: &JobLook, due_in: Option<Duration>) {
        let scheduled = Duration::try_from(look.next_run.duration_since(look.now)).unwrap_or_default();
        let due_in = due_in.filter(|due_in| !due_in.is_zero()).unwrap_or(Duration::MAX);
        let longest = self.job.look_every().min(self.runner.settings.leadership / 3);
        self.pause(longest.min(scheduled).min(due_in).max(LOOK_AGAIN)).await;
    }

    async fn pause(&self, length: Duration) {
        tokio::select! {
            () = sleep(length) => {}
            () = self.wake.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// A pause after a failure, in which the role is kept.
    async fn rest(&self, role: &mut Leadership, length: Duration) {
        let until = BootInstant::now().after(length);
        while !until.remaining().is_zero() && !self.stop.is_cancelled() {
            let length = self.runner.settings.leadership;
            match self.runner.store.renew_leadership(role, length).await {
                Ok(Some(renewed)) => *role = renewed,
                Ok(None) | Err(_) => return,
            }
            self.pause(until.remaining().min(length / 3)).await;
        }
    }

    /// Runs the job once, and writes down what came of it.
    async fn run(&self, look: &JobLook, trigger: Trigger) -> (Leadership, Outcome) {
        let run = Run::new(look.role.clone(), &self.stop, self.clock().cloned());
        let started = BootInstant::now();
        let done = if run.waits_for_the_clock() {
            Err(JobError::Interrupted { so_far: json!({}) })
        } else {
            tokio::select! {
                done = self.job.run(&run) => done,
                never = self.keep_watch(&run) => match never {},
            }
        };
        let took = started.elapsed();
        let (outcome, result) = match done {
            Ok(result) => (Outcome::Done, result),
            Err(JobError::Interrupted { so_far }) if run.waits_for_the_clock() => {
                (Outcome::Interrupted, with_error(so_far, WAITS))
            }
            Err(JobError::Interrupted { so_far }) => (Outcome::Interrupted, so_far),
            Err(JobError::Failed { what, so_far }) => (Outcome::Failed, with_error(so_far, &what)),
            Err(JobError::Store(error)) => (Outcome::Failed, with_error(json!({}), &error.to_string())),
        };
        self.tell(&result, outcome, trigger, took);
        let role = run.role();
        let done = DoneRun {
            job: self.job.name(),
            answers: look.requested,
            next_run: if trigger == Trigger::Schedule { self.next_run(look.now) } else { look.next_run },
            kept: trigger != Trigger::Deadline || outcome != Outcome::Done || !did_nothing(&result),
            trigger,
            holder: self.runner.replica.name(),
            started_at: look.now,
            outcome,
            result: &result,
        };
        let written = async {
            self.runner.store.job_done(&role, &done).await?;
            if done.kept {
                self.runner.store.forget_old_runs(done.job, self.runner.settings.runs_kept).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = written.await {
            tracing::warn!(job = done.job, %error, "a run of a job could not be written down");
        }
        (role, outcome)
    }

    fn tell(&self, result: &Value, outcome: Outcome, trigger: Trigger, took: Duration) {
        let job = self.job.name();
        let labels = JobRunLabels { job, outcome: outcome.as_str() };
        self.runner.metrics.job_runs.get_or_create(&labels).inc();
        self.runner.metrics.job_seconds.get_or_create(&JobLabel { job }).observe(took.as_secs_f64());
        let (trigger, milliseconds) = (trigger.as_str(), took.as_millis());
        match outcome {
            Outcome::Done if did_nothing(result) => tracing::debug!(job, trigger, milliseconds, %result, "a job ran"),
            Outcome::Done => tracing::info!(job, trigger, milliseconds, %result, "a job ran"),
            Outcome::Interrupted => tracing::info!(job, trigger, milliseconds, %result, "a job was interrupted"),
            Outcome::Failed => tracing::warn!(job, trigger, milliseconds, %result, "a job failed"),
        }
    }

    /// Prolongs the role while the job runs. Once it is over, the run sees that before its next batch.
    async fn keep_watch(&self, run: &Run) -> std::convert::Infallible {
        let whole = self.runner.settings.leadership;
        loop {
            sleep(WATCH.min(whole / 6)).await;
            let role = run.role();
            let remaining = role.until().remaining();
            if remaining > whole * 2 / 3 {
                continue;
            }
            if remaining.is_zero() {
                return std::future::pending().await;
            }
            match timeout(remaining, self.runner.store.renew_leadership(&role, whole)).await {
                Ok(Ok(Some(renewed))) => run.renewed(renewed),
                Ok(Ok(None)) | Err(_) => return std::future::pending().await,
                Ok(Err(error)) => {
                    tracing::warn!(job = self.job.name(), %error, "the job's role could not be prolonged");
                }
            }
        }
    }

    async fn resign(&self, role: Leadership) {
        match timeout(RESIGN, self.runner.store.resign_leadership(role)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(job = self.job.name(), %error, "the role could not be resigned"),
            Err(_) => tracing::debug!(job = self.job.name(), "the role could not be resigned in time"),
        }
    }
}

/// Why the job is to run now, if it is.
fn trigger(look: &JobLook, due_now: bool) -> Option<Trigger> {
    if look.requested > look.answered {
        Some(Trigger::Request)
    } else if look.next_run <= look.now {
        Some(Trigger::Schedule)
    } else if due_now {
        Some(Trigger::Deadline)
    } else {
        None
    }
}

fn with_error(mut so_far: Value, error: &str) -> Value {
    so_far["error"] = error.into();
    so_far
}

/// Whether all its counts are nothing.
fn did_nothing(result: &Value) -> bool {
    let counts = result.as_object().map(|members| members.values().filter_map(Value::as_i64));
    counts.is_none_or(|mut counts| counts.all(|count| count == 0))
}
