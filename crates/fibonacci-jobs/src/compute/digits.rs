//! All digits of F(n), or states on the way to them.
//!
//! What is too long for a row is written to a file; putting that in its place is the worker's.

use std::io::Write;
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use durable_jobs::Failure;
use durable_jobs::artifact::{self, Durability, Unfinished, Written};
use durable_jobs::compute::{Cost, ProgressCallback, Stage, TaskRun, processors, stopped};
use fibonacci::{DecimalDoubling, Observer, Progress};
use serde::{Deserialize, Serialize};

use super::state;
use crate::record::{Algorithm, INLINE_DIGITS, Request};

/// The number of digits of either end that a result shows.
const END_DIGITS: usize = 20;

/// The name of the failure of what was stored and is not there any more or was changed; it is met by computing again, and
/// nobody else sees it.
pub(crate) const UNREADABLE: &str = "Unreadable";

/// The computation of all digits of F(n), and of states on the way to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FibonacciTask {
    pub(crate) request: Request,
    /// The state to go on from; absent to begin at the beginning.
    #[serde(default)]
    pub(crate) from: Option<StateFile>,
    /// The indices whose states are wanted, in their order, and where to write each.
    #[serde(default)]
    pub(crate) stops: Vec<Stop>,
    /// Where to write the digits, if they are too many for the row.
    pub(crate) place: Unfinished,
    /// The number of threads that may compute.
    #[serde(default = "processors")]
    pub(crate) threads: NonZero<usize>,
}

/// A state that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) k: u64,
    pub(crate) place: Unfinished,
}

/// A stored state, as a file of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateFile {
    pub(crate) path: PathBuf,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub(crate) blake3: String,
}

/// An output of a task: one of its states, or its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    State(WrittenState),
    Digits(DecimalValue),
}

/// A value as it travels: with its digits where they are few, else with what was written of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecimalValue {
    pub(crate) value: Option<String>,
    pub(crate) file: Option<Written>,
    pub(crate) digits: u64,
    pub(crate) head: String,
    pub(crate) tail: String,
    /// The time of the arithmetic since the last state, without the storing.
    pub(crate) seconds: f64,
}

/// A state that was written to a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WrittenState {
    /// The index that it is the state of.
    pub(crate) k: u64,
    pub(crate) file: Written,
    /// The time of the arithmetic since the state before, without the storing.
    pub(crate) seconds: f64,
}

impl durable_jobs::compute::Task for FibonacciTask {
    const NAME: &'static str = "fibonacci";

    type Output = Done;

    fn run(&self, task: &TaskRun<'_, Done>) -> Result<Done, Failure> {
        run(self, task.watch(), |state| task.send(Done::State(state))).map(Done::Digits)
    }

    fn cost(&self) -> Cost {
        self.request.cost()
    }

    fn clean_up(&self) {
        for place in self.stops.iter().map(|stop| &stop.place).chain([&self.place]) {
            place.remove();
        }
    }
}

impl DecimalValue {
    /// Describes a value by its digits, which travel with it unless they were written.
    pub(crate) fn new(digits: String, file: Option<Written>, seconds: f64) -> Self {
        Self {
            digits: digits.len() as u64,
            head: digits.chars().take(END_DIGITS).collect(),
            // All are ASCII, so any byte is the beginning of a digit.
            tail: digits[digits.len().saturating_sub(END_DIGITS)..].to_owned(),
            value: file.is_none().then_some(digits),
            file,
            seconds,
        }
    }
}

