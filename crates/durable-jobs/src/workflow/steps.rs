//! What the workflows' steps have in common: where a computation runs, how it is checked, and what is recorded of it.
//!
//! A value of up to 10,000 digits travels in the checkpoints; a longer one is an artifact, and only its place and hash do.
//! The certificate is computed without the value, by modular doubling, and the value must agree with it before anything is
//! published: a wrong digit fails the job, it is never an answer.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dbos::StepOptions;
use fibonacci::{Certificate, DecimalCheck, Progress};
use serde::{Deserialize, Serialize};

use super::computation::Computation;
use crate::Error;
use crate::artifact::{self, ArtifactFile, Artifacts, BucketAccess};
use crate::compute::{self, Answer, Stage, UNREADABLE, Watch};
use crate::job::Deaths;
use crate::job::{Activity, JobLog, Meter, StepGuard};
use crate::process::Children;
use crate::record::{ArtifactRecord, CertificateRecord, Failure, FailureKind, JobResult, Request};

pub(super) const CERTIFY: &str = "certify";
pub(super) const PUBLISH: &str = "publish";

/// A step that is estimated to take longer is watched for cancellation.
const WATCHED_SECONDS: f64 = 0.01;

/// What the steps of one attempt know of their worker.
pub(crate) struct JobContext {
    pub(crate) log: JobLog,
    pub(crate) executor_id: String,
    pub(crate) artifacts: Artifacts,
    pub(crate) attempts: u32,
    /// Where heavy computations run.
    pub(crate) children: Children,
    /// The memory that somebody granted this job; absent for the worker's own limit.
    pub(crate) memory_bytes: Option<u64>,
    /// What counts the deaths of its computing processes.
    pub(crate) deaths: Deaths,
    /// Where the worker's report looks for the step that runs.
    pub(crate) activity: Arc<Activity>,
    /// What this host lacks for the job, once a step has met that.
    pub(crate) host_fault: OnceLock<String>,
}

impl JobContext {
    /// Ends this attempt without a trace in the database: the engine records nothing of an interruption.
    pub(crate) fn give_up(&self, failure: &Failure) -> dbos::Error<Failure> {
        let _ = self.host_fault.set(failure.message.clone());
        dbos::Error::Interrupted {
            workflow_id: self.log.id().to_string(),
        }
    }
}

/// The checkpoint of the step that computes the digits. Fields may be added, none changes meaning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Computed {
    value: Option<String>,
    artifact: Option<ArtifactRecord>,
    digits: u64,
    head: String,
    tail: String,
    seconds: f64,
    pid: u32,
    executor_id: String,
}

/// The checkpoint of a step that stores a state on the way. Fields may be added, none changes meaning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredState {
    /// The index that it is the state of.
    pub(super) k: u64,
    pub(super) artifact: ArtifactRecord,
    /// What the arithmetic took from the state before to this one.
    pub(super) seconds: f64,
}

/// The checkpoint of `certify`: the certificate, and where the digits are that agree with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Certified {
    certificate: CertificateRecord,
    artifact: Option<ArtifactRecord>,
}

/// One attempt of a step, from its begin to the line that says how it went.
pub(super) struct StepRun<'a> {
    job: &'a JobContext,
    name: &'static str,
    began: Instant,
    running: StepGuard<'a>,
}

/// Describes digits for the checkpoint, after they were kept where they are too many for the row.
pub(super) async fn computed(
    job: &JobContext,
    answer: Answer,
    file: &ArtifactFile,
) -> Result<Computed, Failure> {
    let artifact = match &answer.file {
        Some(written) => {
            let name = format!("{}.txt", written.blake3);
            Some(job.artifacts.keep(file, written, &name).await?)
        }
        None => None,
    };
    Ok(Computed {
        value: answer.value,
        artifact,
        digits: answer.digits,
        head: answer.head,
        tail: answer.tail,
        seconds: answer.seconds,
        pid: std::process::id(),
        executor_id: job.executor_id.clone(),
    })
}

/// Checks the digits against a certificate that was computed without them.
///
/// An artifact that is missing here or was changed is computed again, never believed.
/// Repeating it is safe: it reads, and writes at most the artifact that was there before.
pub(super) async fn certify(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    states: &[StoredState],
    meter: Meter,
) -> Result<Certified, Failure> {
    let reason = match check(job, request, computed, meter.clone()).await {
        Err(failure) if failure.name == UNREADABLE => failure.message,
        checked => return checked,
    };
    let again = Failure::retryable("Artifact", format!("{reason}; computing it again"));
    job.log.step_failed(CERTIFY, &again);
    let mut again = Computation::new(job, request, Vec::new(), states);
    let computed = again.digits(CERTIFY, meter.clone()).await?;
    let checked = check(job, request, &computed, meter).await;
    checked.map_err(|failure| Failure {
        name: if failure.name == UNREADABLE {
            "Artifact".to_owned()
        } else {
            failure.name
        },
        ..failure
    })
}

