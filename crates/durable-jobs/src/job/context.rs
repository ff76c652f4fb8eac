//! The tools of a job's body and its steps: checkpoints, computations, artifacts, and progress.
//!
//! A signal of the engine, such as that the job was cancelled, ends the job at the step that meets it: the step does not
//! return, and the body is dropped there.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::crash_count::CrashCounter;
use super::event::JobLog;
use crate::artifact::{ArtifactFile, Artifacts, Written};
use crate::compute::{self, Activity, Computation, ComputationEnded, ProgressCallback, StepGuard, Task};
use crate::process::Children;
use crate::record::{ArtifactRecord, Failure, FailureKind, JobId};

/// The options of a step.
#[derive(Debug, Clone, Copy)]
pub struct StepOptions {
    /// Tries of a step that fails with a [`Failure::retryable`], at least one; a terminal failure ends it at once.
    pub attempts: u32,
    /// Ends the step when the job is cancelled or its time is over while it runs; else that is noticed before the next one.
    ///
    /// The engine watches by a query, and ends the query by closing its connection: for a step of microseconds that costs
    /// more than everything else.
    pub is_watched: bool,
    /// Shows the step in reports and in the log.
    pub is_shown: bool,
}

impl Default for StepOptions {
    /// Three attempts, watched and shown.
    fn default() -> Self {
        Self {
            attempts: 3,
            is_watched: true,
            is_shown: true,
        }
    }
}

/// One start of a job, as its body and its steps see it.
pub struct JobContext {
    pub(crate) log: JobLog,
    pub(crate) executor_id: String,
    pub(crate) artifacts: Artifacts,
    pub(crate) attempt: u32,
    /// Where heavy computations run.
    pub(crate) children: Children,
    /// The memory that somebody granted this job; absent for the worker's own limit.
    pub(crate) memory_bytes: Option<u64>,
    /// Counts the deaths of its computing processes.
    pub(crate) deaths: CrashCounter,
    /// Where the worker's report looks for the step that runs.
    pub(crate) activity: Arc<Activity>,
    pub(crate) ends: Ends,
}

/// The reasons to end a start of a job from outside of its body.
#[derive(Default)]
pub(crate) struct Ends {
    /// Cancelled once there is a signal: the body is dropped then, whatever it waits for.
    ended: CancellationToken,
    /// The first error of the engine that is no failure of the job.
    signal: Mutex<Option<dbos::Error<Failure>>>,
    /// A lack of this host, once the job has met it.
    host_fault: OnceLock<String>,
    /// True if the job got something of the host that may have been amiss.
    used_host: AtomicBool,
}

