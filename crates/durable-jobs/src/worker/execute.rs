//! The way from a claimed row to the workflow body, and from the body's failure to the row.
//!
//! It parks a job that took several workers with it, refuses requests that make no sense, catches panics, and puts back what
//! this host fails, so that a claimed row always reaches an outcome or goes back to its queue.
//! None of this is part of the body: nothing here is a step, and nothing here changes which steps run.
//!
//! A failure is recorded here rather than by the engine, in the portable form that clients of every language read; the
//! engine then finds the outcome recorded and adopts it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbos::sysdb::types::Outcome;
use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use futures_util::FutureExt;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::{info, warn};
use uuid::Uuid;

use super::claimed_row::read_input;
use super::deadline::TimeLeft;
use super::given_back::{HeldRow, give_back, keep_host_fault};
use super::host::Host;
use super::in_hand::{JobGuard, Jobs};
use crate::artifact::Artifacts;
use crate::compute;
use crate::database::Database;
use crate::database::workflow_rows::{OWN_RUN, STILL_OWNS};
use crate::job::{Admitted, CrashCount, CrashCounter, Ends, JobContext, JobLog, JobTypes};
use crate::process::Children;
use crate::record::{Advice, Failure, JobId};

/// Bounds one attempt to take a job in hand or to give it back, so that a locked row does not keep a connection for good.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The columns of [`OWN_RUN`].
type OwnedRow = (
    i64,
    Option<i32>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// The pause before a question that met an outage is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// One run of a job, told from every other run of it by its token.
struct Run {
    id: String,
    token: String,
    guard: JobGuard,
}

/// The database's knowledge of a job whose row is this run's now.
struct Owned {
    /// The number of claims that were not given back.
    attempts: u32,
    crashes: CrashCount,
    /// The memory that somebody granted this job, in bytes.
    memory_bytes: Option<u64>,
    time_left: TimeLeft,
    /// The input, if the engine had none to give, or why it cannot be read.
    input: Result<Option<Value>, Failure>,
}

/// Runs the jobs of one worker, and has everything that they need of it.
pub(crate) struct JobExecutor {
    pub(crate) database: Database,
    pub(crate) jobs: Jobs,
    pub(crate) job_types: JobTypes,
    pub(crate) artifacts: Artifacts,
    pub(crate) executor_id: String,
    /// Where a job goes back to that has no queue of its own.
    pub(crate) queue: String,
    pub(crate) children: Children,
    pub(crate) advice: Advice,
    /// Receives the faults of the host that jobs meet.
    pub(crate) host: Host,
}

/// The engine's record of a job that succeeded.
type RecordedOutput = Box<RawValue>;

impl JobExecutor {
    /// Runs the job whose row names `workflow` and was claimed with `input`; this is what the engine has registered.
    pub(crate) async fn run(
        self: Arc<Self>,
        workflow: &'static str,
        input: Value,
    ) -> dbos::Result<RecordedOutput, Failure> {
        let id = dbos::workflow_id().ok_or_else(|| Failure::terminal("Internal", "not inside a workflow"))?;
        // Before anything that may wait: a start that has not begun after three seconds loses its slot.
        let run = Run {
            guard: self.jobs.begin(&id),
            id,
            token: Uuid::now_v7().to_string(),
        };
        // A panic may leave only the run's own things half-done; each lock that it shares with others takes a
        // poisoned value as whole.
        match AssertUnwindSafe(self.attempt(&run, workflow, &input))
            .catch_unwind()
            .await
        {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(self.conclude(&run, error).await),
            Err(panic) => {
                let failure = Failure::terminal("Panic", compute::panic_message(&*panic));
                warn!(workflow_id = run.id, reason = failure.message, "job panicked");
                Err(self.conclude(&run, failure.into()).await)
            }
        }
    }

    async fn attempt(
        &self,
        run: &Run,
        workflow: &'static str,
        input: &Value,
    ) -> dbos::Result<RecordedOutput, Failure> {
        let Some(owned) = self.own(run, input.is_null()).await else {
            warn!(
                workflow_id = run.id,
                "the job went to another worker or ended before it began; left alone"
            );
            // The engine records nothing of such an error, so the row stays the other's.
            return Err(dbos::Error::Interrupted {
                workflow_id: run.id.clone(),
            });
        };
        let attempt = owned.attempts;
        if let Some(poison) = owned.crashes.poison(&self.advice) {
            return Err(refused(run, poison.at_attempt(attempt)).into());
        }
        let job_type = self.job_types.get(workflow);
        let job_type =
            job_type.ok_or_else(|| Failure::terminal("Internal", "the job type is not registered"))?;
        let read = owned.input.as_ref().map_err(Failure::clone);
        let job = read
            .and_then(|read| job_type.admit(read.as_ref().unwrap_or(input), owned.memory_bytes))
            .map_err(|failure| refused(run, failure.at_attempt(attempt)))?;
        let context = self.context(run, &job, &owned);
        context.log.started(attempt);
        self.perform(run, job, &owned.time_left, Arc::new(context)).await
    }

    fn context(&self, run: &Run, job: &Arc<dyn Admitted>, owned: &Owned) -> JobContext {
        JobContext {
            log: JobLog::new(JobId::new(&run.id), Arc::clone(job)),
            executor_id: self.executor_id.clone(),
            artifacts: self.artifacts.clone(),
            attempt: owned.attempts,
            children: self.children.clone(),
            memory_bytes: owned.memory_bytes,
            deaths: CrashCounter {
                database: self.database.clone(),
                workflow_id: run.id.clone(),
                workers: owned.crashes.workers,
                advice: self.advice,
            },
            activity: run.guard.describe(job.details(), owned.attempts),
            ends: Ends::default(),
        }
    }

    /// Runs the body, and gives the job back where the host has failed it.
    async fn perform(
        &self,
        run: &Run,
        job: Arc<dyn Admitted>,
        time_left: &TimeLeft,
        context: Arc<JobContext>,
    ) -> dbos::Result<RecordedOutput, Failure> {
        let began = Instant::now();
        let body = job.run(Arc::clone(&context));
        let outcome = async {
            tokio::select! {
                // The signal is looked at first: a body that ends at the same moment has no outcome any more.
                biased;
                () = context.ends.ended() => None,
                outcome = body => Some(outcome),
            }
        };
        let outcome = match time_left.bound(outcome).await {
            Some(outcome) => outcome_of(run, outcome, &context.ends),
            None => Err(self.cancel_in_time(run).await),
        };
        match (&outcome, context.ends.host_fault()) {
            (Err(dbos::Error::Interrupted { .. }), Some(reason)) => {
                // First: once the row is back, this worker must not be the one that claims it.
                self.host.failed(reason);
                context.log.given_back(began.elapsed());
                self.give_back(run, reason).await;
            }
            (Ok(_), _) => {
                if context.ends.used_host() {
                    self.host.worked();
                }
                context.log.succeeded(began.elapsed());
            }
            (Err(error), _) => context.log.ended(began.elapsed(), &error.to_string()),
        }
        outcome
    }

    /// Puts the job back on its queue, uncounted; what the steps before have recorded stays.
    async fn give_back(&self, run: &Run, reason: &str) {
        let row = HeldRow {
            id: &run.id,
            executor_id: &self.executor_id,
            owner: Some(&run.token),
            queue: &self.queue,
        };
        run.guard.give_back();
        let given_back = async {
            // First: it finds the row by the token, which the next one takes away.
            keep_host_fault(&self.database, &row, reason).await?;
            give_back(&self.database, row).await
        };
        let asked = self.database.bounded("giving a job back", TIMEOUT, given_back);
        if let Err(error) = asked.await {
            warn!(workflow_id = run.id, %error, "could not give a job back; the janitor will see to it");
        }
    }

    /// Makes this run the row's one owner and returns what is known of the job.
    ///
    /// `None` when the row ended or belongs to another worker by now, as after a start that was held up by an outage.
    /// The token is what refuses every later start of the same row until it is claimed again.
    /// The input is read too where the engine gave none: it does not look where newer clients keep theirs.
    /// An outage is waited out, as the engine does.
    async fn own(&self, run: &Run, reads_input: bool) -> Option<Owned> {
        let mut pause = Duration::from_millis(50);
        loop {
            // With one token each time: an attempt whose answer was lost may have got through.
            let own = sqlx::query_as(OWN_RUN)
                .bind(&run.id)
                .bind(&self.executor_id)
                .bind(&run.token)
                .bind(INTERNAL_QUEUE)
                .bind(reads_input)
                .fetch_optional(&self.database.pool);
            let own = self.database.bounded("taking the job in hand", TIMEOUT, own);
            match own.await {
                Ok(row) => return row.map(Owned::from_row),
                Err(error) => {
                    warn!(workflow_id = run.id, %error, "could not take the job in hand; trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Records why the job failed, if it is still this run's; control signals of the engine pass and record nothing.
    async fn conclude(&self, run: &Run, error: dbos::Error<Failure>) -> dbos::Error<Failure> {
        let failure = match failure_of(error) {
            Ok(failure) => failure,
            Err(signal) => return signal,
        };
        if !self.still_owns(run).await {
            return dbos::Error::Interrupted {
                workflow_id: run.id.clone(),
            };
        }
        record_failure(&self.database, &run.id, &failure).await;
        dbos::Error::Application(failure)
    }

    /// Cancels a job at its deadline, if it is still this run's, and hands on the signal that says so.
    ///
    /// An outage is waited out: no later run may have more time than this one.
    async fn cancel_in_time(&self, run: &Run) -> dbos::Error<Failure> {
        let workflow_id = run.id.clone();
        if !self.still_owns(run).await {
            return dbos::Error::Interrupted { workflow_id };
        }
        info!(workflow_id, "the job's time is over");
        match self
            .database
            .engine
            .cancel_workflows(&[&run.id], false, None)
            .await
        {
            // It has ended in another way since.
            Ok(cancelled) if cancelled.is_empty() => dbos::Error::Interrupted { workflow_id },
            Ok(_) => dbos::Error::WorkflowCancelled { workflow_id },
            Err(error) => {
                // The row keeps its deadline, so the next run of it ends before its body begins.
                warn!(workflow_id, %error, "could not cancel the job at its deadline");
                dbos::Error::Interrupted { workflow_id }
            }
        }
    }

    /// Tests whether the row is still this run's; an outage is waited out.
    async fn still_owns(&self, run: &Run) -> bool {
        loop {
            let owns = sqlx::query_scalar(STILL_OWNS)
                .bind(&run.id)
                .bind(&run.token)
                .fetch_one(&self.database.pool);
            match self
                .database
                .bounded("looking whose the job is", TIMEOUT, owns)
                .await
            {
                Ok(owns) => return owns,
                Err(error) => {
                    warn!(workflow_id = run.id, %error, "cannot tell whose the job is; trying again");
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

impl Owned {
    fn from_row((claims, children, last_reason, memory_bytes, left_ms, input): OwnedRow) -> Self {
        let attempts = u32::try_from(claims).unwrap_or(u32::MAX);
        Self {
            attempts,
            crashes: CrashCount {
                // This claim is one of them; any other that is still counted is of a worker that died.
                workers: attempts.saturating_sub(1),
                children: children.unwrap_or_default().unsigned_abs(),
                last_reason,
            },
            memory_bytes: memory_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            time_left: TimeLeft::from_ms(left_ms),
            input: input.as_deref().map(read_input).transpose(),
        }
    }
}

/// Ends a job as failed; where that is not possible now, whoever meets the row next does it.
pub(crate) async fn record_failure(database: &Database, id: &str, failure: &Failure) {
    let recorded = match serde_json::to_string(failure) {
        Ok(json) => database
            .engine
            .record_workflow_outcome(id, Outcome::Error(&json))
            .await
            .map(drop),
        Err(error) => return warn!(workflow_id = id, %error, "could not encode the failure"),
    };
    if let Err(error) = recorded {
        warn!(workflow_id = id, %error, "could not record the failure");
    }
}

/// Says that a job was not begun, and hands on why.
fn refused(run: &Run, failure: Failure) -> Failure {
    warn!(workflow_id = run.id, reason = failure.message, "job refused");
    failure
}

/// Turns the end of a body into an outcome; of one that was dropped, the engine's signal counts.
fn outcome_of(
    run: &Run,
    outcome: Option<Result<RecordedOutput, Failure>>,
    ends: &Ends,
) -> dbos::Result<RecordedOutput, Failure> {
    let interrupted = || dbos::Error::Interrupted {
        workflow_id: run.id.clone(),
    };
    match outcome {
        Some(Ok(output)) => Ok(output),
        // Met outside of a step.
        Some(Err(failure)) if failure.is_of_host() => {
            ends.note_host_fault(&failure);
            Err(interrupted())
        }
        Some(Err(failure)) => Err(dbos::Error::Application(failure)),
        None => Err(ends.take_signal().unwrap_or_else(interrupted)),
    }
}

/// The failure that is recorded for an error, or the error where nothing is.
///
/// The engine would try for ever a body that comes to other steps than it has recorded, or records that nobody can read: no
/// attempt of the same program ends otherwise.
fn failure_of(error: dbos::Error<Failure>) -> Result<Failure, dbos::Error<Failure>> {
    match error {
        dbos::Error::Application(failure) => Ok(failure),
        dbos::Error::SystemDatabase(error) if is_deterministic(&error) => Ok(Failure::terminal(
            "UnexpectedStep",
            format!("{error}; a body must come to the same steps in every attempt"),
        )),
        signal => Err(signal),
    }
}

fn is_deterministic(error: &dbos::sysdb::Error) -> bool {
    use dbos::sysdb::Error;
    matches!(error, Error::UnexpectedStep { .. } | Error::Malformed { .. })
}
