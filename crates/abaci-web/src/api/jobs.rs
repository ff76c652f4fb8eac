//! One job, its steps, and lists of jobs.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use durable_jobs::record::{Attempt, AttemptEndKind, Cursor, Order, StepRecord};
use durable_jobs::{Job, JobFilter};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::filter::{self, FilterBody};
use crate::place::{JobPath, Params};
use crate::problem::{Answer, Kind, Problem, Refusals};
use crate::state::Shared;
use crate::views::{JobDetailView, JobView};

/// The jobs of a list unless another number is asked for.
const USUAL_LIMIT: u32 = 50;

/// The most jobs of one list.
const MAX_LIMIT: u32 = 500;

/// The most steps of one answer, and the number unless one is given.
const MAX_STEPS: u32 = 5_000;
const USUAL_STEPS: u32 = 500;

/// The time to find the jobs of a list: conditions on the request have every other job that is meant read.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct JobsView {
    jobs: Vec<JobView>,
    /// The cursor of the jobs that come after these; null at the end of the list.
    next: Option<String>,
}

/// The steps of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct StepsView {
    /// The first to the last.
    steps: Vec<StepView>,
    /// The cursor of the steps that come after these; null at the end.
    next: Option<i32>,
}

/// A recorded step.
#[derive(Serialize, ToSchema)]
pub(super) struct StepView {
    /// Its position, from 0.
    id: i32,
    /// Its name.
    name: String,
    /// When its last attempt began, by the clock of the worker.
    started_at_ms: Option<i64>,
    /// When it was done, by the same clock.
    completed_at_ms: Option<i64>,
    /// The reason, if it failed.
    error: Option<String>,
}

impl From<StepRecord> for StepView {
    fn from(step: StepRecord) -> Self {
        Self {
            id: step.id,
            name: step.name,
            started_at_ms: step.started_at_ms,
            completed_at_ms: step.completed_at_ms,
            error: step.error,
        }
    }
}

/// The starts of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptsView {
    /// The first to the last, of more than a hundred the last hundred.
    attempts: Vec<AttemptView>,
}

/// A start of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptView {
    /// Its place among all starts of the job, from 1.
    number: u32,
    /// The worker.
    executor_id: String,
    /// The worker's host; null where the name of the worker does not tell.
    host: Option<String>,
    /// The worker's process; null where nobody knows it any more.
    pid: Option<u32>,
    /// When it began.
    started_at_ms: i64,
    /// When it ended, of a worker that is gone its last sign of life; null while it runs.
    ended_at_ms: Option<i64>,
    /// Its end; null while it runs.
    end: Option<EndView>,
}

/// The end of a start.
#[derive(Serialize, ToSchema)]
pub(super) struct EndView {
    /// `succeeded`, `failed`, `parked`, `cancelled`, `worker_died`, `worker_gone`, `handed_back`, `given_back`, `process_died`,
    /// or what a newer program calls it.
    #[schema(value_type = String)]
    kind: AttemptEndKind,
    /// More about it: a failure, a signal; null where there is no more.
    reason: Option<String>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            executor_id: attempt.executor_id,
            host: attempt.host,
            pid: attempt.pid,
            started_at_ms: attempt.started_at_ms,
            ended_at_ms: attempt.ended_at_ms,
            end: attempt.end.map(|end| EndView {
                kind: end.kind,
                reason: end.reason,
            }),
        }
    }
}

/// Lists jobs.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "jobs",
    params(
        FilterBody,
        ("sort" = inline(Option<String>), Query, description = "`newest`, which is usual, or `oldest`: by the date of the submission; `last_ended` or `first_ended`: only jobs that have ended, by that date"),
        ("limit" = inline(Option<u32>), Query, minimum = 1, maximum = 500, description = "At most so many jobs; 50 unless it is given"),
        ("cursor" = inline(Option<String>), Query, description = "The place where the list goes on: `next` of its part before, which had the same sort")
    ),
    responses((status = 200, description = "A part of the list", body = JobsView), Refusals)
)]
pub(super) async fn list_jobs(State(web): State<Shared>, mut params: Params) -> Answer<JobsView> {
    let client = web.client().await?;
    let filter = filter::take(&mut params, client.clock().now_ms())?;
    let limit = params
        .read("limit", |text| up_to(text, MAX_LIMIT))?
        .unwrap_or(USUAL_LIMIT);
    let order = params.read("sort", filter::order)?.unwrap_or_default();
    let filter = JobFilter {
        after: filter::place(&mut params, order)?,
        order,
        // One more tells whether there are more.
        limit: Some(limit + 1),
        ..filter
    };
    params.end(&format!("{}, sort, limit and cursor", filter::NAMES))?;
    let Ok(jobs) = timeout(TIMEOUT, client.list(&filter)).await else {
        let detail =
            "the jobs were not found in time; name a state, a batch, a tag, or dates with since and until";
        return Err(Problem::new(Kind::Timeout, detail));
    };
    Ok(Json(part(jobs?, limit as usize, order)))
}

fn part(mut jobs: Vec<Job>, limit: usize, order: Order) -> JobsView {
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    // The last that is shown, and not the one more: a list goes on after its cursor.
    let last = jobs.last().filter(|_| has_more);
    JobsView {
        next: last.map(|last| Cursor::within(order, last).to_string()),
        jobs: jobs.into_iter().map(JobView::from).collect(),
    }
}

fn up_to(text: &str, most: u32) -> Result<u32, String> {
    let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| format!("not a number from 1 to {most}"))
}

fn position(text: &str) -> Result<i32, &'static str> {
    let position = text.parse().ok().filter(|position| *position >= 0);
    position.ok_or("not the position of a step")
}

/// Shows a job.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job")),
    responses((status = 200, description = "The job", body = JobDetailView), Refusals)
)]
pub(super) async fn show_job(State(web): State<Shared>, JobPath(id): JobPath) -> Answer<JobDetailView> {
    Ok(Json(web.detail(&id).await?))
}

/// Lists the recorded steps of a job.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/steps",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The id of the job"),
        ("limit" = inline(Option<u32>), Query, minimum = 1, maximum = 5000, description = "At most so many steps; 500 unless it is given"),
        ("cursor" = inline(Option<i32>), Query, minimum = 0, description = "The place where the list goes on: `next` of its part before")
    ),
    responses((status = 200, description = "The steps", body = StepsView), Refusals)
)]
pub(super) async fn list_steps(
    State(web): State<Shared>,
    JobPath(id): JobPath,
    mut params: Params,
) -> Answer<StepsView> {
    let limit = params
        .read("limit", |text| up_to(text, MAX_STEPS))?
        .unwrap_or(USUAL_STEPS);
    let after = params.read("cursor", position)?;
    params.end("limit and cursor")?;
    // One more tells whether there are more.
    let mut steps = web.client().await?.steps(&id, after, limit + 1).await?;
    let has_more = steps.len() > limit as usize;
    steps.truncate(limit as usize);
    Ok(Json(StepsView {
        next: steps.last().filter(|_| has_more).map(|step| step.id),
        steps: steps.into_iter().map(StepView::from).collect(),
    }))
}

/// Lists the starts of a job.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/attempts",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job")),
    responses((status = 200, description = "The starts", body = AttemptsView), Refusals)
)]
pub(super) async fn list_attempts(State(web): State<Shared>, JobPath(id): JobPath) -> Answer<AttemptsView> {
    let attempts = web.client().await?.attempts(&id).await?;
    let attempts = attempts.into_iter().map(AttemptView::from).collect();
    Ok(Json(AttemptsView { attempts }))
}
