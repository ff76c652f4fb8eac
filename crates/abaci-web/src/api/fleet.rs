//! Workers, queues, and what a number would take.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use durable_jobs::client::{QueueInfo, Rate};
use fibonacci_jobs::{Algorithm, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::forms::{IndexBody, whole};
use crate::body::{Fields, JsonBody};
use crate::place::{NamePath, Params};
use crate::problem::{Answer, Kind, Problem, Refusals};
use crate::state::{Shared, Web};
use crate::views::WorkerView;

/// The workers of all hosts.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkersView {
    workers: Vec<WorkerView>,
}

/// All queues.
#[derive(Serialize, ToSchema)]
pub(super) struct QueuesView {
    queues: Vec<QueueView>,
}

/// A queue as it is set, and what is in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
pub(crate) struct QueueView {
    name: String,
    /// True if no job of it is started.
    paused: bool,
    /// The limit of its starts, if there is one.
    rate: Option<RateView>,
    /// The most jobs that may run at once in the whole fleet, where another tool has set that.
    concurrency: Option<u32>,
    /// Jobs that wait, delayed ones included.
    queued: u64,
    /// Jobs that a worker has claimed.
    running: u64,
}

/// So many starts in a time, over all workers.
#[derive(Serialize, ToSchema)]
#[schema(as = Rate)]
pub(super) struct RateView {
    starts: u32,
    /// The time, which slides.
    seconds: f64,
}

/// The limits of a queue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueLimits)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct LimitsBody {
    /// So many starts in a time; null for no limit.
    rate: Option<RateBody>,
}

/// So many starts in a time.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRate)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct RateBody {
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    starts: u32,
    #[schema(minimum = 0.1, maximum = 31_622_400)]
    seconds: f64,
}

/// The cost of a number.
#[derive(Serialize, ToSchema)]
#[schema(as = Estimate)]
pub(super) struct EstimateView {
    /// The index.
    #[serde(serialize_with = "whole")]
    #[schema(value_type = IndexBody)]
    n: u64,
    /// The algorithm that was named, or the one for this index.
    algorithm: &'static str,
    /// The number of decimal digits, exactly.
    #[serde(serialize_with = "whole")]
    #[schema(value_type = IndexBody)]
    digits: u64,
    /// The bytes of the digits.
    #[serde(serialize_with = "whole")]
    #[schema(value_type = IndexBody)]
    bytes: u64,
    /// The seconds on two cores, roughly.
    seconds: f64,
    /// The most memory at one time, roughly.
    #[serde(serialize_with = "whole")]
    #[schema(value_type = IndexBody)]
    memory_bytes: u64,
    /// True if a job for it would be accepted here.
    accepted: bool,
    /// The reason for which it would be refused; absent if it would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    refusal: Option<String>,
}

/// Lists the workers of all hosts, those that are gone as well as long as something of theirs is left.
#[utoipa::path(
    get,
    path = "/api/v1/workers",
    tag = "fleet",
    responses((status = 200, description = "The workers", body = WorkersView), Refusals)
)]
pub(super) async fn list_workers(State(web): State<Shared>) -> Answer<WorkersView> {
    let workers = web.client().await?.workers().await?;
    let workers = workers.iter().map(WorkerView::from).collect();
    Ok(Json(WorkersView { workers }))
}

/// Lists the queues that are registered, have a worker, or have jobs that did not end.
#[utoipa::path(
    get,
    path = "/api/v1/queues",
    tag = "fleet",
    responses((status = 200, description = "The queues", body = QueuesView), Refusals)
)]
pub(super) async fn list_queues(State(web): State<Shared>) -> Answer<QueuesView> {
    let queues = web.client().await?.queues().await?;
    let queues = queues.into_iter().map(QueueView::from).collect();
    Ok(Json(QueuesView { queues }))
}

/// Lets no job of a queue start until it is resumed; what runs goes on.
#[utoipa::path(
    post,
    path = "/api/v1/queues/{name}/pause",
    tag = "fleet",
    security(("token" = [])),
    params(("name" = String, Path, description = "The name of the queue")),
    responses((status = 200, description = "The queue, paused", body = QueueView), Refusals)
)]
pub(super) async fn pause_queue(State(web): State<Shared>, NamePath(name): NamePath) -> Answer<QueueView> {
    // A pause registers its queue, so that a name that is misspelt would become one.
    queue_of(&web, &name).await?;
    web.client().await?.pause_queue(&name).await?;
    queue_of(&web, &name).await.map(Json)
}

