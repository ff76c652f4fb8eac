//! `POST /jobs`: one request, or a list of them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use durable_jobs::JobId;
use durable_jobs::client::{NewJob, SubmitOptions};
use durable_jobs::record::{Batch, shorten};
use fibonacci_jobs::record::Entry;
use serde_json::Value;
use utoipa::ToSchema;

use crate::body::JsonBody;
use crate::problem::{Kind, PartError, Problem};
use crate::state::{Shared, Web};
use crate::views::{QueuedView, SubmittedView, segment};

/// The header that names the job, or the batch of several.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest list.
const MAX_JOBS: usize = 10_000;

/// The number of refused entries that are told.
const MOST_ERRORS: usize = 20;

/// A number that is asked for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what Entry reads")]
pub(super) struct EntryBody {
    /// The index.
    n: u64,
    /// `doubling`, `iterative`, `recursive`, `stepwise` or `giant`; absent for the one for this index.
    algorithm: Option<String>,
    /// The id of the job: up to 128 letters, digits and signs of ASCII.
    id: Option<String>,
    /// The rank in the queue: a lower number is started sooner, and 0 first of all.
    #[schema(maximum = 2_147_483_647)]
    priority: Option<u32>,
    /// Words that the job can be found by.
    tag: Option<Vec<String>>,
}

/// One request, or a list.
#[derive(ToSchema)]
#[schema(title = "Submission")]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) enum SubmissionBody {
    #[schema(title = "One")]
    One(EntryBody),
    #[schema(title = "Several")]
    Several(Vec<EntryBody>),
}

/// Queues jobs. The same request again with the same `Idempotency-Key` answers the same and queues nothing twice.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    tag = "jobs",
    security(("token" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The id of the job, or of the batch of several"),
    ),
    request_body(content = EntryBody, content_type = "application/json"),
    responses(
        (status = 202, description = "The jobs are queued", body = SubmittedView, headers(("Location" = String, description = "The path of the only job, or of the list of the batch"))),
        (status = 422, description = "Something is refused, and nothing is queued", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A refusal or a failure", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn submit_jobs(
    State(web): State<Shared>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let submission = Submission::read(body, &headers, &web)?;
    let client = web.client().await?;
    let options = SubmitOptions {
        has_fresh_batch: submission.is_fresh,
        ..SubmitOptions::default()
    };
    client.submit_all(&submission.jobs, options).await?;
    Ok(submission.into_response())
}

/// Jobs to be queued.
struct Submission {
    jobs: Vec<NewJob>,
    batch: Option<Batch>,
    /// True if the batch was made for it.
    is_fresh: bool,
}

impl Submission {
    fn read(body: Value, headers: &HeaderMap, web: &Web) -> Result<Self, Problem> {
        let key = key_in(headers)?;
        let is_list = body.is_array();
        let entries = match body {
            Value::Array(entries) => entries,
            one => vec![one],
        };
        if entries.is_empty() {
            return Err(Problem::of_part(
                "body",
                "the list is empty; give at least one request",
                None,
            ));
        }
        if entries.len() > MAX_JOBS {
            let message = format!(
                "{} requests are too many; send {MAX_JOBS} at a time",
                entries.len()
            );
            return Err(Problem::of_part("body", message, None));
        }
        let (mut refused, mut read) = (Vec::new(), Vec::new());
        for (position, entry) in entries.into_iter().enumerate() {
            let place = if is_list {
                format!("body[{position}]")
            } else {
                "body".to_owned()
            };
            match read_entry(entry, &place, web) {
                Ok(entry) => read.push(entry),
                Err(error) => refused.push(error),
            }
        }
        if let Some(first) = refused.first() {
            let detail = match refused.len() {
                1 => first.message.clone(),
                count => format!("{count} requests are refused, the first since {}", first.message),
            };
            refused.truncate(MOST_ERRORS);
            return Err(Problem {
                errors: refused,
                ..Problem::new(Kind::Invalid, detail)
            });
        }
        Self::of(read, is_list, key)
    }

    fn of(entries: Vec<Entry>, is_list: bool, key: Option<String>) -> Result<Self, Problem> {
        let wrong_key = |message: String| Problem::of_part("header.Idempotency-Key", message, None);
        let (batch, is_fresh) = match (&key, is_list) {
            (_, false) => (None, false),
            (None, true) => (Some(Batch::fresh()), true),
            (Some(key), true) => (
                Some(key.parse().map_err(|error| wrong_key(format!("{error}")))?),
                false,
            ),
        };
        let mut ids = batch.iter().flat_map(Batch::ids);
        let mut jobs = Vec::with_capacity(entries.len());
        for entry in entries {
            let given = match (&key, is_list, entry.id) {
                (Some(_), false, Some(_)) => {
                    return Err(wrong_key(
                        "both the key and the field id name the job; give one".to_owned(),
                    ));
                }
                (Some(key), false, None) => Some(key.parse().map_err(|error| wrong_key(format!("{error}")))?),
                (_, _, id) => id,
            };
            let next = ids.next().unwrap_or_else(JobId::fresh);
            let mut job = entry.request.job_as(given.unwrap_or(next));
            job.priority = entry.priority.unwrap_or_default();
            job.tags = entry.tags;
            job.batch.clone_from(&batch);
            jobs.push(job);
        }
        drop(ids);
        Ok(Self {
            jobs,
            batch,
            is_fresh,
        })
    }
}

impl IntoResponse for Submission {
    fn into_response(self) -> Response {
        let href = |id: &JobId| format!("/api/v1/jobs/{}", segment(id.as_str()));
        let location = match (&self.batch, self.jobs.as_slice()) {
            (None, [job]) => href(&job.id),
            (Some(batch), _) => format!("/api/v1/jobs?batch={}", segment(batch.as_str())),
            (None, _) => "/api/v1/jobs".to_owned(),
        };
        let view = SubmittedView {
            batch: self.batch.as_ref().map(ToString::to_string),
            jobs: self
                .jobs
                .iter()
                .map(|job| QueuedView {
                    id: job.id.to_string(),
                    href: href(&job.id),
                })
                .collect(),
        };
        let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

fn read_entry(entry: Value, place: &str, web: &Web) -> Result<Entry, PartError> {
    let given = entry.clone();
    let read = match entry {
        Value::Object(fields) => Entry::from_fields(fields, None),
        other => Entry::read(&other.to_string(), None),
    };
    let read = read.and_then(|entry| match web.limits.check(&entry.request) {
        Ok(()) => Ok(entry),
        Err(error) => Err((&error).into()),
    });
    read.map_err(|error| PartError {
        location: error
            .field
            .map_or_else(|| place.to_owned(), |field| format!("{place}.{field}")),
        value: error.field.and_then(|field| given.get(field)).map(short),
        message: error.message,
    })
}

/// Shows a value as it was given, unless it is long.
fn short(value: &Value) -> Value {
    match value {
        Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
        Value::String(text) => Value::String(shorten(text)),
        other => Value::String(shorten(&other.to_string())),
    }
}

fn key_in(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let wrong = || {
        let message = "the key is not text of ASCII; give an id of up to 128 letters, digits and signs";
        Problem::of_part("header.Idempotency-Key", message, None)
    };
    // The draft of the header has it in quotes.
    let text = key.to_str().map_err(|_| wrong())?.trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(quoted.unwrap_or(text).to_owned()))
}
