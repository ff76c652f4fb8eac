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
use super::given_back::{HeldRow, give_back};
use super::host::Host;
use super::in_hand::{Jobs, Place};
use crate::artifact::Artifacts;
use crate::compute;
use crate::database::{Database, input};
use crate::job::JobLog;
use crate::job::{Deaths, Toll};
use crate::process::Children;
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

/// How soon a question that met an outage is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

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
        let row = HeldRow {
            id: &run.id,
            executor_id: &self.executor_id,
            owner: Some(&run.token),
            queue: &self.queue,
        };
        run.place.give_back();
        let asked = self
            .database
            .bounded("giving a job back", TIMEOUT, give_back(&self.database, row));
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
            Ok(cancelled) if cancelled.is_empty() => dbos::Error::Interrupted { workflow_id },
            Ok(_) => dbos::Error::WorkflowCancelled { workflow_id },
            Err(error) => {
                warn!(workflow_id, %error, "could not cancel the job at its deadline");
                dbos::Error::Interrupted { workflow_id }
            }
        }
    }

    /// Whether the row is still this run's; an outage is waited out.
    async fn still_owns(&self, run: &Run) -> bool {
        loop {
            let owns = sqlx::query_scalar(
                "select exists (select 1 from dbos.workflow_status where workflow_uuid = $1 and owner_xid = $2)",
            )
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
