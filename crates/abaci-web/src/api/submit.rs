//! `POST /jobs`: one request, or a list of them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use durable_jobs::JobId;
use durable_jobs::client::{NewJob, SubmitOptions, Submitted, WaitEvent};
use durable_jobs::record::Batch;
use fibonacci_jobs::record::Entry;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::forms::{IndexBody, TagBody};
use super::options::{OptionParams, Options};
use crate::body::{JsonBody, short};
use crate::place::Params;
use crate::problem::{Kind, PartError, Problem, Refusals};
use crate::state::{Shared, Web};
use crate::views::{JobDetailView, QueuedView, SubmittedView, segment};

/// The header that names the job, or the batch of several.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header that says which preference was heeded.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest list.
pub(crate) const MAX_JOBS: usize = 10_000;

/// The number of refused entries that are told.
const MOST_ERRORS: usize = 20;

/// A number that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewJob)]
#[expect(dead_code, reason = "it describes what Entry reads")]
pub(super) struct EntryBody {
    n: IndexBody,
    /// The algorithm; absent for the one for this index.
    #[schema(pattern = "^(doubling|iterative|recursive|stepwise|giant)$")]
    algorithm: Option<String>,
    /// The id of the job: letters, digits and signs of ASCII.
    #[schema(required = false, min_length = 1, max_length = 128)]
    id: String,
    /// The rank in the queue: a lower number is started sooner, and 0 first of all.
    #[schema(required = false, maximum = 2_147_483_647)]
    priority: u32,
    /// Words that the job can be found by.
    #[schema(required = false)]
    tag: TagBody,
    /// The fault that it is to meet, where faults are enabled, with the algorithm stepwise.
    fault: Option<String>,
}

/// One request, or a list; a number alone asks for that index.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Submission)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) enum SubmissionBody {
    Index(u64),
    One(EntryBody),
    Several(Vec<OneBody>),
}

/// One request of a list.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = SubmissionEntry)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) enum OneBody {
    Index(u64),
    Entry(EntryBody),
}

