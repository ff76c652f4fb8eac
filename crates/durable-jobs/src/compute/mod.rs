//! Computations: a task runs on a blocking thread, or in a child process ([`crate::process`]) where it is heavy.
//!
//! The async side owns a guard: when its future is dropped, because the job was cancelled, timed out, or the worker shuts
//! down, the guard raises a flag that the computation sees at its next progress report.
//! A panic on the thread comes back as a failure, never as a lost job.

mod progress;
mod running;

use std::num::NonZero;
use std::ops::ControlFlow;
use std::thread::available_parallelism;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use progress::StepGuard;
pub(crate) use progress::{Activity, ProgressHandle};
pub use running::{Computation, ComputationEnded};
pub(crate) use running::{ResultSender, on_thread, panic_message};

use crate::record::Failure;

/// A task that is estimated to take longer runs in a child process.
const HEAVY_SECONDS: f64 = 0.05;

/// A task that is estimated to need more memory runs in a child process: 64 MB.
const HEAVY_BYTES: u64 = 64_000_000;

/// A part of a job that keeps a processor busy.
///
/// It is data, since it may have to go to another process: it and its output are one line of JSON each, 256 KiB at most.
/// The `Task` of `fibonacci` is another type: a thread of one computation, known in that crate only.
pub trait Task: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name by which a child process knows it.
    const NAME: &'static str;

    /// The result; a large value is an artifact, and this says where.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Computes, says how far it is, and ends when it is told to.
    ///
    /// Repeating it must be safe: a step that was running when its worker died runs again.
    ///
    /// # Errors
    /// The reason why there is no output; [`stopped`] when it was told to end.
    fn run(&self, run: &TaskRun<'_, Self::Output>) -> Result<Self::Output, Failure>;

    /// Estimates what it takes; a task that says nothing runs in a child process.
    fn cost(&self) -> Cost {
        Cost {
            seconds: f64::INFINITY,
            memory_bytes: 0,
        }
    }

    /// Removes the files that it may have left unfinished, when nobody waits for it any more.
    ///
    /// Those of a task that somebody waits for belong to the step, which holds an [`ArtifactFile`](crate::artifact::ArtifactFile).
    fn clean_up(&self) {}
}

/// The estimate of what a task takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Time on one processor.
    pub seconds: f64,
    /// Memory beyond what the program has anyway.
    pub memory_bytes: u64,
}

impl Cost {
    /// Says that the task is worth a process of its own.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.seconds > HEAVY_SECONDS || self.memory_bytes > HEAVY_BYTES
    }
}

/// The progress of a computation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// So much of the work is done.
    Computing {
        /// Units of work.
        done: u64,
        /// All units of work; at least one.
        total: u64,
    },
    /// All is computed, and so much of it is written.
    Writing {
        /// The bytes that are written.
        bytes: u64,
    },
}

impl Stage {
    /// The share that is computed, from 0 to 1, and the bytes that are written, once any are.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than its first digits"
    )]
    pub(crate) fn measures(self) -> (f64, Option<u64>) {
        match self {
            Self::Computing { done, total } => (done as f64 / total as f64, None),
            Self::Writing { bytes } => (1.0, Some(bytes)),
        }
    }
}

/// Takes how far a computation is, and tells it to stop by breaking.
pub type ProgressCallback<'a> = dyn Fn(Stage) -> ControlFlow<()> + 'a;

/// The other end of a running task.
pub struct TaskRun<'a, O> {
    watch: &'a ProgressCallback<'a>,
    send: &'a dyn Fn(O),
}

impl<'a, O> TaskRun<'a, O> {
    pub(crate) fn new(watch: &'a ProgressCallback<'a>, send: &'a dyn Fn(O)) -> Self {
        Self { watch, send }
    }

    /// Says how far the task is.
    ///
    /// # Errors
    /// [`stopped`] when nobody waits for it any more.
    pub fn progress(&self, done: u64, total: u64) -> Result<(), Failure> {
        match (self.watch)(Stage::Computing { done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(stopped()),
        }
    }

    /// Returns what takes the progress, for code that is handed a callback.
    pub fn watch(&self) -> &ProgressCallback<'a> {
        self.watch
    }

    /// Hands over an output before the last one; whoever waits with [`Computation::next`] gets it at once.
    pub fn send(&self, output: O) {
        (self.send)(output);
    }
}

/// The failure of a computation that was told to stop; nobody is left to record it.
#[must_use]
pub fn stopped() -> Failure {
    Failure::retryable("Stopped", "the computation was stopped")
}

/// As many threads as there are processors for this process.
#[must_use]
pub fn processors() -> NonZero<usize> {
    available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}
