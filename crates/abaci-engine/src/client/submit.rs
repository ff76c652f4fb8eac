//! Submission: one row per job, written once whatever is retried.

use std::collections::HashMap;
use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{NewWorkflow, Submission};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tracing::debug;

use super::Client;
use crate::record::{JobId, Request, RequestError, WorkflowName};
use crate::worker::CHANNEL;
use crate::{APPLICATION_VERSION, Error};

/// How many rows of a large batch are written at once: enough to share the commits, not enough to disturb.
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
        refuse_contradictions(jobs)?;
        stream::iter(jobs.iter().enumerate())
            .then(|(position, job)| async move {
                if position > 0 && jobs.len() <= PACED {
                    next_millisecond().await;
                }
                job
            })
            .map(|(id, request)| self.enqueue(id, request, options))
            // One after the other where the order counts: of two at once the later may be committed, and claimed, first.
            .buffered(if jobs.len() <= PACED { 1 } else { PARALLEL })
            .try_collect::<Vec<()>>()
            .await?;
        self.announce(&self.queue).await;
        Ok(())
    }

    /// Tells workers that there is something to claim in `queue`. They would find it by themselves, a poll later.
    pub(super) async fn announce(&self, queue: &str) {
        let announce = sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(queue)
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
            name: Some(WorkflowName::of(request.algorithm).name()),
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
        match self
            .database
            .bounded("submitting a job", self.timeout, write)
            .await
        {
            // The engine says so of a row that was there before, which it joins without looking at what it asks for.
            Ok(written) if !written.should_execute => self.refuse_another(id, request).await,
            Ok(_) => self.date(id).await,
            // The engine's own refusal of a row of another workflow is one of these.
            Err(error @ Error::Database { .. }) => self.refuse_another(id, request).await.and(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Dates a job that was just queued by the database's clock, where this machine's differs: the engine dates it by this
    /// one's, and its age and its place among the jobs of other machines go by that.
    async fn date(&self, id: &JobId) -> Result<(), Error> {
        let offset = self.database.clock.offset();
        if !offset.is_notable() {
            return Ok(());
        }
        let date = sqlx::query(
            "update dbos.workflow_status set created_at = created_at - $2 where workflow_uuid = $1",
        )
        .bind(id.as_str())
        .bind(offset.ms())
        .execute(&self.database.pool);
        self.database
            .bounded("dating a job", self.timeout, date)
            .await
            .map(drop)
    }

    /// Refuses an id that names a job which asks for something else.
    async fn refuse_another(&self, id: &JobId, request: &Request) -> Result<(), Error> {
        let row = self.database.engine.get_workflow(id.as_str());
        let row = self
            .database
            .bounded("looking at the job of the same id", self.timeout, row)
            .await?;
        let Some(mut row) = row else { return Ok(()) };
        self.restore_input(&mut row).await?;
        let stored = row
            .input
            .as_deref()
            .and_then(|input| serde_json::from_str::<Value>(input).ok());
        let workflow = row.name.as_deref().and_then(WorkflowName::parse);
        let stored = workflow
            .zip(stored)
            .and_then(|(workflow, input)| Request::decode_for(workflow, &input).ok());
        if stored == Some(*request) {
            return Ok(());
        }
        Err(Error::IdTaken { id: id.to_string() })
    }
}

/// Refuses an id that is given twice for different requests.
fn refuse_contradictions(jobs: &[(JobId, Request)]) -> Result<(), Error> {
    let mut asked = HashMap::with_capacity(jobs.len());
    for (id, request) in jobs {
        if asked.insert(id, request).is_some_and(|other| other != request) {
            return Err(Error::IdTaken { id: id.to_string() });
        }
    }
    Ok(())
}

/// Lets a millisecond pass: the queue is ordered by the time of submission, which is kept in milliseconds.
async fn next_millisecond() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
