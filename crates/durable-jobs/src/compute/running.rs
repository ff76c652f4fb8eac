//! A computation that goes on by itself, and the blocking thread that small ones run on.
//!
//! The async side owns a guard: when it is dropped, because the job was cancelled, timed out, or the worker shuts down, the
//! guard raises a flag that the computation sees at its next progress report.
//! A panic on the thread comes back as a failure, never as a lost job.

use std::ops::ControlFlow;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Done, Task, run, stopped};
use crate::job::{Gauge, Meter};
use crate::record::Failure;

/// A computation that goes on until it has the digits or is dropped, whoever waits for it meanwhile.
pub(crate) struct Running {
    done: UnboundedReceiver<Result<Done, Ended>>,
    gauge: Gauge,
    _stop_when_dropped: DropGuard,
}

/// Where what a computation has come to is put.
pub(crate) type Outbox = UnboundedSender<Result<Done, Ended>>;

/// Why there will be no digits.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The process that computed died of something.
    Died(Failure),
    /// It lived to say why, or never lived.
    Failed(Failure),
}

impl Ended {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Died(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl Running {
    /// A computation that shows how far it is on `gauge`, and stops when `stop` is cancelled; and where it puts what it has.
    pub(crate) fn new(gauge: Gauge, stop: CancellationToken) -> (Self, Outbox) {
        let (outbox, done) = mpsc::unbounded_channel();
        let running = Self {
            done,
            gauge,
            _stop_when_dropped: stop.drop_guard(),
        };
        (running, outbox)
    }

    /// Does a task on a blocking thread.
    pub(crate) fn on_thread(task: Task) -> Self {
        let (gauge, stop) = (Gauge::default(), CancellationToken::new());
        let (running, outbox) = Self::new(gauge.clone(), stop.clone());
        let work = move |outbox: &Outbox| {
            let watch = |stage: super::Stage| {
                let (share, bytes) = stage.measures();
                gauge.set(share, bytes);
                go_on_unless(&stop)
            };
            run(&task, &watch, |state| drop(outbox.send(Ok(Done::State(state)))))
        };
        let thread = tokio::task::spawn_blocking({
            let outbox = outbox.clone();
            move || work(&outbox)
        });
        tokio::spawn(async move {
            let digits = joined(thread.await).map(Done::Digits).map_err(Ended::Failed);
            // Nobody may wait for it any more.
            let _ = outbox.send(digits);
        });
        running
    }

    /// The next thing that the computation has come to; how far it is, is shown on `meter` meanwhile. Cancel-safe.
    pub(crate) async fn next(&mut self, meter: Meter) -> Result<Done, Ended> {
        self.gauge.point_at(meter);
        let done = self.done.recv().await;
        done.unwrap_or_else(|| Err(Ended::Failed(stopped())))
    }
}

/// Runs `work` on a blocking thread, with a question that says stop once this future is dropped.
///
/// # Errors
/// What `work` returns, or a terminal failure named `Panic` with the panic's message.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> ControlFlow<()>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let stop = CancellationToken::new();
    let _stop_when_dropped = stop.clone().drop_guard();
    joined(tokio::task::spawn_blocking(move || work(&|| go_on_unless(&stop))).await)
}

fn go_on_unless(stop: &CancellationToken) -> ControlFlow<()> {
    if stop.is_cancelled() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// What a thread came to, with its panic as a failure.
fn joined<T>(thread: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    match thread {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => {
            Err(Failure::terminal("Panic", panic_message(&*error.into_panic())))
        }
        Err(_) => Err(stopped()),
    }
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("the program panicked: {}", text.unwrap_or("no message"))
}