/// Reads the digits, wherever they are, and compares them with residues that were computed without them.
pub(super) async fn check(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    meter: Meter,
) -> Result<Certified, Failure> {
    let (value, artifact) = (computed.value.clone(), computed.artifact.clone());
    let access = job.artifacts.access().clone();
    on_thread(meter, move |watch| {
        let mut digits = DecimalCheck::new();
        let blake3 = match (value, &artifact) {
            (Some(value), _) => {
                digits.update(value.as_bytes());
                blake3::hash(value.as_bytes()).to_hex().to_string()
            }
            (None, Some(artifact)) => {
                read_digits(artifact, &access, &mut digits, watch)?;
                artifact.blake3.clone()
            }
            (None, None) => {
                let message = "the recorded step has neither value nor artifact";
                return Err(Failure::terminal("Internal", message));
            }
        };
        let certificate = Certificate::for_index(request.n);
        digits
            .finish(&certificate)
            .map_err(|mismatch| Failure::terminal("CertificateMismatch", mismatch.to_string()))?;
        Ok(Certified {
            certificate: CertificateRecord::new(&certificate, blake3),
            artifact,
        })
    })
    .await
}

/// Reads the digits of an artifact for as long as anybody wants them.
fn read_digits(
    artifact: &ArtifactRecord,
    access: &BucketAccess,
    digits: &mut DecimalCheck,
    watch: &Watch<'_>,
) -> Result<(), Failure> {
    let mut done = 0;
    let read = artifact::try_read(artifact, access, |piece| {
        digits.update(piece);
        done += piece.len() as u64;
        let total = artifact.bytes.max(done);
        match watch(Stage::Computing(Progress { done, total })) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Unread::Stopped),
        }
    });
    read.map_err(|unread| match unread {
        Unread::Stopped => compute::stopped(),
        Unread::Error(error @ Error::ArtifactLost { .. }) => {
            Failure::retryable(UNREADABLE, error.to_string())
        }
        Unread::Error(error) => artifact::failure_of(&error),
    })
}

/// Why an artifact was not read to its end.
enum Unread {
    Stopped,
    Error(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Forms the result. Repeating it is safe: it only puts together what is recorded.
pub(super) fn publish(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    certified: &Certified,
) -> JobResult {
    let began = Instant::now();
    let result = JobResult {
        n: request.n,
        algorithm: request.algorithm,
        value: computed.value.clone(),
        digits: computed.digits,
        head: computed.head.clone(),
        tail: computed.tail.clone(),
        artifact: certified.artifact.clone(),
        certificate: certified.certificate.clone(),
        seconds: computed.seconds,
        pid: computed.pid,
        executor_id: computed.executor_id.clone(),
        attempts: job.attempts,
    };
    job.log.step_done(PUBLISH, began.elapsed());
    result
}

impl Computed {
    /// Counts what the states before took to the time of the digits.
    pub(super) fn after(mut self, states: &[StoredState]) -> Self {
        self.seconds += states.iter().map(|state| state.seconds).sum::<f64>();
        self
    }
}

impl<'a> StepRun<'a> {
    /// Shows the step in the worker's report from now on.
    pub(super) fn begin(job: &'a JobContext, name: &'static str) -> Self {
        Self {
            job,
            name,
            began: Instant::now(),
            running: job.activity.begin(name),
        }
    }

    /// What says how far the step is.
    pub(super) fn meter(&self) -> Meter {
        self.running.meter()
    }

    /// Logs how the step went; of one that failed by the host's fault nothing is to be recorded.
    pub(super) fn end<T>(self, outcome: Result<T, Failure>) -> dbos::Result<T, Failure> {
        drop(self.running);
        match &outcome {
            Ok(_) => self.job.log.step_done(self.name, self.began.elapsed()),
            Err(failure) if failure.is_of_host() => return Err(self.job.give_up(failure)),
            Err(failure) => self.job.log.step_failed(self.name, failure),
        }
        Ok(outcome?)
    }
}

/// Runs work on a thread that stops with the step and says how far it is.
pub(super) async fn on_thread<T: Send + 'static>(
    meter: Meter,
    work: impl FnOnce(&Watch<'_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    compute::on_thread(move |is_wanted| {
        work(&|stage| {
            meter.note(stage);
            is_wanted()
        })
    })
    .await
}

/// What may pass is tried three times; cancel and timeout reach the step while it computes, if it does so for long.
///
/// The engine watches a preemptible step by a query, and ends the query with the step by closing its connection; for a step
/// of microseconds that costs more than everything else, and such a step is over before anyone could cancel it.
pub(super) fn options(request: Request) -> StepOptions<Failure> {
    let estimate = request.estimate();
    let options: StepOptions<Failure> = StepOptions {
        max_attempts: 3,
        preemptible: estimate.seconds + estimate.decimal_seconds > WATCHED_SECONDS,
        ..StepOptions::default()
    };
    options.should_retry(
        |error| matches!(error, dbos::Error::Application(failure) if failure.data.kind == FailureKind::Retryable),
    )
}