/// Queues jobs. The same request again with the same `Idempotency-Key` answers the same and queues nothing twice.
///
/// `Prefer: wait=N` waits up to N seconds, at most 60, for the result of one job: the answer is then 200 with the job,
/// or 202 where the job goes on.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    tag = "jobs",
    security(("token" = [])),
    params(
        OptionParams,
        ("Idempotency-Key" = Option<String>, Header, description = "The id of the job, or of the batch of several"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` to wait N seconds for the result of one job"),
    ),
    request_body(content = SubmissionBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The job has ended in the time that was preferred", body = JobDetailView, headers(("Location" = String, description = "The path of the job"), ("Preference-Applied" = String, description = "The time that was waited at most"))),
        (status = 202, description = "The jobs are queued", body = SubmittedView, headers(("Location" = String, description = "The path of the only job, or of the list of the batch"))),
        Refusals
    )
)]
pub(super) async fn submit_jobs(
    State(web): State<Shared>,
    params: Params,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let options = Options::read(params, &headers)?;
    let mut submission = SubmittedJobs::read(body, &headers, &web)?;
    submission.queue(&web, &options).await?;
    let waited = match (options.wait, submission.jobs.as_slice()) {
        (Some(wait), [job]) if submission.batch.is_none() => ended(&web, &job.id, wait).await,
        _ => Waited::Not,
    };
    let has_waited = !matches!(waited, Waited::Not);
    let mut response = match waited {
        Waited::Ended(detail) => (StatusCode::OK, Json(detail)).into_response(),
        Waited::Not | Waited::Enough => (StatusCode::ACCEPTED, Json(submission.view())).into_response(),
    };
    let headers = response.headers_mut();
    headers.extend(
        submission
            .location()
            .parse()
            .ok()
            .map(|path| (header::LOCATION, path)),
    );
    if let Some(wait) = options.wait.filter(|_| has_waited) {
        let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
        headers.extend(applied.ok().map(|applied| (PREFERENCE_APPLIED, applied)));
    }
    Ok(response)
}

/// The outcome of a wait.
enum Waited {
    /// Nobody wanted to, or as many wait as may.
    Not,
    /// As long as was wanted.
    Enough,
    /// Until the end of the job.
    Ended(Box<JobDetailView>),
}

/// Waits for the end of a job. What fails meanwhile is no failure of the submission: the job is queued.
async fn ended(web: &Web, id: &JobId, wait: Duration) -> Waited {
    // Named, and so held to the end of the wait: `_` would give it back at once.
    let Ok(_place) = web.waits.try_acquire() else {
        return Waited::Not;
    };
    let Ok(client) = web.client().await else {
        return Waited::Not;
    };
    let mut waiter = client.wait([id.clone()]);
    let end = async {
        while let Some(event) = waiter.next().await {
            if matches!(event, WaitEvent::Finished(_)) {
                return true;
            }
        }
        false
    };
    match timeout(wait, end).await {
        Ok(true) => web
            .detail(id)
            .await
            .map_or(Waited::Enough, |detail| Waited::Ended(Box::new(detail))),
        _ => Waited::Enough,
    }
}

/// Jobs to be queued.
struct SubmittedJobs {
    jobs: Vec<NewJob>,
    batch: Option<Batch>,
    /// True if the batch was made for it.
    is_fresh: bool,
}

impl SubmittedJobs {
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
        Self::of(read, is_list, key.as_deref())
    }

    fn of(entries: Vec<Entry>, is_list: bool, key: Option<&str>) -> Result<Self, Problem> {
        let wrong_key = |message: String| Problem::of_part("header.Idempotency-Key", message, None);
        let (batch, is_fresh) = match (key, is_list) {
            (_, false) => (None, false),
            (None, true) => (Some(Batch::fresh()), true),
            (Some(key), true) => (
                Some(key.parse().map_err(|error| wrong_key(format!("{error}")))?),
                false,
            ),
        };
        // They follow from the batch and the place in the list: the same key again means the same jobs.
        let mut ids = batch.iter().flat_map(Batch::ids);
        let mut jobs = Vec::with_capacity(entries.len());
        for entry in entries {
            let given = match (key, is_list, entry.id) {
                (Some(_), false, Some(_)) => {
                    return Err(wrong_key(
                        "both the key and the field id name the job; give one".to_owned(),
                    ));
                }
                (Some(key), false, None) => Some(key.parse().map_err(|error| wrong_key(format!("{error}")))?),
                (_, _, id) => id,
            };
            // Also an entry with an id of its own takes its place, or those after it would move.
            let next = ids.next().unwrap_or_else(JobId::fresh);
            let mut job = entry.request.job_as(given.unwrap_or(next));
            job.priority = entry.priority.unwrap_or_default();
            job.tags = entry.tags;
            job.batch.clone_from(&batch);
            jobs.push(job);
        }
        // They borrow the batch, which moves below.
        drop(ids);
        Ok(Self {
            jobs,
            batch,
            is_fresh,
        })
    }
}

impl SubmittedJobs {
    /// Queues the jobs; under a key, the only one is from then on the job that holds it.
    async fn queue(&mut self, web: &Web, options: &Options) -> Result<(), Problem> {
        let submit = SubmitOptions {
            // No row can have the ids of a batch that was just made, so they are not looked for.
            has_fresh_batch: self.is_fresh,
            ..options.submit
        };
        let Some(key) = &options.dedup else {
            return Ok(web.client().await?.submit_all(&self.jobs, submit).await?);
        };
        let [job] = self.jobs.as_mut_slice() else {
            let message = format!("dedup is the key of one job, and there are {}", self.jobs.len());
            return Err(Problem::of_part(
                "query.dedup",
                message,
                Some(key.as_str().into()),
            ));
        };
        if let Submitted::Joined(holder) = web.client().await?.submit_once(job, key, submit).await? {
            job.id = holder;
        }
        Ok(())
    }

    /// The path of the only job, or of the list of the batch.
    fn location(&self) -> String {
        match (&self.batch, self.jobs.as_slice()) {
            (None, [job]) => href(&job.id),
            (Some(batch), _) => format!("/api/v1/jobs?batch={}", segment(batch.as_str())),
            (None, _) => "/api/v1/jobs".to_owned(),
        }
    }

    fn view(&self) -> SubmittedView {
        let jobs = self.jobs.iter().map(|job| QueuedView {
            id: job.id.to_string(),
            href: href(&job.id),
        });
        SubmittedView {
            batch: self.batch.as_ref().map(ToString::to_string),
            jobs: jobs.collect(),
        }
    }
}

fn href(id: &JobId) -> String {
    format!("/api/v1/jobs/{}", segment(id.as_str()))
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
