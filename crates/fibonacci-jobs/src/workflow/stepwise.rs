//! `fibonacci_stepwise`: one checkpointed step for every index from 2 to n, then certify and publish.
//!
//! It shows what a checkpoint is for: F(i) is added up from F(i−1) and F(i−2) as the two steps before returned them, which
//! on a replay is what was recorded, so that a run which begins anew in another process goes on at the next index.
//! Nothing else carries a value from step to step: no memo, no object.
//!
//! Every addition has the one name `add`; which one it is, is the engine's number of the step plus two, and stands in the
//! checkpoint as well. A value is recorded in hexadecimal, which is a sixth shorter than decimal digits and no
//! change of base: at the largest n a row stays under the two kilobytes above which PostgreSQL stores it elsewhere.
//!
//! An index costs three statements and one commit, whatever came before; a replay reads one recorded step after the
//! other, each once, with one statement. It does not promise to be a good way to a Fibonacci number.

use std::sync::Once;
use std::time::{Duration, Instant};

use durable_jobs::artifact::ArtifactFile;
use durable_jobs::compute::stopped;
use durable_jobs::{Failure, JobContext, JobEvent, StepOptions, log_job_event};
use fibonacci::Natural;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::fault;
use super::steps::{CERTIFY, Certified, Computed, check, computed, options, publish};
use crate::compute::{DecimalValue, computing};
use crate::record::{JobResult, Request};

const ADD: &str = "add";

/// Hexadecimal digits of one limb of a value.
const LIMB_DIGITS: usize = 16;

/// The checkpoint of one `add`. Fields may be added, none changes meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Added {
    index: u64,
    /// F(index) in hexadecimal.
    value: String,
    /// The time that all additions up to this one took, without their recording.
    nanoseconds: u64,
}

/// The checkpoint of `certify`: the value in decimal, and its certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Proven {
    computed: Computed,
    certified: Certified,
}

/// Adds F(n) up index by index, proves it and forms the result.
pub(super) async fn stepwise(job: &JobContext, request: Request) -> Result<JobResult, Failure> {
    let last = add_up(job, request).await?;
    let proven = job
        .step_with(CERTIFY, options(request), || prove(job, request, &last))
        .await?;
    publish(job, request, &proven.computed, &proven.certified, &[]).await
}

/// Runs the step of every index, or takes what it has recorded.
async fn add_up(job: &JobContext, request: Request) -> Result<Added, Failure> {
    let (mut before, mut last) = (Added::known(0), Added::known(1));
    if request.n == 0 {
        return Ok(before);
    }
    // The steps are not shown one by one, so all of them are shown as one.
    let _shown = job.show_step(ADD);
    let first_run = Once::new();
    for index in 2..=request.n {
        let next = job
            .step_with(ADD, options_of_add(), || async {
                // Closures of recorded steps do not run: the first that does is where this start goes on.
                first_run.call_once(|| log_begin(job, request, index));
                add(job, request, [&before, &last])
            })
            .await?;
        job.progress(index, request.n);
        before = std::mem::replace(&mut last, next);
    }
    Ok(last)
}

/// Adds the two values before an index.
///
/// Repeating it is safe: it only looks at what is recorded.
fn add(job: &JobContext, request: Request, terms: [&Added; 2]) -> Result<Added, Failure> {
    let began = Instant::now();
    let [before, last] = terms;
    let index = last.index + 1;
    fault::strike(job, &request, index)?;
    if before.index + 1 != last.index {
        let message = format!(
            "F({index}) cannot be added up from F({}) and F({})",
            before.index, last.index
        );
        return Err(Failure::terminal("Internal", message));
    }
    let value = before.natural()? + last.natural()?;
    let (value, took) = (format!("{value:x}"), began.elapsed());
    // One line per index is too much for every day.
    debug!(
        workflow_id = %job.id(),
        n = request.n,
        algorithm = request.algorithm.name(),
        pid = std::process::id(),
        ppid = std::os::unix::process::parent_id(),
        index,
        seconds = took.as_secs_f64(),
        "index added"
    );
    Ok(Added {
        index,
        value,
        nanoseconds: last.nanoseconds + u64::try_from(took.as_nanos()).unwrap_or_default(),
    })
}

