//! Heavy computations in processes of their own, so that what they do to memory and processor they do to themselves.
//!
//! A task that is estimated to take over 50 ms or 64 MB runs in a child process if the worker was given an [`Isolation`]; a
//! smaller one would pay more for the process than it costs.
//! The child is handed one line of JSON on its standard input, says lines of JSON on its standard output, and ends when
//! its input does, so it cannot outlive the worker's interest. A large value never goes through the pipe: the child writes
//! the artifact, under an unfinished name that the worker chose, and says where it is.
//!
//! However a child ends, the worker lives: its end becomes a retryable [`crate::Failure`] with the signal, the code or the
//! limit in it. The child is killed when nobody waits for its step any more, which is how cancel, timeout and drain stop
//! it, and it is always reaped.
//!
//! It does not promise that a limit of memory is met exactly: what is limited is the address space beyond what the program
//! had when it began.
//!
//! | end of the child | consequence for the job |
//! |---|---|
//! | cancel, timeout, a drain past its grace time | nothing is recorded of the step; the task that owns the child kills its group, reaps it and removes its unfinished file, in this order |
//! | the end of the worker | the child sees the end of its input and ends; the kernel continues one that is stopped, which then does the same |
//! | a signal, a code, a limit of memory, processor time or time | one death is counted in `abaci.deaths`, and another child begins at once; at three deaths the job is parked with the last reason |
//! | signals of a service manager to all processes | none: the worker decides |
//! | there is none, since the program, descriptors, processes or memory for one cannot be had; or its output cannot be written: a disk that is full, read-only, broken or gone | the host's fault: the job goes back to its queue at once, uncounted, with the records of its steps; the worker is not ready, says why, and claims nothing for 1 s, twice as long each time up to 30 s, and until it can start a process and write a file |
//!
//! A child is the program that its worker is, by `/proc/self/exe`, whatever has become of the file; a file that was
//! replaced is for a reload. A job that was given back is claimed first by the next claim, so a value for which a full disk
//! never has room keeps its worker busy and unready, and is for a person to cancel.
//!
//! A worker that was given no isolation computes on threads and has no limit of memory.

mod child;
mod limits;
mod parent;
mod protocol;

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use self::limits::{InheritedLimits, ProcessLimits};
use self::protocol::ComputeRequest;
use crate::compute::{Cost, Task, processors};
use crate::record::Advice;
pub use child::{TaskKind, compute_for_worker};

/// The program that a worker computes with, and the limits of each of its processes; where the worker has lower ones itself,
/// as by `ulimit`, those hold.
#[derive(Debug, Clone)]
pub struct Isolation {
    /// The program; it calls [`compute_for_worker`].
    pub program: PathBuf,
    /// Its name where processes are listed.
    pub name: OsString,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// All that is in its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The number of threads that one computation may use; with as many workers as processors, one is best.
    pub threads: NonZero<usize>,
    /// The memory of one computation, in bytes.
    pub memory_bytes: u64,
    /// The processor time of one computation, rounded up to seconds; absent for no limit.
    pub cpu_time: Option<Duration>,
    /// The time of one computation by the clock; absent for no limit.
    pub wall_time: Option<Duration>,
}

/// The memory of a computation unless another limit is set: 1 GiB.
const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;

impl Isolation {
    /// Computes in children of this very program that are called with `arguments`, on one thread with 1 GiB of memory each.
    ///
    /// # Errors
    /// When the program cannot be found.
    pub fn of_this_program<A: Into<String>>(arguments: impl IntoIterator<Item = A>) -> std::io::Result<Self> {
        Ok(Self {
            program: this_program()?,
            name: std::env::args_os().next().unwrap_or_default(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            threads: NonZero::<usize>::MIN,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            cpu_time: None,
            wall_time: None,
        })
    }
}

/// The program as it runs, also after its file was replaced.
fn this_program() -> std::io::Result<PathBuf> {
    // The link leads to the running program even where its file is gone; systems without /proc have the path.
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return Ok(running);
    }
    std::env::current_exe()
}

/// The computing processes of one worker. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Children {
    isolation: Option<Arc<Isolation>>,
    advice: Advice,
    /// Each child has a task that reaps it, which outlives the step that wanted it.
    tasks: TaskTracker,
}

/// The computing processes of a worker that has an isolation.
pub(crate) struct Enabled<'a> {
    isolation: &'a Isolation,
    advice: Advice,
    tasks: &'a TaskTracker,
}

impl Children {
    pub(crate) fn new(isolation: Option<Isolation>, advice: Advice) -> Self {
        Self {
            isolation: isolation.map(Arc::new),
            advice,
            tasks: TaskTracker::new(),
        }
    }

    /// The number of threads that one computation may use.
    pub(crate) fn threads(&self) -> NonZero<usize> {
        self.isolation
            .as_ref()
            .map_or_else(processors, |isolation| isolation.threads)
    }

    /// Returns what computes a task of this cost in a child, if that is heavy and this worker has children.
    pub(crate) fn for_cost(&self, cost: Cost) -> Option<Enabled<'_>> {
        let isolation = self.isolation.as_ref().filter(|_| cost.is_heavy())?;
        Some(Enabled {
            isolation,
            advice: self.advice,
            tasks: &self.tasks,
        })
    }

    /// Completes when every child is reaped and nothing unfinished of theirs is left; no child is started after that.
    pub(crate) async fn gone(&self) {
        // A tracker that is open is never waited out; closing it forbids no further task.
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Enabled<'_> {
    /// The limits in force for one process; `granted_bytes` is the memory of this job, if it is not the usual.
    fn limits(&self, granted_bytes: Option<u64>) -> ProcessLimits {
        ProcessLimits {
            memory_bytes: granted_bytes.unwrap_or(self.isolation.memory_bytes),
            cpu_time: self.isolation.cpu_time,
            wall_time: self.isolation.wall_time,
            advice: self.advice,
        }
        .under(InheritedLimits::read())
    }
}

impl ProcessLimits {
    /// The request to a child that is to keep them.
    fn request<T: Task>(&self, task: T) -> ComputeRequest<T> {
        ComputeRequest {
            name: T::NAME.into(),
            task,
            memory_bytes: self.memory_bytes,
            cpu_seconds: self.cpu_time.map(whole_seconds),
        }
    }
}

/// The kernel counts processor time in seconds; none at all would kill at once.
fn whole_seconds(time: Duration) -> u64 {
    let rounded_up = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    rounded_up.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_rounded_up_to_what_the_kernel_counts() {
        for (given_ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(given_ms)), seconds);
        }
    }
}