impl JobContext {
    /// The job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        self.log.id()
    }

    /// The number of this start of the job, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The number of this attempt of the running step, counted from 1.
    #[must_use]
    pub fn step_attempt(&self) -> u32 {
        dbos::step_status().map_or(1, |status| status.current_attempt())
    }

    /// The worker that runs it, as `<host>/<slot>`.
    #[must_use]
    pub fn executor_id(&self) -> &str {
        &self.executor_id
    }

    /// The place for values that are too large for a row.
    #[must_use]
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// The number of threads that one computation may use.
    #[must_use]
    pub fn threads(&self) -> NonZero<usize> {
        self.children.threads()
    }

    /// Runs `work` as a step of this name, or returns what that step has recorded.
    ///
    /// It runs at least once: a step that was running when its worker died runs again, so repeating it must be safe.
    /// A [`Failure::retryable`] is tried three times in all; a terminal one ends the step at once.
    ///
    /// # Errors
    /// The failure that is recorded, also on a replay.
    pub async fn step<T, F>(
        &self,
        name: &'static str,
        work: impl Fn() -> F + Send + Sync,
    ) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.step_with(name, StepOptions::default(), work).await
    }

    /// Runs a step as [`JobContext::step`] does, with options.
    ///
    /// # Errors
    /// As [`JobContext::step`].
    pub async fn step_with<T, F>(
        &self,
        name: &'static str,
        options: StepOptions,
        work: impl Fn() -> F + Send + Sync,
    ) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let run = || {
            let work = work();
            async {
                let outcome = if options.is_shown {
                    self.shown(name, work).await
                } else {
                    work.await
                };
                match outcome {
                    // The engine would try such a failure again on this host, and record it in the end.
                    Err(failure) if failure.is_of_host() => Err(self.give_up(&failure)),
                    outcome => Ok(outcome?),
                }
            }
        };
        let outcome = dbos::step_with(name, options.of_engine(), run).await;
        match outcome.map_err(failure_of) {
            Ok(output) => Ok(output),
            Err(Ok(failure)) => Err(failure),
            Err(Err(signal)) => {
                self.ends.signal(signal);
                // The body is dropped here; it has nothing to decide any more.
                std::future::pending().await
            }
        }
    }

    /// Runs a task: on a blocking thread, or in a child process where it is heavy and this worker has such.
    ///
    /// Call it inside a step, or nothing is recorded.
    ///
    /// With an [`Isolation`](crate::process::Isolation) the task has to be among the
    /// [`TaskKind`](crate::process::TaskKind)s of [`compute_for_worker`](crate::process::compute_for_worker); one that is
    /// not is a terminal failure. A process that dies, also of a panic, is followed by another at once, and the third death
    /// parks the job. On a thread a panic is a terminal failure.
    ///
    /// # Errors
    /// The failure that the task returned, or the one that parks the job.
    pub async fn compute<T: Task>(&self, task: T) -> Result<T::Output, Failure> {
        loop {
            // The loop ends: a third death, or one that cannot be counted, is an error.
            match self.start(task.clone())?.last().await {
                Ok(output) => return Ok(output),
                Err(ComputationEnded::Failed(failure)) => return Err(failure),
                Err(ComputationEnded::Died(death)) => self.count_death(death).await?,
            }
        }
    }

    /// Starts a task that has several outputs or lasts for several steps.
    ///
    /// [`Computation::next`] waits for each output; dropping the computation ends it.
    ///
    /// # Errors
    /// The failure to start a process for it.
    pub fn start<T: Task>(&self, task: T) -> Result<Computation<T::Output>, Failure> {
        let activity = Arc::clone(&self.activity);
        let Some(children) = self.children.for_cost(task.cost()) else {
            return Ok(Computation::on_thread(task, activity));
        };
        let (computation, child) = children.start(task, self.memory_bytes, activity)?;
        // Only now: a child that could be started is what shows that the host is good again.
        self.ends.used_host.store(true, Ordering::Relaxed);
        self.log.child_started(child);
        Ok(computation)
    }

    /// Counts the death of a process that computed for this job: an [`ComputationEnded::Died`] after [`JobContext::start`].
    ///
    /// [`JobContext::compute`] calls it itself.
    ///
    /// # Errors
    /// The failure that parks the job, if that was one too many; the death itself where it could not be counted, since
    /// uncounted it must not go round for ever.
    pub async fn count_death(&self, death: Failure) -> Result<(), Failure> {
        match self.deaths.count(&death).await {
            Ok(None) => {
                self.log_retry(&death);
                Ok(())
            }
            Ok(Some(poison)) => Err(poison.at_attempt(self.attempt)),
            Err(_) => Err(death),
        }
    }

    /// Puts a written file in its place among the artifacts, under its final name; the unfinished one is gone then.
    ///
    /// Repeating it is harmless: the name decides what the artifact is. Only names of the forms `<BLAKE3>.txt` and
    /// `<32 hexadecimal digits>-<number>.state` are collected as garbage later.
    ///
    /// # Errors
    /// A retryable failure with what the file system or the bucket said.
    pub async fn keep(
        &self,
        file: &ArtifactFile,
        written: &Written,
        name: &str,
    ) -> Result<ArtifactRecord, Failure> {
        let kept = self.artifacts.keep(file, written, name).await;
        // A file that cannot be kept takes nothing back: a child may have been started before.
        self.ends.used_host.fetch_or(kept.is_ok(), Ordering::Relaxed);
        kept
    }

    /// Runs `work` on a blocking thread; it says how far it is, and is told to stop when this future is dropped.
    ///
    /// # Errors
    /// The failure that `work` returned, or a terminal failure named `Panic`.
    pub async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ProgressCallback<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        compute::on_thread(&self.activity, work).await
    }

    /// Shows a step in reports until the guard is dropped; for steps that are not shown themselves.
    pub fn show_step(&self, name: &'static str) -> StepGuard<'_> {
        self.activity.begin(name)
    }

    /// Says how far the step that is shown is.
    pub fn progress(&self, done: u64, total: u64) {
        self.activity
            .step_progress()
            .note(compute::Stage::Computing { done, total });
    }

    /// Logs that the running step failed and goes on by another way.
    pub fn log_retry(&self, failure: &Failure) {
        let step = self.activity.current().map_or("", |(name, _)| name);
        self.log.step_failed(step, failure);
    }

    /// Runs the work of a step, shown and logged.
    async fn shown<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let outcome = {
            let _running = self.activity.begin(name);
            work.await
        };
        match &outcome {
            Ok(_) => self.log.step_done(name, began.elapsed()),
            // What the host lacks is said once for all jobs.
            Err(failure) if failure.is_of_host() => {}
            Err(failure) => self.log.step_failed(name, failure),
        }
        outcome
    }

    /// Ends this start without a trace in the database: the engine records nothing of an interruption.
    fn give_up(&self, failure: &Failure) -> dbos::Error<Failure> {
        self.ends.note_host_fault(failure);
        dbos::Error::Interrupted {
            workflow_id: self.id().to_string(),
        }
    }
}

