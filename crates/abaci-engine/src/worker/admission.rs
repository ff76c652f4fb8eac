//! What stands between a claimed row and the workflow body, and between the body's failure and the row.
//!
//! It parks a job that took several workers with it, refuses requests that make no sense, catches panics, and puts back what
//! this host fails, so that a claimed row always reaches an outcome or goes back to its queue.
//! None of this is part of the body: nothing here is a step, and nothing here changes which steps run.
//!
//! A failure is recorded here rather than by the engine, in the portable form that clients of every language read; the
//! engine then finds the outcome recorded and adopts it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dbos::sysdb::types::Outcome;
use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tracing::{info, warn};
use uuid::Uuid;

use super::deadline::{TimeLeft, left_ms, put_back};
use super::host::Host;
use super::jobs::{Jobs, Place};
use super::log::JobLog;
use crate::artifact::Artifacts;
use crate::compute;
use crate::database::{Database, input, text};
use crate::deaths::{Deaths, Toll};
use crate::isolation::Children;
use crate::record::{Failure, JobId, JobResult, Limits, Request, WorkflowName};
use crate::workflow::JobContext;

/// Takes a row that this worker claimed, or that the engine's internal queue gave it, unless another run has it.
const OWN: &str = concat!(
    "update dbos.workflow_status set owner_xid = $3, workflow_deadline_epoch_ms = ",
    put_back!(),
    " where workflow_uuid = $1 and executor_id = $2 and status = 'PENDING' \
     and (owner_xid is null or owner_xid = $3 or queue_name = $4) \
     returning coalesce(recovery_attempts, 1), \
     (select deaths from abaci.deaths where workflow_uuid = $1), \
     (select last_reason from abaci.deaths where workflow_uuid = $1), \
     (select memory_bytes from abaci.allowances where workflow_uuid = $1), ",
    left_ms!(),
    ", case when $5 then ",
    input!(),
    " end"
);

/// Settles the counts of claims that nobody will go on with.
///
/// A body that began left the token of its run, a UUID of version 7, in the row; a client, the engine and a claim leave none
/// such. In its place comes the count that is settled, so that a later claim, which counts one more, is told from this one.
const SETTLE: &str = "with claimed as (select workflow_uuid as id, coalesce(recovery_attempts, 0) as claims, \
         coalesce(substr(owner_xid, 15, 1) = '7' or owner_xid = 'abaci ' || recovery_attempts, false) as is_settled \
         from dbos.workflow_status where executor_id = $1 and status = 'PENDING' for update), \
     counted as (select id, case when is_settled then claims else greatest(claims - 1, 0) end as claims from claimed) \
     update dbos.workflow_status set recovery_attempts = counted.claims, owner_xid = 'abaci ' || counted.claims \
     from counted where workflow_uuid = counted.id";

