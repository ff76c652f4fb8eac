//! Changes of one job: cancel, resume, fork, delete.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use durable_jobs::client::{CancelOutcome, Forked, ResumeOptions, ResumeOutcome, StepName};
use durable_jobs::{Error, JobId, State as JobState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::jobs::StepView;
use crate::body::{Fields, JsonBody, OptionalBody};
use crate::place::{JobPath, MAX_INTEGER};
use crate::problem::{Answer, Kind, Problem, Refusals};
use crate::state::Shared;
use crate::views::{JobDetailView, segment};

/// The options of a resume.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resume)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct ResumeBody {
    /// The memory that the job may need from now on, whatever the limit of its worker.
    #[schema(required = false)]
    memory_bytes: u64,
}

/// Where a job is forked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Fork)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct ForkBody {
    from_step: FirstStep,
    /// The id of the new job: up to 128 letters, digits and signs of ASCII.
    #[schema(required = false)]
    id: String,
}

/// The first step that runs anew, by its position, from 0, or by its name.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = FirstStep)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) enum FirstStep {
    Position(i32),
    Name(String),
}

/// A job that goes on from the middle of another one.
#[derive(Serialize, ToSchema)]
pub(super) struct ForkedView {
    /// The id of the new job.
    id: String,
    /// Its path.
    href: String,
    /// The queue that it waits in.
    queue: String,
    /// The recorded steps that it keeps.
    kept: Vec<StepView>,
}

/// Cancels a job, waiting or running; one that was cancelled before stays so.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/cancel",
    tag = "jobs",
    security(("token" = [])),
    params(("id" = String, Path, description = "The id of the job")),
    responses((status = 200, description = "The job, cancelled", body = JobDetailView), Refusals)
)]
pub(super) async fn cancel_job(State(web): State<Shared>, JobPath(id): JobPath) -> Answer<JobDetailView> {
    match web.client().await?.cancel(&id).await? {
        CancelOutcome::Cancelled | CancelOutcome::AlreadyFinal(JobState::Cancelled) => {
            Ok(Json(web.detail(&id).await?))
        }
        CancelOutcome::AlreadyFinal(state) => {
            let detail = format!("the job had ended before: it is {state}");
            Err(Problem::new(Kind::Conflict, detail))
        }
        CancelOutcome::NotFound => Err(missing(&id)),
    }
}

/// Puts a job that failed, was parked or was cancelled back into its queue; its recorded steps are kept.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/resume",
    tag = "jobs",
    security(("token" = [])),
    params(("id" = String, Path, description = "The id of the job")),
    request_body(content = Option<ResumeBody>, content_type = "application/json"),
    responses((status = 200, description = "The job, which waits again", body = JobDetailView), Refusals)
)]
pub(super) async fn resume_job(
    State(web): State<Shared>,
    JobPath(id): JobPath,
    OptionalBody(body): OptionalBody,
) -> Answer<JobDetailView> {
    let mut fields = Fields::of(
        "body",
        body.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
    )?;
    let memory_bytes = fields.read("memory_bytes", "a number of bytes", |value| {
        value.as_u64().filter(|bytes| (1..=MAX_INTEGER).contains(bytes))
    })?;
    fields.end("memory_bytes")?;
    let options = ResumeOptions { memory_bytes };
    match web.client().await?.resume(&id, options).await? {
        ResumeOutcome::Resumed | ResumeOutcome::ResumedOn(_) => Ok(Json(web.detail(&id).await?)),
        ResumeOutcome::Refused(state) => {
            let detail = format!(
                "the job is {state}; only one that failed, was parked or was cancelled can be resumed"
            );
            Err(Problem::new(Kind::Conflict, detail))
        }
        ResumeOutcome::NotFound => Err(missing(&id)),
    }
}

/// Makes a job that keeps the recorded steps of another one up to a step, and runs from there.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/fork",
    tag = "jobs",
    security(("token" = [])),
    params(("id" = String, Path, description = "The id of the job")),
    request_body(content = ForkBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The new job", body = ForkedView, headers(("Location" = String, description = "Its path"))),
        Refusals
    )
)]
pub(super) async fn fork_job(
    State(web): State<Shared>,
    JobPath(origin): JobPath,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let mut fields = Fields::of("body", body)?;
    let from = fields.read("from_step", "the position of a step, or its name", step_of)?;
    let id = fields.read(
        "id",
        "an id of 1 to 128 letters, digits and signs of ASCII",
        |value| value.as_str()?.parse().ok(),
    )?;
    fields.end("from_step and id")?;
    let Some(from) = from else {
        let message = "from_step is missing; give the position of a step, or its name";
        return Err(Problem::of_part("body.from_step", message, None));
    };
    let client = web.client().await?;
    let forked = client
        .fork(&origin, &from, &id.unwrap_or_else(JobId::fresh))
        .await?;
    let Forked { id, queue, kept } = forked;
    let href = format!("/api/v1/jobs/{}", segment(id.as_str()));
    let view = ForkedView {
        id: id.to_string(),
        queue,
        kept: kept.into_iter().map(StepView::from).collect(),
        href: href.clone(),
    };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    if let Ok(href) = HeaderValue::from_str(&href) {
        response.headers_mut().insert(header::LOCATION, href);
    }
    Ok(response)
}

/// Deletes a job that has ended.
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{id}",
    tag = "jobs",
    security(("token" = [])),
    params(("id" = String, Path, description = "The id of the job")),
    responses((status = 204, description = "The job is deleted"), Refusals)
)]
pub(super) async fn delete_job(
    State(web): State<Shared>,
    JobPath(id): JobPath,
) -> Result<StatusCode, Problem> {
    let client = web.client().await?;
    if client.delete_all(std::slice::from_ref(&id)).await?.contains(&id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    // Nothing was deleted, and only the state says why; where there is no job, this says so.
    Err(undeleted(client.summary(&id).await?.job.state))
}

/// Says why a job was not deleted that is in this state a moment later.
fn undeleted(state: JobState) -> Problem {
    let detail = if state.is_final() {
        // Also one of another application is shown, and never deleted here.
        format!(
            "the job is {state}, but was not deleted: it has ended only now, so delete it again, or it is of another application"
        )
    } else {
        format!("the job is {state}, and only one that has ended can be deleted; cancel it first")
    };
    Problem::new(Kind::Conflict, detail)
}

fn missing(id: &JobId) -> Problem {
    Error::NotFound { id: id.to_string() }.into()
}

fn step_of(value: &Value) -> Option<StepName> {
    match value {
        Value::Number(position) => Some(StepName::Position(i32::try_from(position.as_i64()?).ok()?)),
        Value::String(name) => Some(StepName::Name(name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_ends_during_its_delete_is_not_to_be_cancelled() {
        for state in JobState::ALL {
            let detail = undeleted(state).detail;
            assert_ne!(detail.contains("cancel it first"), state.is_final(), "{detail}");
        }
    }
}
