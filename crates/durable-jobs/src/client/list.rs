//! Looking at jobs and cancelling them.

use std::collections::{HashMap, HashSet};

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{Timestamp, WorkflowRecord, WorkflowStatus};
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::new_job::attributes_of;
use super::{Client, probe};
use crate::Error;
use crate::database::workflow_rows::{INPUTS, STEPS};
use crate::record::{
    Batch, Failure, FailureKind, Job, JobDetail, JobId, JobOutput, Label, State, StepRecord,
};

/// The number of jobs that one statement cancels.
const CANCELLED_AT_ONCE: usize = 500;

/// Which jobs to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only these states; empty for all.
    pub states: Vec<State>,
    /// Only jobs whose id begins so; absent for all.
    pub id_prefix: Option<String>,
    /// Only jobs of this batch; absent for all.
    pub batch: Option<Batch>,
    /// Only jobs that have all of these tags.
    pub tags: Vec<Label>,
    /// At most this many; absent for all.
    pub limit: Option<u32>,
}

/// The numbers of jobs of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct QueueCounts {
    /// Waiting, delayed ones included.
    pub queued: u64,
    /// Claimed by a worker.
    pub running: u64,
}

/// The outcome of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It is cancelled now; a running computation stops within 0.5 s.
    Cancelled,
    /// It had ended before.
    AlreadyFinal(State),
    /// No such job.
    NotFound,
}

impl Client {
    /// The inputs of rows, but for those that are too long to be a request.
    pub(super) async fn inputs_of(
        &self,
        rows: &[WorkflowRecord],
    ) -> Result<HashMap<String, String>, sqlx::Error> {
        let ids: Vec<&str> = rows.iter().map(|row| row.workflow_id.as_str()).collect();
        let inputs = sqlx::query(INPUTS);
        let inputs = inputs.bind(ids).fetch_all(&self.database.pool).await?;
        inputs
            .iter()
            .map(|row| Ok((row.try_get("workflow_uuid")?, row.try_get("inputs")?)))
            .collect()
    }

    /// Reads the inputs of those rows whose own column has none.
    pub(super) async fn restore_inputs(&self, rows: &mut [WorkflowRecord]) -> Result<(), Error> {
        if rows.iter().all(|row| row.input.is_some()) {
            return Ok(());
        }
        let inputs = self.inputs_of(rows);
        let mut inputs = self
            .database
            .bounded("reading requests", self.timeout, inputs)
            .await?;
        for row in rows.iter_mut().filter(|row| row.input.is_none()) {
            row.input = inputs.remove(&row.workflow_id);
        }
        Ok(())
    }

    /// Counts the jobs of the queue that have not ended.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub async fn counts(&self) -> Result<QueueCounts, Error> {
        let status = probe::status(&self.database.pool, &self.queue, self.job_types.version());
        let status = self
            .database
            .bounded("counting jobs", self.timeout, status)
            .await?;
        Ok(QueueCounts {
            queued: status.queued,
            running: status.running,
        })
    }

    /// Reads one job with its outcome and steps.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreachable`] or [`Error::Database`].
    pub async fn show(&self, id: &JobId) -> Result<JobDetail, Error> {
        let row = self.database.engine.get_workflow(id.as_str());
        let row = self.database.bounded("reading a job", self.timeout, row).await?;
        let mut row = row.ok_or_else(|| Error::NotFound { id: id.to_string() })?;
        self.restore_queues([&mut row]).await?;
        self.restore_inputs(std::slice::from_mut(&mut row)).await?;
        let steps = self
            .database
            .bounded("reading the steps of a job", self.timeout, self.steps_of(id))
            .await?;
        let ended = ended(&row);
        let (result, error) = match ended {
            Some(Ok(result)) => (Some(result), None),
            Some(Err(failure)) => (None, Some(failure)),
            None => (None, None),
        };
        Ok(JobDetail {
            job: self.job_of(&row),
            result,
            error,
            steps,
        })
    }

    /// The recorded steps of a job without what they returned, which may be megabytes.
    async fn steps_of(&self, id: &JobId) -> Result<Vec<StepRecord>, sqlx::Error> {
        let steps = sqlx::query(STEPS);
        let steps = steps.bind(id.as_str()).fetch_all(&self.database.pool).await?;
        steps.iter().map(step_of).collect()
    }

    /// Cancels those of the jobs that have not ended, and returns them; what was cancelled before an error stays so.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub async fn cancel_all(&self, jobs: &[JobId]) -> Result<HashSet<JobId>, Error> {
        let mut cancelled = HashSet::new();
        for some in jobs.chunks(CANCELLED_AT_ONCE) {
            let ids: Vec<&str> = some.iter().map(JobId::as_str).collect();
            let cancel = self.database.engine.cancel_workflows(&ids, false, None);
            let done = self.database.bounded("cancelling jobs", self.timeout, cancel);
            cancelled.extend(done.await?.into_iter().map(JobId::new));
        }
        Ok(cancelled)
    }

    /// Cancels a job wherever it is.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub async fn cancel(&self, id: &JobId) -> Result<CancelOutcome, Error> {
        let ids = [id.as_str()];
        let cancel = self.database.engine.cancel_workflows(&ids, false, None);
        let cancelled = self
            .database
            .bounded("cancelling a job", self.timeout, cancel)
            .await?;
        if !cancelled.is_empty() {
            return Ok(CancelOutcome::Cancelled);
        }
        match self.show(id).await {
            Ok(detail) => Ok(CancelOutcome::AlreadyFinal(detail.job.state)),
            Err(Error::NotFound { .. }) => Ok(CancelOutcome::NotFound),
            Err(error) => Err(error),
        }
    }
}

