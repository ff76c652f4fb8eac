//! Computation: F(n) with its digits and where they are kept, and the blocking thread that small ones run on.
//!
//! What is computed is the same on a thread and in a child process ([`crate::isolation`]); only what happens when it goes
//! wrong differs.
//!
//! The async side owns a guard: when its future is dropped, because the job was cancelled, timed out, or the worker
//! shuts down, the guard raises a flag that the computation sees at its next progress report.
//! A panic on the thread comes back as a failure, never as a lost job.

use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use fibonacci::{Natural, Observer, Progress};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::artifact::Unfinished;
use crate::record::{Algorithm, ArtifactRecord, Failure, INLINE_DIGITS, Request};

/// How many digits of either end a result shows.
const END_DIGITS: usize = 20;

/// A value as it travels: with its digits where they are few, else with the place where they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) value: Option<String>,
    pub(crate) artifact: Option<ArtifactRecord>,
    pub(crate) digits: u64,
    pub(crate) head: String,
    pub(crate) tail: String,
    /// What the arithmetic took, without the storing.
    pub(crate) seconds: f64,
}

impl Answer {
    /// Describes a value by its digits, which travel with it unless they are an artifact.
    pub(crate) fn new(digits: String, artifact: Option<ArtifactRecord>, seconds: f64) -> Self {
        Self {
            digits: digits.len() as u64,
            head: digits.chars().take(END_DIGITS).collect(),
            tail: digits[digits.len().saturating_sub(END_DIGITS)..].to_owned(),
            value: artifact.is_none().then_some(digits),
            artifact,
            seconds,
        }
    }
}

/// Runs `work` on a blocking thread, with an observer that tells it to stop once this future is dropped.
///
/// # Errors
/// What `work` returns, or a terminal failure named `Panic` with the panic's message.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(&Observer<'_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let stop = CancellationToken::new();
    let _stop_when_dropped = stop.clone().drop_guard();
    let thread = tokio::task::spawn_blocking(move || {
        work(&|_| {
            if stop.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    });
    match thread.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => {
            Err(Failure::terminal("Panic", panic_message(&*error.into_panic())))
        }
        Err(_) => Err(stopped()),
    }
}

/// Computes the digits and stores them in `place` where they are too many for the row.
///
/// Repeating it is safe: the value is the same and its artifact is named by its hash.
///
/// # Errors
/// A retryable failure when it was stopped or the digits could not be stored; no file is left behind then.
pub(crate) fn answer(
    request: Request,
    place: &Unfinished,
    observe: &Observer<'_>,
) -> Result<Answer, Failure> {
    let began = Instant::now();
    let digits = decimal(request, observe)?;
    let seconds = began.elapsed().as_secs_f64();
    let is_inline = digits.len() as u64 <= INLINE_DIGITS;
    let artifact = if is_inline {
        None
    } else {
        Some(place.store(&digits, observe)?)
    };
    Ok(Answer::new(digits, artifact, seconds))
}

/// Computes the digits: by the default algorithm in base ten all along, by the others as a number that is converted, whose
/// progress is that of both parts, weighed by their estimated times.
fn decimal(request: Request, observe: &Observer<'_>) -> Result<String, Failure> {
    if request.algorithm == Algorithm::Doubling {
        return fibonacci::decimal_digits(request.n, observe).map_err(|_| stopped());
    }
    let estimate = request.estimate();
    let middle = nanoseconds(estimate.seconds);
    let total = middle + nanoseconds(estimate.decimal_seconds);
    let value = value(request, &part(observe, 0..middle, total))?;
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

/// Computes F(n) as `request` asks.
pub(crate) fn value(request: Request, observe: &Observer<'_>) -> Result<Natural, Failure> {
    let Request { n, algorithm, .. } = request;
    let value = match algorithm {
        Algorithm::Doubling => fibonacci::doubling(n, observe),
        // The same additions; as steps of a workflow they are made elsewhere.
        Algorithm::Iterative | Algorithm::Stepwise => fibonacci::iterative(n, observe),
        Algorithm::Recursive => fibonacci::recursive(n, observe),
    };
    value.map_err(|_| stopped())
}

/// What a computation says that was told to stop; nobody is left to record it.
pub(crate) fn stopped() -> Failure {
    Failure::retryable("Stopped", "the computation was stopped")
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("the program panicked: {}", text.unwrap_or("no message"))
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
