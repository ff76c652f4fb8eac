//! Putting a job that ended without a value back into its queue.
//!
//! The engine resumes what was cancelled, and neither a failed row nor a parked one; so this is a guarded statement of
//! ours: only a row in one of those states changes, whatever its type. What its successful steps recorded stays and is not
//! computed again; what was recorded from the first failed step on is taken away, so that it runs again.
//! The counts of claims and of deaths begin anew, and so does a timeout.
//! The job goes back to its own queue, with the priority that it had. One whose queue is not known goes to the client's if
//! the client knows its type, else to the engine's, which every worker serves. A deduplication key is not restored: the
//! engine gives it up at the end of a job, and another job may have it by now.
//!
//! A job that was cancelled a moment ago is resumed a moment later, when the run that was cancelled has noticed: it looks
//! at its status twenty times a second, and would otherwise never learn of it. It does not promise to wait for a run that
//! takes longer, since its worker is stopped, say.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dbos::sysdb::types::WorkflowFilter;
use dbos::sysdb::{self, INTERNAL_QUEUE, SystemDatabase};
use sqlx::{Postgres, Transaction};

use super::Client;
use super::job_row::Ending;
use crate::Reply;
use crate::database::text;
use crate::database::workflow_rows::{FORGET_FAILED_STEPS, REQUEUE};
use crate::record::{JobId, State};

const FORGET_DEATHS: &str = "delete from abaci.deaths where workflow_uuid = any($1)";

const FORGET_QUEUE: &str = "delete from abaci.former_queues where workflow_uuid = any($1)";

const GRANT_MEMORY: &str = "insert into abaci.allowances (workflow_uuid, memory_bytes) select id, $2 from unnest($1::text[]) as id \
     on conflict (workflow_uuid) do update set memory_bytes = excluded.memory_bytes, at = now()";

/// The number of jobs that one statement puts back.
const RESUMED_AT_ONCE: usize = 500;

/// The time between two looks at a cancelled job until its run has had its moment.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The options of a resume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResumeOptions {
    /// The memory that this job may need from now on, in bytes, whatever the limit of its worker; absent for what it had.
    pub memory_bytes: Option<u64>,
}

/// The outcome of a request to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResumeOutcome {
    /// It waits in its queue again.
    Resumed,
    /// Its own queue is not known any more; it waits in this one.
    ResumedOn(String),
    /// It is in this state, in which there is nothing to resume.
    Refused(State),
    /// No such job.
    NotFound,
}

impl Client {
    /// Puts a job that failed, was parked or was cancelled back into its queue; its recorded steps are kept.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database); the job is then as it
    /// was, or resumed.
    pub fn resume<'a>(&'a self, id: &'a JobId, options: ResumeOptions) -> Reply<'a, ResumeOutcome> {
        Box::pin(async move {
            let mut outcomes = self.resume_all(std::slice::from_ref(id), options).await?;
            Ok(outcomes.remove(id).unwrap_or(ResumeOutcome::NotFound))
        })
    }

    /// Puts jobs back as [`Client::resume`] does, hundreds by one statement; what was resumed before an error stays so.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn resume_all<'a>(
        &'a self,
        jobs: &'a [JobId],
        options: ResumeOptions,
    ) -> Reply<'a, HashMap<JobId, ResumeOutcome>> {
        Box::pin(async move {
            let mut outcomes = HashMap::with_capacity(jobs.len());
            for some in jobs.chunks(RESUMED_AT_ONCE) {
                let requeued = self.requeue_in_time(some, options);
                let requeued = self.database.bounded("resuming jobs", self.timeout, requeued);
                outcomes.extend(requeued.await?);
            }
            Ok(outcomes)
        })
    }

    /// Puts the jobs back, those that were cancelled just now when their moment is over.
    async fn requeue_in_time(
        &self,
        jobs: &[JobId],
        options: ResumeOptions,
    ) -> Result<HashMap<JobId, ResumeOutcome>, String> {
        let mut outcomes = HashMap::new();
        let mut left: HashSet<&str> = jobs.iter().map(JobId::as_str).collect();
        loop {
            let mut queues = HashSet::new();
            for (id, queue, is_own) in self.requeue(&left, options).await.map_err(text)? {
                left.remove(id.as_str());
                queues.insert(queue.clone());
                let outcome = if is_own {
                    ResumeOutcome::Resumed
                } else {
                    ResumeOutcome::ResumedOn(queue)
                };
                outcomes.insert(JobId::new(id), outcome);
            }
            // After the commit: a worker that is woken sooner would find nothing.
            for queue in queues {
                self.announce(&queue).await;
            }
            if left.is_empty() {
                return Ok(outcomes);
            }
            let refused = self.refusals(&left).await.map_err(text)?;
            left.retain(|id| !refused.contains_key(*id));
            outcomes.extend(refused.into_iter().map(|(id, outcome)| (JobId::new(id), outcome)));
            if !left.is_empty() {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
    }

    /// Says why those of the jobs stay where they are that cannot be resumed in a moment either.
    async fn refusals(&self, ids: &HashSet<&str>) -> Result<HashMap<String, ResumeOutcome>, sysdb::Error> {
        let filter = WorkflowFilter {
            workflow_ids: ids.iter().copied().collect(),
            load_input: false,
            load_output: false,
            ..WorkflowFilter::default()
        };
        let rows = self.database.engine.list_workflows(&filter, None).await?;
        let mut refusals: HashMap<String, ResumeOutcome> = ids
            .iter()
            .map(|id| ((*id).to_owned(), ResumeOutcome::NotFound))
            .collect();
        for row in rows {
            match Ending::of_record(&row).state() {
                // Somebody else resumed it, and it has ended again; or its moment is not over.
                State::Cancelled | State::Failed | State::Parked => refusals.remove(&row.workflow_id),
                state => refusals.insert(row.workflow_id, ResumeOutcome::Refused(state)),
            };
        }
        Ok(refusals)
    }

    /// Puts those of the jobs back whose rows allow it, and says where; all of it or nothing.
    async fn requeue(
        &self,
        ids: &HashSet<&str>,
        options: ResumeOptions,
    ) -> Result<Vec<Requeued>, sqlx::Error> {
        let ids: Vec<&str> = ids.iter().copied().collect();
        let mut transaction = self.database.pool.begin().await?;
        let rows: Vec<Requeued> = sqlx::query_as(REQUEUE)
            .bind(ids)
            .bind(&self.queue)
            .bind(self.database.scope.workflows())
            .bind(INTERNAL_QUEUE)
            .fetch_all(&mut *transaction)
            .await?;
        if !rows.is_empty() {
            // Only of those that were put back: the others may be running.
            let ids: Vec<&str> = rows.iter().map(|(id, ..)| id.as_str()).collect();
            forget(&mut transaction, &ids).await?;
            if let Some(memory_bytes) = options.memory_bytes {
                sqlx::query(GRANT_MEMORY)
                    .bind(ids)
                    .bind(i64::try_from(memory_bytes).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(rows)
    }
}

/// A job that was put back: its id, its queue now, and whether that is its own.
type Requeued = (String, String, bool);

/// Takes away what would keep the jobs from running.
async fn forget(transaction: &mut Transaction<'_, Postgres>, ids: &[&str]) -> Result<(), sqlx::Error> {
    for statement in [FORGET_FAILED_STEPS, FORGET_DEATHS, FORGET_QUEUE] {
        sqlx::query(statement)
            .bind(ids)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
