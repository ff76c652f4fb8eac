//! `fibonacci_workflow`: compute, certify, publish.
//!
//! A value of up to 10,000 digits travels in the checkpoints; a longer one is an artifact, and only its place and hash do.
//! The certificate is computed without the value, by modular doubling, and the value must agree with it before anything is
//! published: a wrong digit fails the job, it is never an answer.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbos::{StepOptions, step_with};
use fibonacci::{Certificate, Observer, Progress};
use serde::{Deserialize, Serialize};

use crate::artifact::{self, Artifacts};
use crate::compute;
use crate::record::{
    ArtifactRecord, CertificateRecord, Failure, FailureKind, INLINE_DIGITS, JobResult, Request,
};
use crate::worker::{Activity, JobLog};

const COMPUTE: &str = "compute";
const CERTIFY: &str = "certify";
const PUBLISH: &str = "publish";

/// A step that is estimated to take longer is watched for cancellation.
const WATCHED_SECONDS: f64 = 0.01;

/// How many digits of either end a result shows.
const END_DIGITS: usize = 20;

/// What the steps of one attempt know of their worker.
pub(crate) struct JobContext {
    pub(crate) log: JobLog,
    pub(crate) executor_id: String,
    pub(crate) artifacts: Artifacts,
    pub(crate) attempts: u32,
    /// Where the worker's report looks for the step that runs.
    pub(crate) activity: Arc<Activity>,
}

/// The checkpoint of `compute`. Fields may be added, none changes meaning.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Computed {
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
struct Certified {
    certificate: CertificateRecord,
    artifact: Option<ArtifactRecord>,
}

/// Computes F(n), proves it and forms the result.
pub(crate) async fn fibonacci(job: Arc<JobContext>, request: Request) -> dbos::Result<JobResult, Failure> {
    let computed: Computed = step_with(COMPUTE, options(request), || {
        let worker = Arc::clone(&job);
        on_thread(&job, COMPUTE, move |observe| compute(&worker, request, observe))
    })
    .await?;
    let certified: Certified = step_with(CERTIFY, options(request), || {
        let (worker, computed) = (Arc::clone(&job), computed.clone());
        on_thread(&job, CERTIFY, move |observe| {
            certify(&worker, request, &computed, observe)
        })
    })
    .await?;
    step_with(PUBLISH, StepOptions::default(), || async {
        Ok(publish(&job, request, &computed, &certified))
    })
    .await
}

/// Computes the digits and stores them where they are too many for the row.
///
/// Repeating it is safe: the value is the same and its artifact is named by its hash.
fn compute(job: &JobContext, request: Request, observe: &Observer<'_>) -> Result<Computed, Failure> {
    let began = Instant::now();
    let digits = decimal(request, observe)?;
    let seconds = began.elapsed().as_secs_f64();
    let is_inline = digits.len() as u64 <= INLINE_DIGITS;
    let artifact = if is_inline {
        None
    } else {
        Some(store(&job.artifacts, &digits)?)
    };
    Ok(Computed {
        digits: digits.len() as u64,
        head: digits.chars().take(END_DIGITS).collect(),
        tail: digits[digits.len().saturating_sub(END_DIGITS)..].to_owned(),
        value: is_inline.then_some(digits),
        artifact,
        seconds,
        pid: std::process::id(),
        executor_id: job.executor_id.clone(),
    })
}

