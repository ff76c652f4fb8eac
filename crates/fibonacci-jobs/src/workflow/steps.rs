//! Common to the workflows' steps: where a computation runs, how it is checked, and what is recorded of it.
//!
//! A value of up to 10,000 digits travels in the checkpoints; a longer one is an artifact, and only its place and hash do.
//! The certificate is computed without the value, by modular doubling, and the value must agree with it before anything is
//! published: a wrong digit fails the job, it is never an answer.

use std::ops::ControlFlow;

use durable_jobs::artifact::{self, ArtifactFile, BucketAccess};
use durable_jobs::compute::{ProgressCallback, Stage, stopped};
use durable_jobs::record::ArtifactRecord;
use durable_jobs::{Error, Failure, JobContext, StepOptions};
use fibonacci::{Certificate, DecimalCheck};
use serde::{Deserialize, Serialize};

use super::checkpointed_run::{CheckpointedRun, state_name};
use crate::compute::{DecimalValue, UNREADABLE};
use crate::record::{CertificateRecord, JobResult, Request};

pub(super) const CERTIFY: &str = "certify";
pub(super) const PUBLISH: &str = "publish";

/// A step that is estimated to take longer is watched for cancellation.
const WATCHED_SECONDS: f64 = 0.01;

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
    /// The time of the arithmetic from the state before to this one.
    pub(super) seconds: f64,
}

/// The checkpoint of `certify`: the certificate, and where the digits are that agree with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Certified {
    certificate: CertificateRecord,
    artifact: Option<ArtifactRecord>,
}

/// Describes digits for the checkpoint, after they were kept where they are too many for the row.
pub(super) async fn computed(
    job: &JobContext,
    answer: DecimalValue,
    file: &ArtifactFile,
) -> Result<Computed, Failure> {
    let artifact = match &answer.file {
        Some(written) => {
            let name = format!("{}.txt", written.blake3);
            Some(job.keep(file, written, &name).await?)
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
        executor_id: job.executor_id().to_owned(),
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
) -> Result<Certified, Failure> {
    let reason = match check(job, request, computed).await {
        Err(failure) if failure.name == UNREADABLE => failure.message,
        checked => return checked,
    };
    job.log_retry(&Failure::retryable(
        "Artifact",
        format!("{reason}; computing it again"),
    ));
    // No stops: the states before are recorded, and this step records no others.
    let computed = CheckpointedRun::new(job, request, Vec::new(), states)
        .digits()
        .await?;
    let checked = check(job, request, &computed).await;
    checked.map_err(|failure| Failure {
        // The name is for this code only; lost twice, the failure is recorded as one of the artifact.
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
) -> Result<Certified, Failure> {
    let (value, artifact) = (computed.value.clone(), computed.artifact.clone());
    let access = job.artifacts().access().clone();
    job.on_thread(move |watch| {
        let mut digits = DecimalCheck::new();
        let blake3 = match (value, &artifact) {
            (Some(value), _) => {
                digits.update(value.as_bytes());
                blake3::hash(value.as_bytes()).to_hex().to_string()
            }
            (None, Some(artifact)) => {
                read_digits(artifact, &access, &mut digits, watch)?;
                // Compared with what was read, by `try_read`.
                artifact.blake3.clone()
            }
            (None, None) => {
                let message = "the recorded step has neither value nor artifact";
                return Err(Failure::terminal("Internal", message));
            }
        };
        // A later change of the file was found by its hash: a mismatch is a wrong computation.
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
    watch: &ProgressCallback<'_>,
) -> Result<(), Failure> {
    let mut done = 0;
    let read = artifact::try_read(artifact, access, |piece| {
        digits.update(piece);
        done += piece.len() as u64;
        // A file that was changed may be longer than recorded.
        let total = artifact.bytes.max(done);
        match watch(Stage::Computing { done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Unread::Stopped),
        }
    });
    read.map_err(|unread| match unread {
        Unread::Stopped => stopped(),
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

/// Removes the states and forms the result. Repeating it is safe: it only puts together what is recorded.
pub(super) async fn publish(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    certified: &Certified,
    states: &[StoredState],
) -> Result<JobResult, Failure> {
    let options = StepOptions {
        // Nothing in it can fail, so there is nothing to try again.
        attempts: 1,
        is_watched: false,
        ..StepOptions::default()
    };
    job.step_with(PUBLISH, options, || async {
        // Only now, with the certificate recorded: until then `certify` may have to compute from them again.
        discard(job, states).await;
        Ok(result_of(job, request, computed, certified))
    })
    .await
}

fn result_of(job: &JobContext, request: Request, computed: &Computed, certified: &Certified) -> JobResult {
    JobResult {
        n: request.n,
        algorithm: request.algorithm,
        value: computed.value.clone(),
        digits: computed.digits,
        head: computed.head.clone(),
        tail: computed.tail.clone(),
        // Not that of `computed`: `certify` may have computed it again and kept it elsewhere.
        artifact: certified.artifact.clone(),
        certificate: certified.certificate.clone(),
        seconds: computed.seconds,
        pid: computed.pid,
        executor_id: computed.executor_id.clone(),
        attempts: job.attempt(),
    }
}

/// Removes the states, which nobody needs any more. Repeating it is safe: what is gone is gone.
async fn discard(job: &JobContext, states: &[StoredState]) {
    for state in states {
        // Best effort: what is left is collected as garbage.
        let _ = job.artifacts().remove(&state_name(job, state.k)).await;
    }
}

impl Computed {
    /// Counts what the states before took to the time of the digits.
    pub(super) fn after(mut self, states: &[StoredState]) -> Self {
        self.seconds += states.iter().map(|state| state.seconds).sum::<f64>();
        self
    }
}

/// Tries a retryable failure three times; a step that is over before anyone could cancel it is not watched.
pub(super) fn options(request: Request) -> StepOptions {
    StepOptions {
        is_watched: request.cost().seconds > WATCHED_SECONDS,
        ..StepOptions::default()
    }
}
