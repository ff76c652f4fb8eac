//! A computation that goes on by itself, and the blocking thread that small ones run on.
//!
//! The async side owns a guard: when it is dropped, because the job was cancelled, timed out, or the worker shuts down, the
//! guard raises a flag that the computation sees at its next progress report.
//! A panic on the thread comes back as a failure, never as a lost job.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Activity, ProgressCallback, ProgressHandle, Stage, Task, TaskRun, stopped};
use crate::record::Failure;

/// A task that goes on until it has its last output or this is dropped, whoever waits for it meanwhile.
pub struct Computation<O> {
    outputs: UnboundedReceiver<Result<O, ComputationEnded>>,
    progress: ProgressHandle,
    activity: Arc<Activity>,
    _stop_when_dropped: DropGuard,
}

/// Where the outputs of a task are put.
pub(crate) type ResultSender<O> = UnboundedSender<Result<O, ComputationEnded>>;

/// A reason why there will be no further output.
#[derive(Debug)]
pub enum ComputationEnded {
    /// The process that computed died of something.
    Died(Failure),
    /// It reported a failure, or could not be started.
    Failed(Failure),
}

impl<O: Send + 'static> Computation<O> {
    /// A computation that shows how far it is on `progress`, and stops when `stop` is cancelled; and where its outputs go.
    pub(crate) fn new(
        activity: Arc<Activity>,
        progress: ProgressHandle,
        stop: CancellationToken,
    ) -> (Self, ResultSender<O>) {
        let (sender, outputs) = mpsc::unbounded_channel();
        let computation = Self {
            outputs,
            progress,
            activity,
            _stop_when_dropped: stop.drop_guard(),
        };
        (computation, sender)
    }

    /// Runs a task on a blocking thread.
    pub(crate) fn on_thread(task: impl Task<Output = O>, activity: Arc<Activity>) -> Self {
        let (progress, stop) = (ProgressHandle::default(), CancellationToken::new());
        let (computation, sender) = Self::new(activity, progress.clone(), stop.clone());
        // One for the outputs on the way; the other stays outside of the thread, to send its panic.
        let outputs = sender.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let watch = |stage: Stage| {
                let (share, bytes) = stage.measures();
                progress.set(share, bytes);
                go_on_unless(&stop)
            };
            task.run(&TaskRun::new(&watch, &|output| drop(outputs.send(Ok(output)))))
        });
        tokio::spawn(async move {
            // Nobody may wait for it any more.
            let _ = sender.send(joined(thread.await).map_err(ComputationEnded::Failed));
        });
        computation
    }

    /// Waits for the next output; how far the task is, is shown at the step that runs. Cancel-safe.
    ///
    /// # Errors
    /// The reason why there is none.
    pub async fn next(&mut self) -> Result<O, ComputationEnded> {
        self.progress.point_at(self.activity.step_progress());
        let output = self.outputs.recv().await;
        // Only after the outcome was taken, or where the runtime dropped the task that sends it.
        output.unwrap_or_else(|| Err(ComputationEnded::Failed(stopped())))
    }

    /// Waits for the last output, and passes over those before. Cancel-safe, but for those that were passed over.
    ///
    /// # Errors
    /// The reason why there is none.
    pub async fn last(&mut self) -> Result<O, ComputationEnded> {
        // Ends once all senders are gone: the outcome is what the last of them sends.
        let mut last = self.next().await?;
        while let Some(output) = self.outputs.recv().await {
            last = output?;
        }
        Ok(last)
    }
}

/// Runs `work` on a blocking thread; it shows how far it is on the step that runs, and is told to stop once this future is
/// dropped.
///
/// # Errors
/// The failure that `work` returns, or a terminal failure named `Panic` with the panic's message.
pub(crate) async fn on_thread<T: Send + 'static>(
    activity: &Activity,
    work: impl FnOnce(&ProgressCallback<'_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (progress, stop) = (activity.step_progress(), CancellationToken::new());
    let _stop_when_dropped = stop.clone().drop_guard();
    let thread = tokio::task::spawn_blocking(move || {
        work(&|stage| {
            progress.note(stage);
            go_on_unless(&stop)
        })
    });
    joined(thread.await)
}

fn go_on_unless(stop: &CancellationToken) -> ControlFlow<()> {
    if stop.is_cancelled() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// The outcome of a thread, with its panic as a failure.
fn joined<T>(thread: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    match thread {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => {
            Err(Failure::terminal("Panic", panic_message(&*error.into_panic())))
        }
        // Cancelled, which only the end of the runtime does, to a task that has no thread yet.
        Err(_) => Err(stopped()),
    }
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    // A panic with a plain text carries a `&str`, one with arguments a `String`.
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("the program panicked: {}", text.unwrap_or("no message"))
}
