//! Jobs as all replicas know them: their schedules, who may run each, what was asked for, and the latest runs.
//!
//! What must stay true: what a run leaves here is written only while the role that it ran on has not gone to another.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::leadership::Leadership;
use super::rows::Reading;
use super::{Store, StoreError};
use crate::boot_clock::BootInstant;

/// How a job stands, for the replica that may run it.
#[derive(Clone, Debug)]
pub struct JobLook {
    /// The role, as just confirmed.
    pub role: Leadership,
    /// The database's moment, as far as its clock is vouched for.
    pub now: Timestamp,
    /// When it runs next by its schedule.
    pub next_run: Timestamp,
    /// How many runs were asked for.
    pub requested: i64,
    /// How many of these were answered.
    pub answered: i64,
}

/// Why a job ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Trigger {
    /// Its schedule.
    Schedule,
    /// Something was due.
    Deadline,
    /// Somebody asked.
    Request,
}

impl Trigger {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "SCHEDULE",
            Self::Deadline => "DEADLINE",
            Self::Request => "REQUEST",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// It did what there was to do.
    Done,
    /// It could not.
    Failed,
    /// The service stopped, another replica has taken the job over, or PostgreSQL's clock was not trusted.
    Interrupted,
}

impl Outcome {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// A run to write down.
#[derive(Clone, Debug)]
pub struct DoneRun<'a> {
    /// The job.
    pub job: &'a str,
    /// The request up to which it answers.
    pub answers: i64,
    /// When it runs next by its schedule.
    pub next_run: Timestamp,
    /// Whether it is kept among the latest runs.
    pub kept: bool,
    /// Why it ran.
    pub trigger: Trigger,
    /// The replica that ran it.
    pub holder: &'a str,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did.
    pub result: &'a Value,
}

/// One of the latest runs.
#[derive(Clone, Debug, Deserialize)]
pub struct JobRun {
    /// Why it ran.
    pub trigger: Trigger,
    /// The replica that ran it.
    pub holder: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did.
    pub result: Value,
}

/// A job as operators see it.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Its name.
    pub name: String,
    /// Its schedule, as cron writes it, UTC.
    pub schedule: String,
    /// When it runs next by its schedule.
    pub next_run: Timestamp,
    /// The replica that may run it now.
    pub holder: Option<String>,
    /// Its latest runs, newest first.
    pub runs: Vec<JobRun>,
}

impl Store {
    /// Makes a job known to all, with its schedule and when it runs next by it; one that is known stays as it is, unless its
    /// schedule has changed.
    pub async fn enter_job(&self, job: &str, schedule: &str, next_run: Timestamp) -> Result<(), StoreError> {
        self.query(include_str!("job_enter.sql"), &[&job, &schedule, &next_run]).await.map(drop)
    }

    /// Looks how a job stands, and prolongs the role to `length` from now once a third of it is gone; `None` when it is over.
    pub async fn look_at_job(
        &self,
        role: &Leadership,
        job: &str,
        length: std::time::Duration,
    ) -> Result<Option<JobLook>, StoreError> {
        let sent_at = BootInstant::now();
        let row = self
            .query_opt(
                include_str!("job_look.sql"),
                &[&role.role, &role.holder, &role.term, &length.as_secs_f64(), &job],
            )
            .await?;
        row.map(|row| {
            Ok(JobLook {
                role: role.lasting(sent_at, row.try_get("remaining_seconds")?),
                now: self.clock().vouched(row.try_get("now")?),
                next_run: row.try_get("next_run")?,
                requested: row.try_get("requested")?,
                answered: row.try_get("answered")?,
            })
        })
        .transpose()
    }

    /// Writes down a run, unless the role has gone to another.
    pub async fn job_done(&self, role: &Leadership, run: &DoneRun<'_>) -> Result<(), StoreError> {
        let expected = self.clock().expected();
        self.query(
            include_str!("job_done.sql"),
            &[
                &role.role,
                &role.holder,
                &role.term,
                &run.job,
                &run.answers,
                &run.next_run,
                &run.kept,
                &run.trigger.as_str(),
                &run.holder,
                &run.started_at,
                &run.outcome.as_str(),
                &run.result,
                &expected.now,
                &expected.tolerance_seconds,
            ],
        )
        .await
        .map(drop)
    }

    /// Forgets all but the latest `kept` runs of a job.
    pub async fn forget_old_runs(&self, job: &str, kept: i64) -> Result<(), StoreError> {
        self.query(include_str!("job_forget.sql"), &[&job, &kept]).await.map(drop)
    }

    /// Asks for a run; gives the request's number, or `None` where there is no such job.
    pub async fn request_job(&self, job: &str) -> Result<Option<i64>, StoreError> {
        let row = self.query_opt(include_str!("job_request.sql"), &[&job]).await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// Whether a run that began after this request has ended.
    pub async fn job_is_answered(&self, job: &str, request: i64) -> Result<bool, StoreError> {
        let row = self.query_opt(include_str!("job_answered.sql"), &[&job, &request]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
    }

    /// The jobs, or one of them, each with its latest `runs`.
    pub async fn jobs(&self, job: Option<&str>, runs: i64) -> Result<Vec<JobRecord>, StoreError> {
        let rows = self.query(include_str!("jobs_read.sql"), &[&job, &runs]).await?;
        rows.iter()
            .map(|row| {
                let name: String = row.try_get("job")?;
                let reading = Reading::new(row, name.as_str());
                let runs: Value = reading.get("runs")?;
                Ok(JobRecord {
                    schedule: reading.get("schedule")?,
                    next_run: reading.get("next_run")?,
                    holder: reading.get("holder")?,
                    runs: serde_json::from_value(runs).map_err(|_| reading.impossible("its runs cannot be read"))?,
                    name,
                })
            })
            .collect()
    }
}
