//! Submission: one row per job, written once whatever is retried.

use std::collections::HashMap;
use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{NewWorkflow, Submission, WorkflowFilter};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tracing::debug;

use super::Client;
use crate::record::{JobId, Request, RequestError};
use crate::worker::CHANNEL;
use crate::{APPLICATION_VERSION, Error, FIBONACCI_WORKFLOW};

/// How many rows are written at once: enough to share the commits, not enough to disturb.
const PARALLEL: usize = 4;

/// The shortest timeout of a job: the database counts milliseconds.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest timeout of a job: a hundred years.
const MAX_TIMEOUT: Duration = Duration::from_hours(100 * 366 * 24);

/// Up to this many jobs are written a millisecond apart, which keeps their order and takes a fifth of a second.
const PACED: usize = 100;

/// How a row's input is written: plain JSON, which every reader of the schema understands.
const SERIALIZATION: &str = "rust_serde";

/// How a job is submitted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubmitOptions {
    /// How long the job may take from its first start, over restarts; it is cancelled after that.
    pub timeout: Option<Duration>,
}

impl SubmitOptions {
    /// Refuses a timeout that no clock can hold, and one that ends the job before it begins.
    fn check(&self) -> Result<(), RequestError> {
        match self.timeout {
            Some(timeout) if timeout < MIN_TIMEOUT || timeout > MAX_TIMEOUT => Err(RequestError::Timeout),
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Submits one job under a fresh id.
    ///
    /// # Errors
    /// [`Error::Request`] when the request is refused (nothing is queued); [`Error::Unreachable`] or
    /// [`Error::Database`] when the database could not be asked.
    pub async fn submit(&self, request: Request) -> Result<JobId, Error> {
        let id = JobId::fresh();
        self.submit_all(&[(id.clone(), request)], SubmitOptions::default())
            .await?;
        Ok(id)
    }

    /// Submits jobs under the ids given; submitting the same again changes nothing.
    ///
    /// Up to a hundred are queued in the order given; of more, those of the same millisecond may change places.
    ///
    /// Every request is checked before the first is queued.
    ///
    /// # Errors
    /// As [`Client::submit`], and [`Error::IdTaken`] when an id names a job that asks for something else.
    /// After an error of the database some of the jobs may be queued: the same call again completes them.
    pub async fn submit_all(&self, jobs: &[(JobId, Request)], options: SubmitOptions) -> Result<(), Error> {
        for (_, request) in jobs {
            self.limits.check(request)?;
        }
        options.check()?;
        if jobs.is_empty() {
            return Ok(());
        }
        self.refuse_taken(jobs).await?;
        stream::iter(jobs)
            .then(|job| async move {
                if jobs.len() <= PACED {
                    next_millisecond().await;
                }
                job
            })
            .map(|(id, request)| self.enqueue(id, request, options))
            .buffered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
        self.announce().await;
        Ok(())
    }

    /// Tells workers that there is something to claim. They would find it by themselves, a poll later.
    async fn announce(&self) {
        let announce = sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(&self.queue)
            .execute(&self.database.pool);
        if let Err(error) = self
            .database
            .bounded("announcing jobs", self.timeout, announce)
            .await
        {
            debug!(%error, "could not announce the jobs");
        }
    }

    async fn enqueue(&self, id: &JobId, request: &Request, options: SubmitOptions) -> Result<(), Error> {
        let input = serde_json::to_string(request).map_err(|error| Error::Database {
            operation: "writing a request",
            reason: error.to_string(),
        })?;
        let row = NewWorkflow {
            name: Some(FIBONACCI_WORKFLOW),
            input: Some(&input),
            serialization: Some(SERIALIZATION),
            queue_name: Some(&self.queue),
            timeout: options.timeout,
            application_version: Some(APPLICATION_VERSION),
            ..NewWorkflow::new(id.as_str())
        };
        let write = self
            .database
            .engine
            .init_workflow(&row, None, Submission::Fresh, None);
        self.database
            .bounded("submitting a job", self.timeout, write)
            .await
            .map(drop)
    }

    /// Refuses ids that name jobs which ask for something else; the engine would silently join them.
    async fn refuse_taken(&self, jobs: &[(JobId, Request)]) -> Result<(), Error> {
        let mut asked: HashMap<&str, Request> = HashMap::with_capacity(jobs.len());
        for (id, request) in jobs {
            if asked
                .insert(id.as_str(), *request)
                .is_some_and(|other| other != *request)
            {
                return Err(Error::IdTaken { id: id.to_string() });
            }
        }
        let filter = WorkflowFilter {
            workflow_ids: jobs.iter().map(|(id, _)| id.as_str()).collect(),
            load_input: true,
            load_output: false,
            ..WorkflowFilter::default()
        };
        let rows = self.database.engine.list_workflows(&filter, None);
        let rows = self
            .database
            .bounded("looking for jobs of the same id", self.timeout, rows)
            .await?;
        for row in rows {
            let stored = row
                .input
                .as_deref()
                .and_then(|input| serde_json::from_str::<Value>(input).ok());
            let stored = stored.and_then(|input| Request::decode(&input).ok());
            if stored != asked.get(row.workflow_id.as_str()).copied()
                || row.name.as_deref() != Some(FIBONACCI_WORKFLOW)
            {
                return Err(Error::IdTaken { id: row.workflow_id });
            }
        }
        Ok(())
    }
}

/// Lets a millisecond pass: the queue is ordered by the time of submission, which is kept in milliseconds.
async fn next_millisecond() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
