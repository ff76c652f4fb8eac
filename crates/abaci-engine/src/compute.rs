//! Computation on a blocking thread that stops when nobody waits for it any more.
//!
//! The async side owns a guard: when its future is dropped, because the job was cancelled, timed out, or the worker
//! shuts down, the guard raises a flag that the computation sees at its next progress report.
//! A panic on the thread comes back as a failure, never as a lost job.

use std::ops::ControlFlow;

use fibonacci::{Natural, Observer};
use tokio_util::sync::CancellationToken;

use crate::record::{Algorithm, Failure, Request};

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

/// Computes F(n) as `request` asks.
pub(crate) fn value(request: Request, observe: &Observer<'_>) -> Result<Natural, Failure> {
    let Request { n, algorithm } = request;
    let value = match algorithm {
        Algorithm::Doubling => fibonacci::doubling(n, observe),
        Algorithm::Iterative => fibonacci::iterative(n, observe),
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
