//! Looking at one job, and counting those that are there.

use std::collections::HashMap;

use dbos::sysdb::types::WorkflowRecord;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::job_row::Ending;
use super::{Client, probe, unreadable};
use crate::database::workflow_rows::{INPUTS, JOB, STEPS};
use crate::record::{JobDetail, JobId, JobSummary, StepRecord};
use crate::{Error, Reply};

/// The position before that of every step.
const FIRST: i32 = -1;

/// The numbers of jobs of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct QueueCounts {
    /// Waiting, delayed ones included.
    pub queued: u64,
    /// Claimed by a worker.
    pub running: u64,
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
    pub fn counts(&self) -> Reply<'_, QueueCounts> {
        Box::pin(async move {
            let status = probe::status(&self.database.pool, &self.queue, self.job_types.version());
            let status = self
                .database
                .bounded("counting jobs", self.timeout, status)
                .await?;
            Ok(QueueCounts {
                queued: status.queued,
                running: status.running,
            })
        })
    }

    /// Reads one job with its outcome and steps, however many.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreachable`] or [`Error::Database`].
    pub fn show<'a>(&'a self, id: &'a JobId) -> Reply<'a, JobDetail> {
        Box::pin(async move {
            let JobSummary {
                job,
                result,
                error,
                step_count: _,
            } = self.summary(id).await?;
            let steps = self.steps_after(id, FIRST, None).await?;
            Ok(JobDetail {
                job,
                result,
                error,
                steps,
            })
        })
    }

    /// Reads one job with its outcome and the number of its steps.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreachable`] or [`Error::Database`].
    pub fn summary<'a>(&'a self, id: &'a JobId) -> Reply<'a, JobSummary> {
        Box::pin(async move {
            let row = sqlx::query(JOB)
                .bind(id.as_str())
                .fetch_optional(&self.database.pool);
            let row = self.database.bounded("reading a job", self.timeout, row).await?;
            let row = row.ok_or_else(|| Error::NotFound { id: id.to_string() })?;
            self.summary_of(&row).map_err(|error| unreadable(&error))
        })
    }

    /// Reads up to `limit` of the recorded steps of a job that come after the one at a position, or the first ones.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreachable`] or [`Error::Database`].
    pub fn steps<'a>(&'a self, id: &'a JobId, after: Option<i32>, limit: u32) -> Reply<'a, Vec<StepRecord>> {
        Box::pin(async move {
            let steps = self.steps_after(id, after.unwrap_or(FIRST), Some(limit)).await?;
            if steps.is_empty() {
                // A job without steps and no job look the same here; the second is an error.
                self.summary(id).await?;
            }
            Ok(steps)
        })
    }

    fn summary_of(&self, row: &PgRow) -> Result<JobSummary, sqlx::Error> {
        let (result, error) = match Ending::of_row(row, row.try_get("output")?)?.outcome() {
            Some(Ok(result)) => (Some(result), None),
            Some(Err(failure)) => (None, Some(failure)),
            None => (None, None),
        };
        Ok(JobSummary {
            job: self.job_of(row)?,
            result,
            error,
            step_count: row.try_get::<i64, _>("steps")?.unsigned_abs(),
        })
    }

    /// The recorded steps of a job without what they returned, which may be megabytes.
    async fn steps_after(
        &self,
        id: &JobId,
        after: i32,
        limit: Option<u32>,
    ) -> Result<Vec<StepRecord>, Error> {
        let steps = sqlx::query(STEPS)
            .bind(id.as_str())
            .bind(after)
            .bind(limit.map(i64::from))
            .fetch_all(&self.database.pool);
        let steps = self
            .database
            .bounded("reading the steps of a job", self.timeout, steps)
            .await?;
        let steps: Result<_, _> = steps.iter().map(step_of).collect();
        steps.map_err(|error| unreadable(&error))
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