impl ListFilter {
    /// Returns the attributes that a row must have, as JSON that an index finds; absent for any.
    pub(super) fn attributes(&self) -> Option<String> {
        attributes_of(&self.tags, self.batch.as_ref())
    }

    /// Tests whether the states asked for can only be told apart by the recorded failure.
    pub(super) fn needs_failure(&self) -> bool {
        self.states
            .iter()
            .any(|state| matches!(state, State::Failed | State::Parked))
    }
}

impl Client {
    pub(super) fn job_of(&self, row: &WorkflowRecord) -> Job {
        let input = row.input.as_deref();
        let input = input.and_then(|input| serde_json::from_str::<Value>(input).ok());
        let workflow = workflow_of(row);
        let details = self.job_types.details(&workflow, input.as_ref());
        let attributes = Attributes::of(row.attributes.as_deref());
        Job {
            workflow_id: JobId::new(&row.workflow_id),
            state: state_of(row),
            workflow,
            details,
            queue: row.queue_name.clone(),
            executor_id: row.executor_id.clone(),
            application_version: row.application_version.clone(),
            priority: row.priority.max(0).unsigned_abs(),
            tags: attributes.tags,
            batch: attributes.batch,
            attempts: u32::try_from(row.recovery_attempts).unwrap_or(u32::MAX),
            created_at_ms: row.created_at.as_epoch_ms(),
            started_at_ms: row.started_at.map(Timestamp::as_epoch_ms),
            completed_at_ms: row.completed_at.map(Timestamp::as_epoch_ms),
            delayed_until_ms: row.delay_until.map(Timestamp::as_epoch_ms),
        }
    }
}

/// The attributes of a row that are ours, among those that another client may have given it.
#[derive(Default)]
struct Attributes {
    tags: Vec<Label>,
    batch: Option<Batch>,
}

impl Attributes {
    fn of(recorded: Option<&str>) -> Self {
        let value: Value = recorded
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let tags = value.get("tags").and_then(Value::as_array).map(Vec::as_slice);
        let tags = tags.unwrap_or_default().iter().filter_map(Value::as_str);
        Self {
            tags: tags.map(Label::of_row).collect(),
            batch: value.get("batch").and_then(Value::as_str).map(Batch::of_row),
        }
    }
}

/// The outcome that a row holds, once it holds one.
pub(super) fn ended(row: &WorkflowRecord) -> Option<Result<JobOutput, Failure>> {
    match row.status {
        WorkflowStatus::Success => Some(JobOutput::of_row(row.output.as_deref())),
        WorkflowStatus::Error => Some(Err(failure_of(row.error.as_deref()))),
        WorkflowStatus::Cancelled => Some(Err(Failure::terminal(
            "Cancelled",
            "the job was cancelled, by someone or by its timeout",
        ))),
        WorkflowStatus::MaxRecoveryAttemptsExceeded => Some(Err(Failure::parked(
            "Poison",
            format!("the job was started {} times", row.recovery_attempts),
        ))),
        WorkflowStatus::Pending | WorkflowStatus::Enqueued | WorkflowStatus::Delayed => None,
    }
}

/// The name of a row's workflow, with the class and the instance that other clients may give it: no type of ours has any.
pub(super) fn workflow_of(row: &WorkflowRecord) -> String {
    let parts = [&row.class_name, &row.config_name, &row.name];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join(".")
}

/// The state of a row; a failed one needs its failure to be told from a parked one.
pub(super) fn state_of(row: &WorkflowRecord) -> State {
    match row.status {
        WorkflowStatus::Pending => State::Running,
        WorkflowStatus::Enqueued => State::Queued,
        WorkflowStatus::Delayed => State::Delayed,
        WorkflowStatus::Success => State::Succeeded,
        WorkflowStatus::Cancelled => State::Cancelled,
        WorkflowStatus::MaxRecoveryAttemptsExceeded => State::Parked,
        WorkflowStatus::Error => match failure_of(row.error.as_deref()).data.kind {
            FailureKind::Parked => State::Parked,
            FailureKind::Retryable | FailureKind::Terminal => State::Failed,
        },
    }
}

pub(super) fn statuses_of(state: State) -> &'static [WorkflowStatus] {
    match state {
        State::Queued => &[WorkflowStatus::Enqueued],
        State::Delayed => &[WorkflowStatus::Delayed],
        State::Running => &[WorkflowStatus::Pending],
        State::Succeeded => &[WorkflowStatus::Success],
        State::Failed => &[WorkflowStatus::Error],
        State::Parked => &[WorkflowStatus::Error, WorkflowStatus::MaxRecoveryAttemptsExceeded],
        State::Cancelled => &[WorkflowStatus::Cancelled],
    }
}

fn step_of(row: &PgRow) -> Result<StepRecord, sqlx::Error> {
    Ok(StepRecord {
        id: row.try_get("function_id")?,
        name: row.try_get("function_name")?,
        started_at_ms: row.try_get("started_at_epoch_ms")?,
        completed_at_ms: row.try_get("completed_at_epoch_ms")?,
        error: row.try_get("error")?,
    })
}

/// Reads a failure in our form, in the engine's own, or in whatever form another client wrote.
fn failure_of(error: Option<&str>) -> Failure {
    let text = error.unwrap_or_default();
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let inner = value.get("Application").unwrap_or(&value);
    serde_json::from_value(inner.clone()).unwrap_or_else(|_| {
        let named = |field| inner.get(field).and_then(Value::as_str);
        Failure::terminal(
            named("name").unwrap_or("Failed"),
            named("message").unwrap_or(text),
        )
    })
}