/// Writes the last value in decimal and checks it against a certificate that was computed without it.
///
/// Repeating it is safe: it only looks at what is recorded.
async fn prove(job: &JobContext, request: Request, last: &Added) -> Result<Proven, Failure> {
    let value = last.natural()?;
    let digits = job.on_thread(move |watch| {
        fibonacci::decimal(&value, &|progress| watch(computing(progress))).map_err(|_| stopped())
    });
    let seconds = Duration::from_nanos(last.nanoseconds).as_secs_f64();
    // `Limits::STEPWISE_MAX_N` keeps the digits few enough for the row, so the file below is never written.
    let answer = DecimalValue::new(digits.await?, None, seconds);
    let computed = computed(job, answer, &ArtifactFile(job.artifacts().unfinished())).await?;
    let certified = check(job, request, &computed).await?;
    Ok(Proven { computed, certified })
}

impl Added {
    /// One of the two values that everything begins with.
    fn known(index: u64) -> Self {
        Self {
            index,
            // 0 and 1 are the same in hexadecimal.
            value: index.to_string(),
            nanoseconds: 0,
        }
    }

    fn natural(&self) -> Result<Natural, Failure> {
        let message = || format!("the recorded value of F({}) is not a number", self.index);
        natural(&self.value).ok_or_else(|| Failure::terminal("Internal", message()))
    }
}

/// Reads hexadecimal digits, a limb at a time from the last on.
fn natural(digits: &str) -> Option<Natural> {
    // A sign is no digit, although the standard library reads one.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let limbs = digits.as_bytes().rchunks(LIMB_DIGITS).map(|limb| {
        let limb = std::str::from_utf8(limb).ok()?;
        u64::from_str_radix(limb, 16).ok()
    });
    limbs.collect::<Option<_>>().map(Natural::from_owned_limbs_asc)
}

/// Says where the steps of indices go on; a first start that begins with the first one is said already.
fn log_begin(job: &JobContext, request: Request, index: u64) {
    if job.attempt() > 1 || index > 2 {
        let event = JobEvent {
            message: "resumed at index",
            workflow_id: job.id().as_str(),
            attempt: Some(job.attempt()),
            ..JobEvent::default()
        };
        log_job_event!(&event, n = request.n, algorithm = request.algorithm.name(), index);
    }
}

/// An addition takes microseconds: it is neither watched, since a cancellation or a timeout is noticed before the next one, nor
/// shown one by one.
fn options_of_add() -> StepOptions {
    StepOptions {
        is_watched: false,
        is_shown: false,
        ..StepOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written() {
        for n in [0, 1, 2, 92, 93, 94, 185, 186, 187, 10_000] {
            let value = fibonacci::iterative(n, &fibonacci::unobserved).unwrap();
            assert_eq!(natural(&format!("{value:x}")), Some(value), "F({n})");
        }
        for text in ["", "12z", "+1", "1é"] {
            assert_eq!(natural(text), None, "{text:?} was read");
        }
    }

    #[test]
    fn the_largest_checkpoint_stays_under_two_kilobytes() {
        let value = fibonacci::iterative(10_000, &fibonacci::unobserved).unwrap();
        let added = Added {
            index: 10_000,
            value: format!("{value:x}"),
            nanoseconds: 999_999_999,
        };
        let bytes = serde_json::to_string(&added).unwrap().len();
        // The other columns and the row's header take 120 bytes, and PostgreSQL stores elsewhere what is over 2,032.
        assert!(bytes < 1_900, "{bytes} bytes");
    }
}
