//! The reason why a job waits, its place among those that wait, and an estimate of how long.
//!
//! Three statements answer for one job: what it needs, who is here, and what stands between the two. Their cost is in
//! proportion to the waiting jobs of its queue (about 50 ms for 100,000), whatever ended.
//! Claims take the lowest priority first and the oldest of it, so the place counts the due jobs before it in that order which
//! its workers take as well; one that is delayed or held has none ahead of time.
//!
//! It does not promise that the answer is still true when it arrives, and the estimate is of the past: it takes the jobs ahead
//! to be like the last ones of the job's own kind.

use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::listeners::{QueueVersion, workflow_in};
use super::queue_standing::QueueStanding;
use super::{Client, unreadable};
use crate::database::workflow_rows::{STANDING, WAITING_JOB};
use crate::presence::Presence;
use crate::record::{ENGINE_QUEUE, JobId, State, WaitReason};
use crate::{Error, Reply};

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waiting {
    /// The queue that it waits in.
    pub queue: String,
    /// The version of the steps that it needs.
    pub version: String,
    /// Its place among the due jobs of the queue that its workers take, 1 for the next; absent while it is not due.
    pub position: Option<u64>,
    /// The number of those jobs.
    pub of: u64,
    /// The reason.
    #[serde(flatten)]
    pub reason: WaitReason,
    /// The seconds until its start; absent where nothing says so.
    pub estimate_seconds: Option<f64>,
}

impl Waiting {
    /// Returns what it lacks, if no worker attends to it.
    #[must_use]
    pub fn lacking(&self) -> Option<QueueVersion> {
        let unknown_workflow = match &self.reason {
            WaitReason::NoWorker | WaitReason::Version => None,
            WaitReason::Type { workflow } => Some(workflow.clone()),
            _ => return None,
        };
        Some(QueueVersion {
            unknown_workflow,
            ..QueueVersion::new(&self.queue, &self.version)
        })
    }
}

impl Client {
    /// Finds why a job waits; `None` if it has ended or a worker has it in hand.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreachable`] or [`Error::Database`].
    pub fn waiting<'a>(&'a self, id: &'a JobId) -> Reply<'a, Option<Waiting>> {
        Box::pin(async move {
            const OPERATION: &str = "asking why a job waits";
            let row = sqlx::query(WAITING_JOB)
                .bind(id.as_str())
                .bind(ENGINE_QUEUE)
                .bind(self.job_types.version())
                .fetch_optional(&self.database.pool);
            let row = self.database.bounded(OPERATION, self.timeout, row).await?;
            let row = row.ok_or_else(|| Error::NotFound { id: id.to_string() })?;
            let Some(job) = OpenJob::in_row(&row).map_err(|error| unreadable(&error))? else {
                return Ok(None);
            };
            let workers = self.workers().await?;
            let lacking = job.of.lacking(&job.workflow, job.state, &workers);
            if job.state == State::Running && lacking.is_none() {
                return Ok(None);
            }
            let takers: Vec<&Presence> = workers.iter().filter(|worker| job.is_for(worker)).collect();
            let standing = self.standing(id, &job, &takers);
            let standing = self.database.bounded(OPERATION, self.timeout, standing).await?;
            Ok(Some(job.waiting(lacking, &workers, &standing)))
        })
    }

    async fn standing(
        &self,
        id: &JobId,
        job: &OpenJob,
        takers: &[&Presence],
    ) -> Result<QueueStanding, sqlx::Error> {
        let of_each =
            |text: fn(&Presence) -> &str| takers.iter().map(|worker| text(worker)).collect::<Vec<_>>();
        let slots: Vec<i64> = takers.iter().map(|worker| worker.concurrency.into()).collect();
        let all_slots = slots.iter().sum::<i64>().unsigned_abs();
        let is_taken = !takers.is_empty();
        // Of one that does not say which it knows, all count.
        let workflows: Option<Vec<&[String]>> =
            takers.iter().map(|worker| worker.workflows.as_deref()).collect();
        let row = sqlx::query(STANDING)
            .bind(id.as_str())
            .bind(&job.of.queue)
            // Where nobody takes the job, all due ones of its queue count: empty lists would count none.
            .bind(is_taken.then(|| of_each(|worker| &worker.application_version)))
            .bind(workflows.filter(|_| is_taken).map(|workflows| workflows.concat()))
            .bind(self.job_types.version())
            .bind(of_each(|worker| &worker.executor_id))
            .bind(slots)
            .bind(&job.workflow)
            .fetch_one(&self.database.pool)
            .await?;
        QueueStanding::in_row(&row, all_slots)
    }
}

/// A job that has not ended, and what it needs.
struct OpenJob {
    of: QueueVersion,
    workflow: String,
    state: State,
    delayed_until_ms: Option<i64>,
}

impl OpenJob {
    /// Reads a job; `None` if it has ended.
    fn in_row(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        let state = match row.try_get("status")? {
            "PENDING" => State::Running,
            "ENQUEUED" => State::Queued,
            "DELAYED" => State::Delayed,
            _ => return Ok(None),
        };
        Ok(Some(Self {
            of: QueueVersion::in_row(row)?,
            workflow: workflow_in(row)?,
            state,
            delayed_until_ms: row.try_get("delayed_until_ms")?,
        }))
    }

    /// Tests whether the worker will claim it.
    fn is_for(&self, worker: &Presence) -> bool {
        worker.takes(&self.of.queue, &self.of.version) && worker.runs(&self.workflow)
    }

    fn waiting(
        self,
        lacking: Option<QueueVersion>,
        workers: &[Presence],
        standing: &QueueStanding,
    ) -> Waiting {
        let is_due = self.state != State::Running && self.delayed_until_ms.is_none();
        let position = is_due.then_some(standing.ahead + 1);
        let reason = match lacking {
            Some(QueueVersion {
                unknown_workflow: Some(workflow),
                ..
            }) => WaitReason::Type { workflow },
            Some(of)
                if workers
                    .iter()
                    .any(|worker| worker.takes(&of.queue, &worker.application_version)) =>
            {
                WaitReason::Version
            }
            Some(_) => WaitReason::NoWorker,
            None => standing.reason(position, self.delayed_until_ms),
        };
        Waiting {
            position,
            of: standing.due,
            estimate_seconds: position.and_then(|position| standing.estimate(position, &reason)),
            reason,
            queue: self.of.queue,
            version: self.of.version,
        }
    }
}