impl Ends {
    /// Completes when the body is to be dropped.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The signal of the engine that ends the job, if there was one.
    pub(crate) fn take_signal(&self) -> Option<dbos::Error<Failure>> {
        self.first_signal().take()
    }

    pub(crate) fn host_fault(&self) -> Option<&String> {
        self.host_fault.get()
    }

    /// Takes note of what the host lacks.
    pub(crate) fn note_host_fault(&self, failure: &Failure) {
        let _ = self.host_fault.set(failure.message.clone());
    }

    pub(crate) fn used_host(&self) -> bool {
        self.used_host.load(Ordering::Relaxed)
    }

    fn signal(&self, signal: dbos::Error<Failure>) {
        // Of several at once, the first counts.
        self.first_signal().get_or_insert(signal);
        self.ended.cancel();
    }

    fn first_signal(&self) -> MutexGuard<'_, Option<dbos::Error<Failure>>> {
        // It is only ever replaced whole.
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepOptions {
    fn of_engine(self) -> dbos::StepOptions<Failure> {
        let options: dbos::StepOptions<Failure> = dbos::StepOptions {
            max_attempts: self.attempts,
            preemptible: self.is_watched,
            ..dbos::StepOptions::default()
        };
        // By default the engine tries every failure again, a terminal one too.
        // It asks about failures alone: its own signals end the step before.
        options.should_retry(
            |error| matches!(error, dbos::Error::Application(failure) if failure.data.kind == FailureKind::Retryable),
        )
    }
}

/// The failure that an error of a step stands for, or the error itself where it is the engine's own signal.
fn failure_of(error: dbos::Error<Failure>) -> Result<Failure, dbos::Error<Failure>> {
    match error {
        dbos::Error::Application(failure) => Ok(failure),
        dbos::Error::MaxStepRetriesExceeded {
            attempts,
            mut errors,
            step,
        } => match errors.pop() {
            // The engine keeps the failures of all attempts, the oldest first.
            Some(last) => failure_of(last).map(|failure| failure.at_attempt(attempts)),
            None => Ok(Failure::terminal(
                "StepFailed",
                format!("the step {step} failed at attempt {attempts}"),
            )),
        },
        signal => Err(signal),
    }
}