/// Checks the digits against a certificate that was computed without them.
///
/// Repeating it is safe: it reads, and writes at most the artifact that was there before.
fn certify(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    observe: &Observer<'_>,
) -> Result<Certified, Failure> {
    let certificate = Certificate::for_index(request.n);
    let (digits, artifact) = recall(job, request, computed, observe)?;
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
fn publish(job: &JobContext, request: Request, computed: &Computed, certified: &Certified) -> JobResult {
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

/// The digits that `compute` found. An artifact that is missing here or was changed is computed again, never believed.
fn recall(
    job: &JobContext,
    request: Request,
    computed: &Computed,
    observe: &Observer<'_>,
) -> Result<(String, Option<ArtifactRecord>), Failure> {
    let artifact = match (&computed.value, &computed.artifact) {
        (Some(value), _) => return Ok((value.clone(), None)),
        (None, Some(artifact)) => artifact,
        (None, None) => {
            return Err(Failure::terminal(
                "Internal",
                "the recorded step has neither value nor artifact",
            ));
        }
    };
    match artifact::read(artifact) {
        Ok(digits) => Ok((digits, Some(artifact.clone()))),
        Err(error) => {
            job.log.step_failed(
                CERTIFY,
                &Failure::retryable("Artifact", format!("{error}; computing it again")),
            );
            let digits = decimal(request, observe)?;
            let artifact = store(&job.artifacts, &digits)?;
            Ok((digits, Some(artifact)))
        }
    }
}

/// Computes the digits; its progress is that of both parts, weighed by their estimated times.
fn decimal(request: Request, observe: &Observer<'_>) -> Result<String, Failure> {
    let estimate = request.estimate();
    let middle = nanoseconds(estimate.seconds);
    let total = middle + nanoseconds(estimate.decimal_seconds);
    let value = compute::value(request, &part(observe, 0..middle, total))?;
    fibonacci::decimal(&value, &part(observe, middle..total, total)).map_err(|_| compute::stopped())
}

/// Reports the progress of a part as that of the whole, of which it is `units`.
fn part<'a>(
    observe: &'a Observer<'a>,
    units: Range<u64>,
    total: u64,
) -> impl Fn(Progress) -> ControlFlow<()> + 'a {
    move |progress| {
        let length = u128::from(units.end - units.start);
        let done = length * u128::from(progress.done) / u128::from(progress.total);
        let done = u64::try_from(done).map_or(units.end, |done| units.start + done);
        observe(Progress { done, total })
    }
}

/// An estimated time as units of work: at least one, and so few that two of them can be added.
fn nanoseconds(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(time.as_nanos())
        .unwrap_or(u64::MAX)
        .clamp(1, u64::MAX / 2)
}

fn store(artifacts: &Artifacts, digits: &str) -> Result<ArtifactRecord, Failure> {
    artifacts
        .write(digits)
        .map_err(|error| Failure::retryable("Artifact", error.to_string()))
}

/// Runs the work of a step on a thread that stops with the step, says in the worker's report how far it is, and logs how
/// it went.
async fn on_thread<T: Send + 'static>(
    job: &JobContext,
    step: &'static str,
    work: impl FnOnce(&Observer<'_>) -> Result<T, Failure> + Send + 'static,
) -> dbos::Result<T, Failure> {
    let began = Instant::now();
    let running = job.activity.begin(step);
    let meter = running.meter();
    let work = move |observe: &Observer<'_>| {
        work(&|progress| {
            meter.set(progress);
            observe(progress)
        })
    };
    let outcome = compute::on_thread(work).await;
    drop(running);
    match &outcome {
        Ok(_) => job.log.step_done(step, began.elapsed()),
        Err(failure) => job.log.step_failed(step, failure),
    }
    Ok(outcome?)
}

/// What may pass is tried three times; cancel and timeout reach the step while it computes, if it does so for long.
///
/// The engine watches a preemptible step by a query, and ends the query with the step by closing its connection; for a step
/// of microseconds that costs more than everything else, and such a step is over before anyone could cancel it.
fn options(request: Request) -> StepOptions<Failure> {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::record::Algorithm;

    fn progress_of(request: Request) -> Vec<Progress> {
        let seen = RefCell::new(Vec::new());
        let observe = |progress| {
            seen.borrow_mut().push(progress);
            ControlFlow::Continue(())
        };
        decimal(request, &observe).unwrap();
        seen.into_inner()
    }

    #[test]
    fn progress_grows_over_both_parts_of_a_step() {
        for request in [
            Request::new(0),
            Request::new(3_000_000),
            Request::with(30_000, Algorithm::Iterative),
            Request::with(30, Algorithm::Recursive),
        ] {
            let seen = progress_of(request);
            assert!(
                seen.windows(2)
                    .all(|pair| pair[0].done <= pair[1].done && pair[0].total == pair[1].total),
                "{request:?}: progress was taken back: {seen:?}"
            );
            assert!(
                seen.iter().all(|progress| progress.done <= progress.total),
                "{request:?}"
            );
        }
    }

    #[test]
    fn a_long_value_is_done_when_its_last_digit_is_written() {
        let seen = progress_of(Request::new(3_000_000));
        let last = seen.last().unwrap();
        assert_eq!(last.done, last.total);
        let is_between = |progress: &&Progress| (0.1..0.9).contains(&share(progress));
        assert!(
            seen.iter().filter(is_between).count() > 5,
            "a part is passed over: {seen:?}"
        );
    }

    #[expect(clippy::cast_precision_loss, reason = "first digits are enough")]
    fn share(progress: &Progress) -> f64 {
        progress.done as f64 / progress.total as f64
    }
}
