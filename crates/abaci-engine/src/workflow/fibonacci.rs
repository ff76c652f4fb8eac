//! `fibonacci_workflow`: compute, certify, publish.
//!
//! A value of up to 10,000 digits travels in the checkpoints; a longer one is an artifact, and only its place and hash do.
//! The certificate is computed without the value, by modular doubling, and the value must agree with it before anything is
//! published: a wrong digit fails the job, it is never an answer.

use std::sync::Arc;
use std::time::Instant;

use dbos::{StepOptions, step_with};
use fibonacci::{Certificate, Observer};
use serde::{Deserialize, Serialize};

use crate::artifact::{self, Artifacts};
use crate::compute::{self, Answer};
use crate::deaths::Deaths;
use crate::isolation::{ChildError, Children};
use crate::record::{ArtifactRecord, CertificateRecord, Failure, FailureKind, JobResult, Request};
use crate::worker::{Activity, JobLog, Meter, StepGuard};

const COMPUTE: &str = "compute";
pub(super) const CERTIFY: &str = "certify";
pub(super) const PUBLISH: &str = "publish";

/// A step that is estimated to take longer is watched for cancellation.
const WATCHED_SECONDS: f64 = 0.01;

/// The name of the failure that is met by computing again; nobody else sees it.
const UNREADABLE: &str = "Unreadable";

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
}

/// The checkpoint of `compute`. Fields may be added, none changes meaning.
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

/// The checkpoint of `certify`: the certificate, and where the digits are that agree with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Certified {
    certificate: CertificateRecord,
    artifact: Option<ArtifactRecord>,
}

/// Where the digits of a value are.
pub(super) struct Digits {
    value: Option<String>,
    artifact: Option<ArtifactRecord>,
}

/// One attempt of a step, from its begin to the line that says how it went.
pub(super) struct StepRun<'a> {
    job: &'a JobContext,
    name: &'static str,
    began: Instant,
    running: StepGuard<'a>,
}

/// Computes F(n), proves it and forms the result.
pub(crate) async fn fibonacci(job: Arc<JobContext>, request: Request) -> dbos::Result<JobResult, Failure> {
    let computed: Computed = step_with(COMPUTE, options(request), || async {
        let run = StepRun::begin(&job, COMPUTE);
        let answer = answer(&job, request, run.meter()).await;
        run.end(answer.map(|answer| computed(&job, answer)))
    })
    .await?;
    let certified: Certified = step_with(CERTIFY, options(request), || async {
        let run = StepRun::begin(&job, CERTIFY);
        let certified = certify(&job, request, &computed, run.meter()).await;
        run.end(certified)
    })
    .await?;
    step_with(PUBLISH, StepOptions::default(), || async {
        Ok(publish(&job, request, &computed, &certified))
    })
    .await
}

/// Computes the digits and stores them where they are too many for the row; in a child process where that is heavy.
///
/// A child that dies is followed by another at once, until the deaths park the job.
/// Repeating it is safe: the value is the same and its artifact is named by its hash.
async fn answer(job: &JobContext, request: Request, meter: Meter) -> Result<Answer, Failure> {
    let Some(children) = job.children.for_request(&request) else {
        let place = job.artifacts.unfinished();
        return on_thread(meter, move |observe| compute::answer(request, &place, observe)).await;
    };
    loop {
        let order = children.order(request, job.artifacts.unfinished(), job.memory_bytes);
        let death = match children.compute(order, meter.clone(), &job.log).await {
            Err(ChildError::Died(death)) => death,
            Err(ChildError::Failed(failure)) => return Err(failure),
            Ok(answer) => return Ok(answer),
        };
        match job.deaths.count(&death).await {
            Ok(None) => job.log.step_failed(COMPUTE, &death),
            Ok(Some(poison)) => return Err(poison.at_attempt(job.attempts)),
            // Uncounted it must not go round here for ever; the engine's attempts are few and slow.
            Err(_) => return Err(death),
        }
    }
}

pub(super) fn computed(job: &JobContext, answer: Answer) -> Computed {
    Computed {
        value: answer.value,
        artifact: answer.artifact,
        digits: answer.digits,
        head: answer.head,
        tail: answer.tail,
        seconds: answer.seconds,
        pid: std::process::id(),
        executor_id: job.executor_id.clone(),
    }
}

/// Checks the digits against a certificate that was computed without them.
///
/// An artifact that is missing here or was changed is computed again, never believed.
/// Repeating it is safe: it reads, and writes at most the artifact that was there before.
async fn certify(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    meter: Meter,
) -> Result<Certified, Failure> {
    let stored = Digits::of(computed);
    let checked = on_thread(meter.clone(), move |_| check(request, stored)).await;
    let reason = match checked {
        Err(failure) if failure.name == UNREADABLE => failure.message,
        checked => return checked,
    };
    let again = Failure::retryable("Artifact", format!("{reason}; computing it again"));
    job.log.step_failed(CERTIFY, &again);
    let answer = answer(job, request, meter.clone()).await?;
    let stored = Digits {
        value: answer.value,
        artifact: answer.artifact,
    };
    on_thread(meter, move |_| check(request, stored)).await
}

/// Reads the digits and compares them with residues that were computed without them.
pub(super) fn check(request: Request, stored: Digits) -> Result<Certified, Failure> {
    let Digits { value, artifact } = stored;
    let digits = match (value, &artifact) {
        (Some(value), _) => value,
        (None, Some(artifact)) => {
            artifact::read(artifact).map_err(|error| Failure::retryable(UNREADABLE, error.to_string()))?
        }
        (None, None) => {
            let message = "the recorded step has neither value nor artifact";
            return Err(Failure::terminal("Internal", message));
        }
    };
    let certificate = Certificate::for_index(request.n);
    certificate
        .check_decimal(&digits)
        .map_err(|mismatch| Failure::terminal("CertificateMismatch", mismatch.to_string()))?;
    let blake3 = blake3::hash(digits.as_bytes()).to_hex().to_string();
    Ok(Certified {
        certificate: CertificateRecord::new(&certificate, blake3),
        artifact,
    })
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

impl Digits {
    /// Where the recorded digits are.
    pub(super) fn of(computed: &Computed) -> Self {
        Self {
            value: computed.value.clone(),
            artifact: computed.artifact.clone(),
        }
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

    /// Logs how the step went.
    pub(super) fn end<T>(self, outcome: Result<T, Failure>) -> dbos::Result<T, Failure> {
        drop(self.running);
        match &outcome {
            Ok(_) => self.job.log.step_done(self.name, self.began.elapsed()),
            Err(failure) => self.job.log.step_failed(self.name, failure),
        }
        Ok(outcome?)
    }
}

/// Runs work on a thread that stops with the step and says how far it is.
pub(super) async fn on_thread<T: Send + 'static>(
    meter: Meter,
    work: impl FnOnce(&Observer<'_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    compute::on_thread(move |observe: &Observer<'_>| {
        work(&|progress| {
            meter.set(progress);
            observe(progress)
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
