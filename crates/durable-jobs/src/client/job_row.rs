//! Rows as jobs.

use dbos::sysdb::types::{WorkflowRecord, WorkflowStatus};
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Client;
use crate::record::{Attributes, Failure, FailureKind, Job, JobId, JobOutput, State};

/// The failure of a job whose row nobody understands.
const UNKNOWN_STATUS: &str = "its status in the database is none that this program knows";

/// The end of a job as its row tells it.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) status: WorkflowStatus,
    pub(super) output: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) attempts: i64,
}

impl Client {
    /// Reads a row of [`crate::database::workflow_rows::page`].
    pub(super) fn job_of(&self, row: &PgRow) -> Result<Job, sqlx::Error> {
        let workflow: String = row.try_get("workflow")?;
        let input: Option<&str> = row.try_get("input")?;
        let input = input.and_then(|input| serde_json::from_str::<Value>(input).ok());
        let attributes = Attributes::of_row(row.try_get("attributes")?);
        let ending = Ending::of_row(row, None)?;
        let priority: i32 = row.try_get("priority")?;
        Ok(Job {
            workflow_id: JobId::new(row.try_get::<String, _>("workflow_uuid")?),
            state: ending.state(),
            details: self.job_types.details(&workflow, input.as_ref()),
            workflow,
            queue: row.try_get("queue")?,
            executor_id: row.try_get("executor_id")?,
            application_version: row.try_get("application_version")?,
            priority: priority.max(0).unsigned_abs(),
            tags: attributes.tags,
            batch: attributes.batch,
            attempts: u32::try_from(ending.attempts.max(0)).unwrap_or(u32::MAX),
            created_at_ms: row.try_get("created_at")?,
            started_at_ms: row.try_get("started_at_epoch_ms")?,
            completed_at_ms: row.try_get("completed_at")?,
            delayed_until_ms: row.try_get("delay_until_epoch_ms")?,
        })
    }
}

impl<'a> Ending<'a> {
    /// Reads a row of ours, whose output may have been left in the database.
    pub(super) fn of_row(row: &'a PgRow, output: Option<&'a str>) -> Result<Self, sqlx::Error> {
        let status: Option<&str> = row.try_get("status")?;
        // One such row is no reason to show none of the others.
        let (status, error) = match status.and_then(WorkflowStatus::parse) {
            Some(status) => (status, row.try_get("error")?),
            None => (WorkflowStatus::Error, Some(UNKNOWN_STATUS)),
        };
        Ok(Self {
            status,
            output,
            error,
            attempts: row.try_get("attempts")?,
        })
    }

    /// Reads a row of the engine's.
    pub(super) fn of_record(row: &'a WorkflowRecord) -> Self {
        Self {
            status: row.status,
            output: row.output.as_deref(),
            error: row.error.as_deref(),
            attempts: row.recovery_attempts,
        }
    }

    /// The state; a failed job needs its failure to be told from a parked one.
    pub(super) fn state(self) -> State {
        match self.status {
            WorkflowStatus::Pending => State::Running,
            WorkflowStatus::Enqueued => State::Queued,
            WorkflowStatus::Delayed => State::Delayed,
            WorkflowStatus::Success => State::Succeeded,
            WorkflowStatus::Cancelled => State::Cancelled,
            WorkflowStatus::MaxRecoveryAttemptsExceeded => State::Parked,
            WorkflowStatus::Error => match failure_of(self.error).data.kind {
                FailureKind::Parked => State::Parked,
                FailureKind::Retryable | FailureKind::Terminal => State::Failed,
            },
        }
    }

    /// The outcome, once there is one.
    pub(super) fn outcome(self) -> Option<Result<JobOutput, Failure>> {
        match self.status {
            WorkflowStatus::Success => Some(JobOutput::of_row(self.output)),
            WorkflowStatus::Error => Some(Err(failure_of(self.error))),
            WorkflowStatus::Cancelled => Some(Err(Failure::terminal(
                "Cancelled",
                "the job was cancelled, by someone or by its timeout",
            ))),
            WorkflowStatus::MaxRecoveryAttemptsExceeded => Some(Err(Failure::parked(
                "Poison",
                format!("the job was started {} times", self.attempts),
            ))),
            WorkflowStatus::Pending | WorkflowStatus::Enqueued | WorkflowStatus::Delayed => None,
        }
    }
}

/// The name of a row's workflow, with the class and the instance that other clients may give it: no type of ours has any.
pub(super) fn workflow_of(row: &WorkflowRecord) -> String {
    let parts = [&row.class_name, &row.config_name, &row.name];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join(".")
}

/// Reads a failure in our form, in the engine's own, or in whatever form another client wrote.
pub(super) fn failure_of(error: Option<&str>) -> Failure {
    let text = error.unwrap_or_default();
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    // Where the engine records a body's failure, it is a variant of the engine's own error.
    let inner = value.get("Application").unwrap_or(&value);
    serde_json::from_value(inner.clone()).unwrap_or_else(|_| {
        let named = |field| inner.get(field).and_then(Value::as_str);
        Failure::terminal(
            named("name").unwrap_or("Failed"),
            named("message").unwrap_or(text),
        )
    })
}
