//! One job, and lists of them.

use axum::Json;
use axum::extract::{Path, State};
use durable_jobs::JobId;

use crate::problem::{Answer, Problem};
use crate::state::Shared;
use crate::views::JobDetailView;

/// Shows a job.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The id of the job")),
    responses(
        (status = 200, description = "The job", body = JobDetailView),
        (status = 404, description = "There is no such job", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A refusal or a failure", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn show_job(State(web): State<Shared>, Path(id): Path<String>) -> Answer<JobDetailView> {
    Ok(Json(web.detail(&JobId::new(id)).await?))
}
