//! Changes of all jobs of a choice, with a preview.
//!
//! A change means the jobs that are there when it begins, and no later ones. What fails in the middle has changed some of
//! them, each wholly; the same request goes on with the others.

use axum::Json;
use axum::extract::State;
use durable_jobs::client::BulkAction;
use durable_jobs::{Client, JobFilter, JobId, State as JobState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::filter::{self, FilterBody};
use crate::body::{Fields, JsonBody};
use crate::place::Params;
use crate::problem::{Answer, Problem, Refusals};
use crate::state::Shared;
use crate::views::JobView;

/// A change of many jobs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Bulk)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct BulkBody {
    /// The jobs; those that cannot be changed so are passed over. It has one condition at least.
    filter: FilterBody,
    /// True to be told only how many there are, and the first of them.
    #[schema(required = false)]
    dry_run: bool,
}

/// The outcome for many jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkView {
    /// The number of jobs that are meant.
    matched: u64,
    /// The number of them that were changed.
    changed: u64,
    /// The first hundred of the others, in their order, with the reason of each.
    refused: Vec<RefusedView>,
    /// True if nothing was to be changed.
    dry_run: bool,
    /// The first twenty of those that are meant, in a preview.
    jobs: Vec<JobView>,
}

/// A job that was meant and was not changed.
#[derive(Serialize, ToSchema)]
struct RefusedView {
    /// The id of the job.
    id: String,
    /// The state that it has come to meanwhile; null where it is gone.
    state: Option<String>,
    /// The reason in words.
    reason: String,
}

impl RefusedView {
    fn new((id, state): (JobId, Option<JobState>)) -> Self {
        let state = state.map(|state| state.name().to_owned());
        Self {
            id: id.to_string(),
            reason: state.as_ref().map_or_else(
                || "it was deleted meanwhile".to_owned(),
                |state| format!("its state is {state} by now"),
            ),
            state,
        }
    }
}

/// Cancels all jobs of a choice that wait or run.
#[utoipa::path(
    post,
    path = "/api/v1/bulk/cancel",
    tag = "bulk",
    security(("token" = [])),
    request_body(content = BulkBody, content_type = "application/json"),
    responses((status = 200, description = "What became of them", body = BulkView), Refusals)
)]
pub(super) async fn bulk_cancel(State(web): State<Shared>, JsonBody(body): JsonBody) -> Answer<BulkView> {
    run(BulkAction::Cancel, &web.client().await?, body).await
}

/// Puts all jobs of a choice that failed, were parked or were cancelled back into their queues.
#[utoipa::path(
    post,
    path = "/api/v1/bulk/resume",
    tag = "bulk",
    security(("token" = [])),
    request_body(content = BulkBody, content_type = "application/json"),
    responses((status = 200, description = "What became of them", body = BulkView), Refusals)
)]
pub(super) async fn bulk_resume(State(web): State<Shared>, JsonBody(body): JsonBody) -> Answer<BulkView> {
    run(BulkAction::RESUME, &web.client().await?, body).await
}

/// Deletes all jobs of a choice that have ended.
#[utoipa::path(
    post,
    path = "/api/v1/bulk/delete",
    tag = "bulk",
    security(("token" = [])),
    request_body(content = BulkBody, content_type = "application/json"),
    responses((status = 200, description = "What became of them", body = BulkView), Refusals)
)]
pub(super) async fn bulk_delete(State(web): State<Shared>, JsonBody(body): JsonBody) -> Answer<BulkView> {
    run(BulkAction::Delete, &web.client().await?, body).await
}

async fn run(action: BulkAction, client: &Client, body: Value) -> Answer<BulkView> {
    let (filter, dry_run) = read(action, body, client.clock().now_ms())?;
    let preview = client.bulk_preview(filter, action).await?;
    let matched = preview.count;
    if dry_run {
        return Ok(Json(BulkView {
            matched,
            changed: 0,
            refused: Vec::new(),
            dry_run,
            jobs: preview.first.into_iter().map(JobView::from).collect(),
        }));
    }
    let report = client.bulk(preview).await?;
    Ok(Json(BulkView {
        matched,
        changed: report.changed,
        refused: report.refused.into_iter().map(RefusedView::new).collect(),
        dry_run,
        jobs: Vec::new(),
    }))
}

/// Reads which jobs are meant, and that nothing is to be changed.
fn read(action: BulkAction, body: Value, now_ms: i64) -> Result<(JobFilter, bool), Problem> {
    let mut fields = Fields::of("body", body)?;
    let dry_run = fields.read("dry_run", "true or false", Value::as_bool)?;
    let given: Option<Map<String, Value>> = fields.read("filter", "an object with conditions", |value| {
        value.as_object().cloned()
    })?;
    fields.end("filter and dry_run")?;
    let mut params = Params::of_fields("body.filter", given.unwrap_or_default(), filter::FORMS)?;
    let filter = filter::take(&mut params, now_ms)?;
    params.end(filter::NAMES)?;
    if filter.means_all() {
        let message = "filter has no condition; give one, such as {\"state\": \"queued\"}";
        return Err(Problem::of_part("body.filter", message, None));
    }
    let possible = action.states();
    // Such a job would be passed over without a word, though it was named.
    if let Some(state) = filter.states.iter().find(|state| !possible.contains(state)) {
        let names: Vec<&str> = possible.iter().map(|state| state.name()).collect();
        let message = format!(
            "state is {state}, in which no job can be changed so; give {}",
            names.join(", ")
        );
        let given = Some(state.name().into());
        return Err(Problem::of_part("body.filter.state", message, given));
    }
    Ok((filter, dry_run.unwrap_or_default()))
}
