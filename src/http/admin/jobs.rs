//! What the service does by itself: who runs each job, what its latest runs did, and a run now.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::command::{Command, answer};
use crate::http::extract::{OptionalJsonBody, PathValue, QueryParameters};
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::numbers::NoInput;
use crate::http::problem::ApiError;
use crate::http::shapes::Page;
use crate::jobs::NAMES;
use crate::store::jobs::{JobRecord, JobRun};

/// How many runs a job is shown with.
const RUNS_SHOWN: i64 = 10;
/// How long to wait for a run that was asked for; what takes longer goes on by itself.
const RUN_PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether it has ended.
const RUN_LOOK: Duration = Duration::from_millis(25);

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobBody {
    /// Its name.
    #[schema(example = "release_expired")]
    pub name: String,
    /// When it runs in any case, as cron writes it, UTC. What is due is done when it is due, also between.
    #[schema(example = "* * * * *")]
    pub schedule: String,
    /// When its latest run began; null before the first.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub last_run: Option<Timestamp>,
    /// What its latest run did; null before the first.
    #[schema(required)]
    pub last_result: Option<JobRunBody>,
    /// When it runs next by its schedule.
    #[schema(value_type = String, format = DateTime)]
    pub next_run: Timestamp,
    /// The replica that may run it now; null while there is none.
    #[schema(required)]
    pub holder: Option<String>,
    /// Its latest runs that did something, newest first.
    pub recent_runs: Vec<JobRunBody>,
}

/// A run of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRunBody {
    /// `DONE`, `FAILED` or `INTERRUPTED`.
    pub outcome: String,
    /// `SCHEDULE`, `DEADLINE` or `REQUEST`.
    pub trigger: String,
    /// The replica that ran it.
    pub holder: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub finished_at: Timestamp,
    /// What it did: counts by name, and `error` where it failed.
    #[schema(value_type = Object)]
    pub result: Value,
}

impl From<JobRun> for JobRunBody {
    fn from(run: JobRun) -> Self {
        Self {
            outcome: run.outcome.as_str().to_owned(),
            trigger: run.trigger.as_str().to_owned(),
            holder: run.holder,
            started_at: run.started_at,
            finished_at: run.finished_at,
            result: run.result,
        }
    }
}

impl From<JobRecord> for JobBody {
    fn from(job: JobRecord) -> Self {
        let recent_runs: Vec<JobRunBody> = job.runs.into_iter().map(JobRunBody::from).collect();
        Self {
            name: job.name,
            schedule: job.schedule,
            last_run: recent_runs.first().map(|run| run.started_at),
            last_result: recent_runs.first().cloned(),
            next_run: job.next_run,
            holder: job.holder,
            recent_runs,
        }
    }
}

/// They are few, and all are shown.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {}

/// All jobs, by name.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/jobs",
    tag = "admin",
    responses((status = 200, description = "All jobs", body = Page<JobBody>)),
)]
pub async fn list_jobs(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    QueryParameters(JobsQuery {}): QueryParameters<JobsQuery>,
) -> Result<Json<Page<JobBody>>, ApiError> {
    let jobs = state.store.jobs(None, RUNS_SHOWN).await?;
    let items = jobs.into_iter().map(JobBody::from).collect();
    Ok(Json(Page { items, next_page: None }))
}

/// Runs a job now, on the replica that may, whether or not anything is due. Answers 200 once that run has ended, or 202 while
/// it still runs after some seconds.
#[utoipa::path(
    post,
    path = "/v1/admin/numbering/jobs/{job}/run",
    tag = "admin",
    params(("job" = String, Path, description = "The job's name")),
    responses(
        (status = 200, description = "The job, its run ended", body = JobBody),
        (status = 202, description = "The job, its run still to end", body = JobBody),
    ),
)]
pub async fn run_job(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    PathValue(job): PathValue<String>,
    body: OptionalJsonBody<NoInput>,
) -> Result<Response, ApiError> {
    if !NAMES.contains(&job.as_str()) {
        return Err(no_such_job());
    }
    command
        .once(&state, &body.sha256, async |claim| {
            let request = state.store.request_job(&job).await?.ok_or_else(no_such_job)?;
            state.wakes.wake(&job);
            let status = if ended(&state, &job, request).await? { StatusCode::OK } else { StatusCode::ACCEPTED };
            let shown = state.store.jobs(Some(&job), RUNS_SHOWN).await?.pop().ok_or_else(no_such_job)?;
            let answer = answer(status, &JobBody::from(shown));
            if let Some(claim) = claim {
                state.store.keep_answer(&claim, &answer).await?;
            }
            Ok(answer)
        })
        .await
}

fn no_such_job() -> ApiError {
    ApiError::not_found("there is no job of that name")
}

async fn ended(state: &AppState, job: &str, request: i64) -> Result<bool, ApiError> {
    let give_up_at = Instant::now() + RUN_PATIENCE;
    while !state.store.job_is_answered(job, request).await? {
        if Instant::now() >= give_up_at {
            return Ok(false);
        }
        sleep(RUN_LOOK).await;
    }
    Ok(true)
}