/// Bounds one attempt to take a job in hand or to give it back, so that a locked row does not keep a connection for good.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What [`OWN`] returns.
type OwnedRow = (
    i64,
    Option<i32>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// How soon a cancellation that met an outage is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Puts a row back that this run has: on its own queue, or on the one that it left for the engine's, or on this worker's.
///
/// The count of the claim is taken back with it, and so is the worker: such a job has waited since it was submitted.
/// A row that went to another meanwhile has another token or another executor.
const GIVE_BACK: &str = "update dbos.workflow_status set status = 'ENQUEUED', owner_xid = null, executor_id = null, \
     recovery_attempts = greatest(recovery_attempts - 1, 0), started_at_epoch_ms = null, \
     queue_name = coalesce(nullif(nullif(queue_name, ''), $4), \
     (select queue_name from abaci.former_queues where workflow_uuid = $1), $5), \
     updated_at = (extract(epoch from now()) * 1000)::bigint \
     where workflow_uuid = $1 and executor_id = $2 and owner_xid = $3 and status = 'PENDING'";

/// One run of a job, told from every other run of it by its token.
struct Run {
    id: String,
    token: String,
    place: Place,
}

/// What the database knows of a job whose row is this run's now.
struct Owned {
    /// How often the row was claimed and not given back.
    attempts: u32,
    toll: Toll,
    /// What somebody granted this job, in bytes.
    memory_bytes: Option<u64>,
    time_left: TimeLeft,
    /// The input, if the engine had none to give.
    input: Option<Value>,
}

/// What runs an admitted request; [`crate::workflow::run`] in every product.
pub(crate) type Body = fn(Arc<JobContext>, Request) -> BoxFuture<'static, dbos::Result<JobResult, Failure>>;

/// Everything a job needs of its worker.
pub(crate) struct Admission {
    pub(crate) database: Database,
    pub(crate) jobs: Jobs,
    pub(crate) limits: Limits,
    /// Whether the faults that jobs ask for strike.
    pub(crate) enable_faults: bool,
    pub(crate) artifacts: Artifacts,
    pub(crate) executor_id: String,
    /// Where a job goes back to that has no queue of its own.
    pub(crate) queue: String,
    pub(crate) children: Children,
    /// Learns what it fails to offer to jobs.
    pub(crate) host: Host,
    pub(crate) body: Body,
}

impl Admission {
    /// Runs the job whose row names `workflow` and was claimed with `input`; this is what the engine has registered.
    pub(crate) async fn run(
        self: Arc<Self>,
        workflow: WorkflowName,
        input: Value,
    ) -> dbos::Result<JobResult, Failure> {
        let id = dbos::workflow_id().ok_or_else(|| Failure::terminal("Internal", "not inside a workflow"))?;
        let run = Run {
            place: self.jobs.begin(&id),
            id,
            token: Uuid::now_v7().to_string(),
        };
        match AssertUnwindSafe(self.attempt(&run, workflow, &input))
            .catch_unwind()
            .await
        {
            Ok(Ok(result)) => Ok(result),
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
        workflow: WorkflowName,
        input: &Value,
    ) -> dbos::Result<JobResult, Failure> {
        let Some(owned) = self.own(run, input.is_null()).await else {
            warn!(
                workflow_id = run.id,
                "the job went to another worker or ended before it began; left alone"
            );
            return Err(dbos::Error::Interrupted {
                workflow_id: run.id.clone(),
            });
        };
        let attempts = owned.attempts;
        if let Some(poison) = owned.toll.poison() {
            return Err(refused(run, poison.at_attempt(attempts)).into());
        }
        let limits = Limits {
            memory_bytes: owned.memory_bytes.unwrap_or(self.limits.memory_bytes),
            ..self.limits
        };
        let request = self
            .accepted(workflow, owned.input.as_ref().unwrap_or(input), &limits)
            .map_err(|failure| refused(run, failure.at_attempt(attempts)))?;
        let log = JobLog::new(JobId::new(&run.id), request);
        log.started(attempts);
        let context = self.context(run, request, &owned, log);
        self.perform(run, request, &owned.time_left, Arc::new(context))
            .await
    }

    fn context(&self, run: &Run, request: Request, owned: &Owned, log: JobLog) -> JobContext {
        JobContext {
            log,
            executor_id: self.executor_id.clone(),
            artifacts: self.artifacts.clone(),
            attempts: owned.attempts,
            children: self.children.clone(),
            memory_bytes: owned.memory_bytes,
            deaths: Deaths {
                database: self.database.clone(),
                workflow_id: run.id.clone(),
                workers: owned.toll.workers,
            },
            activity: run.place.describe(request, owned.attempts),
            host_fault: OnceLock::new(),
        }
    }

    /// Runs the body, and gives the job back where the host has failed it.
    async fn perform(
        &self,
        run: &Run,
        request: Request,
        time_left: &TimeLeft,
        context: Arc<JobContext>,
    ) -> dbos::Result<JobResult, Failure> {
        let began = Instant::now();
        let body = (self.body)(Arc::clone(&context), request);
        let outcome = match time_left.bound(body).await {
            Some(outcome) => outcome,
            None => Err(self.cancel_in_time(run).await),
        };
        match (&outcome, context.host_fault.get()) {
            (Err(dbos::Error::Interrupted { .. }), Some(reason)) => {
                // First: once the row is back, this worker must not be the one that claims it.
                self.host.failed(reason);
                context.log.given_back(began.elapsed());
                self.give_back(run).await;
            }
            (outcome, _) => {
                if let Ok(result) = outcome
                    && (result.artifact.is_some() || self.children.for_request(&request).is_some())
                {
                    self.host.worked();
                }
                context.log.ended(began.elapsed(), outcome.as_ref().map(drop));
            }
        }
        outcome
    }

    /// Puts the job back on its queue, uncounted; what the steps before have recorded stays.
    async fn give_back(&self, run: &Run) {
        let statement = async {
            let statement = sqlx::query(GIVE_BACK)
                .bind(&run.id)
                .bind(&self.executor_id)
                .bind(&run.token)
                .bind(INTERNAL_QUEUE)
                .bind(&self.queue);
            statement.execute(&self.database.pool).await.map_err(text)
        };
        run.place.give_back();
        let asked = self.database.bounded("giving a job back", TIMEOUT, statement);
        if let Err(error) = asked.await {
            warn!(workflow_id = run.id, %error, "could not give a job back; the janitor will see to it");
        }
    }

    /// Reads the request and refuses what this worker does not do.
    fn accepted(&self, workflow: WorkflowName, input: &Value, limits: &Limits) -> Result<Request, Failure> {
        let request = Request::decode_for(workflow, input)
            .and_then(|request| limits.check_at_server(&request).map(|()| request))
            .map_err(|error| Failure::invalid_request(error.to_string()))?;
        match request.fault {
            Some(fault) if !self.enable_faults => Err(Failure::terminal(
                "FaultsDisabled",
                format!(
                    "the job asks for the fault {fault}, and this server lets none strike; start it with --enable-faults"
                ),
            )),
            _ => Ok(request),
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
            let own = sqlx::query_as(OWN)
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
            Err(control) => return control,
        };
        match self.still_owns(run).await {
            Ok(true) => {
                record_failure(&self.database, &run.id, &failure).await;
                dbos::Error::Application(failure)
            }
            _ => dbos::Error::Interrupted {
                workflow_id: run.id.clone(),
            },
        }
    }

    /// Cancels a job at its deadline, if it is still this run's, and hands on the signal that says so.
    ///
    /// An outage is waited out: no later run may have more time than this one.
    async fn cancel_in_time(&self, run: &Run) -> dbos::Error<Failure> {
        let workflow_id = run.id.clone();
        loop {
            match self.still_owns(run).await {
                Ok(true) => break,
                Ok(false) => return dbos::Error::Interrupted { workflow_id },
                Err(error) => {
                    warn!(workflow_id, %error, "could not cancel the job at its deadline; trying again");
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        info!(workflow_id, "the job's time is over");
        match self
            .database
            .engine
            .cancel_workflows(&[&run.id], false, None)
            .await
        {
            Ok(cancelled) if cancelled.is_empty() => dbos::Error::Interrupted { workflow_id },
            Ok(_) => dbos::Error::WorkflowCancelled { workflow_id },
            Err(error) => {
                warn!(workflow_id, %error, "could not cancel the job at its deadline");
                dbos::Error::Interrupted { workflow_id }
            }
        }
    }

    async fn still_owns(&self, run: &Run) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "select exists (select 1 from dbos.workflow_status where workflow_uuid = $1 and owner_xid = $2)",
        )
        .bind(&run.id)
        .bind(&run.token)
        .fetch_one(&self.database.pool)
        .await
    }
}

impl Owned {
    fn from_row((claims, children, last_reason, memory_bytes, left_ms, input): OwnedRow) -> Self {
        let attempts = u32::try_from(claims).unwrap_or(u32::MAX);
        Self {
            attempts,
            toll: Toll {
                workers: attempts.saturating_sub(1),
                children: children.unwrap_or_default().unsigned_abs(),
                last_reason,
            },
            memory_bytes: memory_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            time_left: TimeLeft::from_ms(left_ms),
            input: input.and_then(|input| serde_json::from_str(&input).ok()),
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

/// Takes back the count of a claim, or of all claims, that are given back unharmed: only deaths park a job, here and in
/// the engine.
///
/// The rows must still be this executor's; giving them back is the caller's next statement.
pub(crate) async fn undo_claims(
    database: &Database,
    executor_id: &str,
    id: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update dbos.workflow_status set recovery_attempts = greatest(recovery_attempts - 1, 0), \
             owner_xid = 'abaci ' || greatest(recovery_attempts - 1, 0) \
         where executor_id = $1 and status = 'PENDING' and ($2::text is null or workflow_uuid = $2)",
    )
    .bind(executor_id)
    .bind(id)
    .execute(&database.pool)
    .await
    .map(drop)
}

/// Takes back the counts of those claims of a dead executor whose bodies had not begun, before its rows are requeued: a job
/// that did not run cannot have killed anybody.
///
/// Repeating it changes nothing.
pub(crate) async fn settle_claims(database: &Database, executor_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query(SETTLE)
        .bind(executor_id)
        .execute(&database.pool)
        .await
        .map(drop)
}

/// Says that a job was not begun, and hands on why.
fn refused(run: &Run, failure: Failure) -> Failure {
    warn!(workflow_id = run.id, reason = failure.message, "job refused");
    failure
}

/// The failure that a body's error stands for, or the error itself where it is the engine's own signal.
fn failure_of(error: dbos::Error<Failure>) -> Result<Failure, dbos::Error<Failure>> {
    match error {
        dbos::Error::Application(failure) => Ok(failure),
        dbos::Error::MaxStepRetriesExceeded {
            attempts,
            mut errors,
            step,
        } => match errors.pop() {
            Some(last) => failure_of(last).map(|failure| failure.at_attempt(attempts)),
            None => Ok(Failure::terminal(
                "StepFailed",
                format!("the step {step} failed at attempt {attempts}"),
            )),
        },
        control => Err(control),
    }
}
