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

use std::time::Duration;

use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use sqlx::{Postgres, Transaction};

use super::Client;
use super::list::state_of;
use crate::Error;
use crate::database::text;
use crate::database::workflow_rows::{FORGET_FAILED_STEPS, REQUEUE};
use crate::record::{JobId, State};

const FORGET_DEATHS: &str = "delete from abaci.deaths where workflow_uuid = $1";

const FORGET_QUEUE: &str = "delete from abaci.former_queues where workflow_uuid = $1";

const GRANT_MEMORY: &str = "insert into abaci.allowances (workflow_uuid, memory_bytes) values ($1, $2) \
     on conflict (workflow_uuid) do update set memory_bytes = excluded.memory_bytes, at = now()";

/// The time between two looks at a cancelled job until its run has had its moment.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The options of a resume.
#[derive(Debug, Clone, Copy, Default)]
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
    /// [`Error::Unreachable`] or [`Error::Database`]; the job is then as it was, or resumed.
    pub async fn resume(&self, id: &JobId, options: ResumeOptions) -> Result<ResumeOutcome, Error> {
        let requeued = self.requeue_in_time(id, options);
        let outcome = self.database.bounded("resuming a job", self.timeout, requeued);
        match outcome.await? {
            Requeued::OnItsOwn(queue) => {
                self.announce(&queue).await;
                Ok(ResumeOutcome::Resumed)
            }
            Requeued::OnAnother(queue) => {
                self.announce(&queue).await;
                Ok(ResumeOutcome::ResumedOn(queue))
            }
            Requeued::Not(outcome) => Ok(outcome),
        }
    }

    /// Puts the job back, a cancelled one when its moment is over.
    async fn requeue_in_time(&self, id: &JobId, options: ResumeOptions) -> Result<Requeued, String> {
        loop {
            if let Some(requeued) = self.requeue(id, options).await.map_err(text)? {
                return Ok(requeued);
            }
            let row = self.database.engine.get_workflow(id.as_str());
            let Some(row) = row.await.map_err(text)? else {
                return Ok(Requeued::Not(ResumeOutcome::NotFound));
            };
            match state_of(&row) {
                State::Cancelled => tokio::time::sleep(LOOK_INTERVAL).await,
                state => return Ok(Requeued::Not(ResumeOutcome::Refused(state))),
            }
        }
    }

    /// Puts the job back if its row allows it, and says where; all of it or nothing.
    async fn requeue(&self, id: &JobId, options: ResumeOptions) -> Result<Option<Requeued>, sqlx::Error> {
        let mut transaction = self.database.pool.begin().await?;
        let row: Option<(String, bool)> = sqlx::query_as(REQUEUE)
            .bind(id.as_str())
            .bind(&self.queue)
            .bind(self.database.scope.workflows())
            .bind(INTERNAL_QUEUE)
            .fetch_optional(&mut *transaction)
            .await?;
        if row.is_some() {
            forget(&mut transaction, id).await?;
            if let Some(memory_bytes) = options.memory_bytes {
                sqlx::query(GRANT_MEMORY)
                    .bind(id.as_str())
                    .bind(i64::try_from(memory_bytes).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(row.map(|(queue, is_own)| {
            if is_own {
                Requeued::OnItsOwn(queue)
            } else {
                Requeued::OnAnother(queue)
            }
        }))
    }
}

/// The outcome of a try.
enum Requeued {
    /// The job is in this queue, its own.
    OnItsOwn(String),
    /// The job is in this queue, since its own is not known.
    OnAnother(String),
    /// It is not.
    Not(ResumeOutcome),
}

/// Takes away what would keep the job from running.
async fn forget(transaction: &mut Transaction<'_, Postgres>, id: &JobId) -> Result<(), sqlx::Error> {
    for statement in [FORGET_FAILED_STEPS, FORGET_DEATHS, FORGET_QUEUE] {
        sqlx::query(statement)
            .bind(id.as_str())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
