//! The faults that a job may ask for: the process really dies, by a signal or for want of memory.
//!
//! Whether it strikes follows from the request, the index and the recorded count of the job's starts, so that a job which
//! has survived its fault does not meet it again. Only a worker that was told so admits such a job.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

use durable_jobs::{Failure, JobContext, JobEvent, log_job_event};

use crate::record::{FaultKind, Request};

/// Less than any process of ours has: the next mapping fails.
const STARVED_BYTES: u64 = 1 << 20;

/// Too much for what an allocator has put by.
const MEAL_BYTES: usize = 256 << 20;

/// Lets the fault of a request strike if this is its step, or returns at once.
///
/// # Errors
/// The failure of the step, where that is the fault, in the step's first attempt.
pub(super) fn strike(job: &JobContext, request: &Request, index: u64) -> Result<(), Failure> {
    let kind = request
        .fault
        .and_then(|fault| fault.strikes(request.n, index, job.attempt()));
    let Some(kind) = kind else { return Ok(()) };
    if kind == FaultKind::Error && job.step_attempt() > 1 {
        return Ok(());
    }
    let event = JobEvent {
        message: "a fault on purpose strikes",
        is_warning: true,
        workflow_id: job.id().as_str(),
        ..JobEvent::default()
    };
    let (n, algorithm) = (request.n, request.algorithm.name());
    log_job_event!(&event, n, algorithm, fault = kind.name(), index);
    match kind {
        FaultKind::Segfault => segfault(),
        FaultKind::Abort => std::process::abort(),
        FaultKind::OutOfMemory => Err(starve()),
        FaultKind::Error => {
            let message = format!("the fault {}@{index} struck", kind.name());
            Err(Failure::retryable("FaultOnPurpose", message))
        }
    }
}

/// Dies of SIGSEGV. The first signal only takes away the handler that Rust has for stack overflows, and two that come too
/// soon are one.
fn segfault() -> ! {
    loop {
        // A bad address would need unsafe code. A process may always send itself a signal.
        let _ = kill_process(getpid(), Signal::SEGV);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Dies of an allocation that the kernel refuses; returns only if the limit could not be set. Stacks may still grow: one that
/// may not is a SIGSEGV.
fn starve() -> Failure {
    let limit = Rlimit {
        current: Some(STARVED_BYTES),
        ..getrlimit(Resource::Data)
    };
    if let Err(error) = setrlimit(Resource::Data, limit) {
        return Failure::terminal("FaultOnPurpose", format!("could not limit the memory: {error}"));
    }
    let mut meals: Vec<Vec<u8>> = Vec::new();
    loop {
        meals.push(vec![1; MEAL_BYTES]);
    }
}