/// Does a task: hands over each of its states once it is written, and at the end the digits.
///
/// Repeating it is safe: the numbers are the same, and what is written is written anew.
///
/// # Errors
/// A retryable failure when it was stopped or something could not be written, and no file is left behind of that then; one
/// named [`UNREADABLE`] when the state to go on from is not what was stored.
fn run(
    task: &FibonacciTask,
    watch: &ProgressCallback<'_>,
    mut hand_over: impl FnMut(WrittenState),
) -> Result<DecimalValue, Failure> {
    let observe = |progress| watch(computing(progress));
    let n = task.request.n;
    let course = match &task.from {
        Some(file) => Some(state::read(n, file, task.threads)?),
        // Without stops no state is needed, and the algorithm that was asked for computes.
        None => (!task.stops.is_empty()).then(|| DecimalDoubling::new(n).with_threads(task.threads)),
    };
    // What was read is not arithmetic.
    let mut began = Instant::now();
    let digits = match course {
        None => decimal(task.request, task.threads, &observe)?,
        Some(mut course) => {
            for Stop { k, place } in &task.stops {
                // A stop that is not on the way is never reached: the worker refuses another index's state.
                while course.index() < *k && !course.is_done() {
                    course.step(&observe).map_err(|_| stopped())?;
                }
                let seconds = began.elapsed().as_secs_f64();
                let file = state::write(&course, place, watch)?;
                hand_over(WrittenState {
                    k: course.index(),
                    file,
                    seconds,
                });
                began = Instant::now();
            }
            course.finish(&observe).map_err(|_| stopped())?
        }
    };
    answer(digits, began, &task.place, watch)
}

/// Describes the digits, and writes them where they are too many for the row.
fn answer(
    digits: String,
    began: Instant,
    place: &Unfinished,
    watch: &ProgressCallback<'_>,
) -> Result<DecimalValue, Failure> {
    let seconds = began.elapsed().as_secs_f64();
    if digits.len() as u64 <= INLINE_DIGITS {
        return Ok(DecimalValue::new(digits, None, seconds));
    }
    let observe = |bytes| watch(Stage::Writing { bytes });
    let file = place
        .write(Durability::Flushed, &observe, |file| {
            file.write_all(digits.as_bytes())
        })
        .map_err(|error| not_written(place, &error))?;
    Ok(DecimalValue::new(digits, Some(file), seconds))
}

/// The failure of something that could not be written.
pub(super) fn not_written(place: &Unfinished, error: &std::io::Error) -> Failure {
    // A stop by `watch` has no code of the system, so the host is not blamed for it.
    if artifact::is_of_host(error) {
        let directory = place.directory().display();
        return Failure::of_host(format!("cannot use the artifacts in {directory}: {error}"));
    }
    Failure::retryable("Artifact", format!("writing {}: {error}", place.path().display()))
}

/// Computes the digits: by doubling in base ten all along, by the others as a number that is converted, whose progress is
/// that of both parts, weighed by their estimated times.
fn decimal(request: Request, threads: NonZero<usize>, observe: &Observer<'_>) -> Result<String, Failure> {
    let Request { n, algorithm, .. } = request;
    let estimate = request.estimate();
    let middle = nanoseconds(estimate.seconds);
    let total = middle + nanoseconds(estimate.decimal_seconds);
    let first = part(observe, 0..middle, total);
    let value = match algorithm {
        Algorithm::Doubling | Algorithm::Giant => {
            return fibonacci::decimal_digits_with(n, threads, observe).map_err(|_| stopped());
        }
        // The same additions; as steps of a workflow they are made elsewhere.
        Algorithm::Iterative | Algorithm::Stepwise => fibonacci::iterative(n, &first),
        Algorithm::Recursive => fibonacci::recursive(n, &first),
    };
    let value = value.map_err(|_| stopped())?;
    fibonacci::decimal(&value, &part(observe, middle..total, total)).map_err(|_| stopped())
}

/// Reports the progress of a part as that of the whole, of which it is `units`.
fn part<'a>(
    observe: &'a Observer<'a>,
    units: Range<u64>,
    total: u64,
) -> impl Fn(Progress) -> ControlFlow<()> + 'a {
    move |progress| {
        let length = u128::from(units.end - units.start);
        // `Progress` promises a total of at least 1, and the product of two numbers of 64 bits fits.
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

/// Hands on how far the arithmetic is.
pub(crate) fn computing(progress: Progress) -> Stage {
    let Progress { done, total } = progress;
    Stage::Computing { done, total }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn progress_of(request: Request) -> Vec<Progress> {
        let seen = RefCell::new(Vec::new());
        let observe = |progress| {
            seen.borrow_mut().push(progress);
            ControlFlow::Continue(())
        };
        decimal(request, processors(), &observe).unwrap();
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