/// Lets the jobs of a queue start again; one that is not paused stays so.
#[utoipa::path(
    post,
    path = "/api/v1/queues/{name}/resume",
    tag = "fleet",
    security(("token" = [])),
    params(("name" = String, Path, description = "The name of the queue")),
    responses((status = 200, description = "The queue, open", body = QueueView), Refusals)
)]
pub(super) async fn resume_queue(State(web): State<Shared>, NamePath(name): NamePath) -> Answer<QueueView> {
    queue_of(&web, &name).await?;
    web.client().await?.resume_queue(&name).await?;
    queue_of(&web, &name).await.map(Json)
}

/// Limits how fast the jobs of a queue start, over all workers.
#[utoipa::path(
    patch,
    path = "/api/v1/queues/{name}",
    tag = "fleet",
    security(("token" = [])),
    params(("name" = String, Path, description = "The name of the queue")),
    request_body(content = LimitsBody, content_type = "application/json"),
    responses((status = 200, description = "The queue, limited", body = QueueView), Refusals)
)]
pub(super) async fn limit_queue(
    State(web): State<Shared>,
    NamePath(name): NamePath,
    JsonBody(body): JsonBody,
) -> Answer<QueueView> {
    let rate = rate_in(body)?;
    // As for a pause: a limit registers its queue.
    queue_of(&web, &name).await?;
    web.client().await?.limit_queue(&name, rate).await?;
    queue_of(&web, &name).await.map(Json)
}

/// Estimates what a number would take, and queues nothing.
#[utoipa::path(
    get,
    path = "/api/v1/estimate",
    tag = "jobs",
    params(
        ("n" = String, Query, description = "The index", pattern = "^[0-9]+$"),
        ("algorithm" = inline(Option<String>), Query, description = "The algorithm; the one for this index unless it is given")
    ),
    responses((status = 200, description = "The estimate", body = EstimateView), Refusals)
)]
pub(super) async fn estimate(State(web): State<Shared>, mut params: Params) -> Answer<EstimateView> {
    let n = params.read("n", Request::parse_n)?;
    let algorithm = params.read("algorithm", str::parse::<Algorithm>)?;
    params.end("n and algorithm")?;
    let n = n.ok_or_else(|| Problem::of_part("query.n", "n is missing; give an index such as 100", None))?;
    let request = algorithm.map_or_else(|| Request::new(n), |algorithm| Request::with(n, algorithm));
    let (cost, digits) = (request.cost(), request.estimate().digits);
    // A number that is too large still has a cost: the answer says both.
    let refusal = web.limits.check(&request).err();
    Ok(Json(EstimateView {
        n,
        algorithm: request.algorithm.name(),
        digits,
        bytes: digits,
        seconds: cost.seconds,
        memory_bytes: cost.memory_bytes,
        accepted: refusal.is_none(),
        refusal: refusal.map(|refusal| refusal.to_string()),
    }))
}

/// Reads a queue that there is.
pub(crate) async fn queue_of(web: &Web, name: &str) -> Result<QueueView, Problem> {
    let queues = web.client().await?.queues().await?;
    let found = queues.into_iter().find(|queue| queue.name == name);
    found.map(QueueView::from).ok_or_else(|| {
        let detail = format!("no queue is called {name:?}; /api/v1/queues lists all");
        Problem::new(Kind::NotFound, detail)
    })
}

/// Reads a limit; the field has to be there, so that nothing is taken away by an empty request.
fn rate_in(body: Value) -> Result<Option<Rate>, Problem> {
    const FORM: &str =
        "null, or starts from 1 and seconds from 0.1 to 31622400, such as {\"starts\": 100, \"seconds\": 60}";
    let mut fields = Fields::of("body", body)?;
    let rate = fields.read("rate", FORM, |value| {
        if value.is_null() {
            return Some(None);
        }
        // Both fields are asked for below, so that two fields are these and no unknown one.
        let rate = value.as_object().filter(|rate| rate.len() == 2)?;
        let starts = u32::try_from(rate.get("starts")?.as_u64()?).ok()?;
        let time = Duration::try_from_secs_f64(rate.get("seconds")?.as_f64()?).ok()?;
        // The column of the starts is an integer of 32 bits with a sign.
        let is_bounded = (Rate::SHORTEST..=Rate::LONGEST).contains(&time) && i32::try_from(starts).is_ok();
        (is_bounded && starts > 0).then(|| Some(Rate::new(starts, time)))
    })?;
    fields.end("rate")?;
    rate.ok_or_else(|| Problem::of_part("body.rate", format!("rate is missing; give {FORM}"), None))
}

impl From<QueueInfo> for QueueView {
    fn from(queue: QueueInfo) -> Self {
        Self {
            name: queue.name,
            paused: queue.paused,
            rate: queue.rate.map(|rate| RateView {
                starts: rate.starts,
                seconds: rate.seconds,
            }),
            concurrency: queue.concurrency,
            queued: queue.queued,
            running: queue.running,
        }
    }
}
