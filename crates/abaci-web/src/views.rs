//! The JSON of answers.

use durable_jobs::client::Waiting;
use durable_jobs::presence::{LastExit, Liveness, Presence};
use durable_jobs::record::{Details, Job, JobSummary, RunningJob};
use durable_jobs::{Failure, State};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The characters that mean something in a URL.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct JobView {
    /// The id.
    pub(crate) id: String,
    /// `queued`, `delayed`, `running`, `succeeded`, `failed`, `parked` or `cancelled`.
    #[schema(value_type = String)]
    pub(crate) state: State,
    /// The workflow that it runs.
    pub(crate) workflow: String,
    /// The request, such as `n` and `algorithm`; empty where it cannot be read or the type is not known here.
    #[schema(value_type = Object)]
    pub(crate) input: Map<String, Value>,
    /// The queue that it waits in or came from.
    pub(crate) queue: Option<String>,
    /// The worker that has or had it.
    pub(crate) executor: Option<String>,
    /// The version of the steps that it needs.
    pub(crate) version: Option<String>,
    /// Its rank in the queue: a lower number is claimed sooner.
    pub(crate) priority: u32,
    /// Words that it was submitted with.
    pub(crate) tags: Vec<String>,
    /// The jobs that it was submitted with.
    pub(crate) batch: Option<String>,
    /// The number of its starts since it was submitted or last resumed.
    pub(crate) attempts: u32,
    /// When it was submitted.
    pub(crate) created_at_ms: i64,
    /// When it was last started.
    pub(crate) started_at_ms: Option<i64>,
    /// When its outcome was recorded.
    pub(crate) completed_at_ms: Option<i64>,
    /// When its delay ends or ended.
    pub(crate) delayed_until_ms: Option<i64>,
}

/// A job with its outcome, and what it is at.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct JobDetailView {
    #[serde(flatten)]
    pub(crate) job: JobView,
    /// Why it waits; absent unless it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) waiting: Option<Value>,
    /// The last word of its worker about it; absent unless it runs and its worker said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<ProgressView>,
    /// The recorded output; absent unless it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<Value>,
    /// Why it has no value; absent unless it ended without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<FailureView>,
    /// The number of its recorded steps.
    pub(crate) steps: u64,
}

/// The last word of a worker about a job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProgressView {
    /// The id of the job.
    pub(crate) id: String,
    /// Which start of the job this is, from 1.
    pub(crate) attempt: Option<u32>,
    /// The step that runs.
    pub(crate) step: Option<String>,
    /// The share of that step that is computed, from 0 to 1.
    pub(crate) share: Option<f64>,
    /// `computing`, or `writing` once all is computed.
    pub(crate) phase: Option<String>,
    /// The number of bytes that are written.
    pub(crate) bytes: Option<u64>,
    /// The time that the job has been in hand.
    pub(crate) seconds: f64,
}

/// Why a job has no value.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FailureView {
    /// The type of the failure in one word, such as `InvalidRequest`.
    pub(crate) name: String,
    /// One line.
    pub(crate) message: String,
    /// The attempt that failed, from 1; 0 where nothing was attempted.
    pub(crate) attempt: u32,
}

/// Jobs that were queued.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SubmittedView {
    /// The batch of several jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<String>,
    /// The jobs, in the order in which they were given.
    pub(crate) jobs: Vec<QueuedView>,
}

/// A job that was queued.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct QueuedView {
    /// The id.
    pub(crate) id: String,
    /// The path of the job.
    pub(crate) href: String,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            id: job.workflow_id.to_string(),
            state: job.state,
            workflow: job.workflow,
            input: fields_of(&job.details),
            queue: job.queue,
            executor: job.executor_id,
            version: job.application_version,
            priority: job.priority,
            tags: job.tags.iter().map(ToString::to_string).collect(),
            batch: job.batch.map(|batch| batch.to_string()),
            attempts: job.attempts,
            created_at_ms: job.created_at_ms,
            started_at_ms: job.started_at_ms,
            completed_at_ms: job.completed_at_ms,
            delayed_until_ms: job.delayed_until_ms,
        }
    }
}

impl JobDetailView {
    pub(crate) fn new(summary: JobSummary, waiting: Option<&Waiting>, progress: Option<&RunningJob>) -> Self {
        let result = summary.result.as_ref().and_then(|result| result.read().ok());
        Self {
            job: summary.job.into(),
            waiting: waiting.and_then(|waiting| serde_json::to_value(waiting).ok()),
            progress: progress.map(ProgressView::from),
            result,
            error: summary.error.map(FailureView::from),
            steps: summary.step_count,
        }
    }
}

impl From<&RunningJob> for ProgressView {
    fn from(job: &RunningJob) -> Self {
        Self {
            id: job.workflow_id.clone(),
            attempt: job.attempt,
            step: job.step.clone(),
            share: job.progress,
            phase: job.phase.clone(),
            bytes: job.bytes,
            seconds: job.seconds,
        }
    }
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        Self {
            name: failure.name,
            message: failure.message,
            attempt: failure.data.attempt,
        }
    }
}

/// Returns the fields of a job's input; those of one that cannot be read are null, and left out.
pub(crate) fn fields_of(details: &Details) -> Map<String, Value> {
    // Details are always an object; the other arm is for the compiler.
    let mut fields = match serde_json::to_value(details) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.retain(|_, value| !value.is_null());
    fields
}

/// Writes a text as one segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A worker of any host.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct WorkerView {
    /// `<host>/<slot>`.
    pub(crate) executor: String,
    pub(crate) host: String,
    /// Its process on that host.
    pub(crate) pid: u32,
    /// `idle`, `busy`, `draining`, `silent` for one that has missed its heartbeats, or `gone`.
    pub(crate) state: &'static str,
    pub(crate) queue: String,
    /// The version of the steps that it runs.
    pub(crate) version: String,
    /// The jobs that it runs at once.
    pub(crate) slots: u32,
    /// The age of its last heartbeat.
    pub(crate) heartbeat_age_seconds: f64,
    /// The jobs that it has had in hand for a while.
    pub(crate) running: Vec<ProgressView>,
    /// The end of the process that worked there before; absent where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) last_exit: Option<LastExitView>,
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = LastExit)]
pub(crate) struct LastExitView {
    pub(crate) pid: u32,
    /// The signal, such as `SIGKILL`, or the exit code, and the reason as far as it is known.
    pub(crate) how: String,
    pub(crate) at_ms: i64,
}

impl From<&LastExit> for LastExitView {
    fn from(exit: &LastExit) -> Self {
        Self {
            pid: exit.pid,
            how: exit.how.clone(),
            at_ms: exit.at_ms,
        }
    }
}

impl From<&Presence> for WorkerView {
    fn from(worker: &Presence) -> Self {
        let running: Vec<ProgressView> = worker.running.iter().map(ProgressView::from).collect();
        let state = match worker.liveness() {
            Liveness::Gone => "gone",
            Liveness::Silent => "silent",
            // A lost session comes back within seconds and by itself, so it has no word of its own.
            Liveness::Connected | Liveness::Reconnecting if worker.draining => "draining",
            Liveness::Connected | Liveness::Reconnecting if running.is_empty() => "idle",
            Liveness::Connected | Liveness::Reconnecting => "busy",
        };
        Self {
            executor: worker.executor_id.clone(),
            host: worker.host.clone(),
            pid: worker.pid,
            state,
            queue: worker.queue.clone(),
            version: worker.application_version.clone(),
            slots: worker.concurrency,
            heartbeat_age_seconds: worker.heartbeat_age_seconds,
            running,
            last_exit: worker.last_exit.as_ref().map(LastExitView::from),
        }
    }
}
