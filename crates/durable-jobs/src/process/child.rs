//! The child's side: takes one request, confines itself, computes, says how it went, and ends.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::limits;
use super::protocol::{ChildMessage, ComputeRequest, MAX_LINE_BYTES, line_of};
use crate::compute::{Stage, Task, TaskRun};
use crate::record::Failure;

/// The shortest time between two reports of progress to the worker.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The niceness of the computation: it asks for less than the worker, whose heartbeat must not wait for it.
const NICE: i32 = 5;

/// The seconds between the soft limit of processor time, at which SIGXCPU comes, and the hard one, at which the kernel kills.
const HARD_LIMIT_SECONDS: u64 = 5;

/// The exit code of a process whose worker is gone.
const EXIT_DESERTED: i32 = 3;

/// The stack of the watching thread.
const WATCH_STACK_BYTES: usize = 64 << 10;

/// A task that a child process can run.
pub struct TaskKind {
    name: &'static str,
    run: fn(&ComputeRequest<Box<RawValue>>) -> io::Result<()>,
}

impl TaskKind {
    /// Names a task.
    #[must_use]
    pub fn of<T: Task>() -> Self {
        Self {
            name: T::NAME,
            run: run::<T>,
        }
    }
}

/// Computes what the request on standard input asks for, and says on standard output how it goes.
///
/// It is all that a process does that was started by a worker's [`Isolation`](super::Isolation). It limits the memory and
/// the processor time of the whole process, outlasts SIGHUP, SIGINT and SIGTERM, and ends the process when standard input
/// ends, on Linux also one that is stopped.
///
/// # Errors
/// When the request cannot be read, or nobody reads the answer.
pub fn compute_for_worker(kinds: &[TaskKind]) -> io::Result<()> {
    // First: the worker may end, and signals may come, before the request is there.
    if let Err(error) = leave_end_to_worker() {
        let failure = limits::not_started(&error);
        return send(&ChildMessage::<()>::Failed { failure });
    }
    let request = read_request()?;
    let Some(kind) = kinds.iter().find(|kind| kind.name == request.name) else {
        let message = format!(
            "the computing process knows no task {:?}; name it in compute_for_worker",
            request.name
        );
        return refuse("UnknownTask", message);
    };
    (kind.run)(&request)
}

fn run<T: Task>(request: &ComputeRequest<Box<RawValue>>) -> io::Result<()> {
    // Only here, where the name has led to a type: until then the task is text.
    let task: T = match serde_json::from_str(request.task.get()) {
        Ok(task) => task,
        Err(error) => {
            let message = format!(
                "the computing process cannot read the task {:?}: {error}; it has to be of its worker's version",
                T::NAME
            );
            return refuse("UnreadableTask", message);
        }
    };
    if let Err(error) = confine(request).and_then(|()| end_with_stdin(task.clone())) {
        let failure = limits::not_started(&error);
        return send(&ChildMessage::<T::Output>::Failed { failure });
    }
    let sent_last = Cell::new(Instant::now());
    let watch = |stage: Stage| {
        if sent_last.get().elapsed() < PROGRESS_INTERVAL {
            return ControlFlow::Continue(());
        }
        sent_last.set(Instant::now());
        let (done, bytes) = stage.measures();
        // A pipe that nobody reads is an error here and no signal, since the runtime ignores SIGPIPE.
        match send(&ChildMessage::<T::Output>::Progress { done, bytes }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    // An output that cannot be sent is the task's last word.
    let unsent = RefCell::new(None);
    let hand_over = |what| {
        if let Err(failure) = send_output(&ChildMessage::Sent { what }) {
            unsent.borrow_mut().get_or_insert(failure);
        }
    };
    let ended = task.run(&TaskRun::new(&watch, &hand_over));
    let last = match (unsent.take(), ended) {
        (Some(failure), _) | (None, Err(failure)) => Err(failure),
        (None, Ok(what)) => send_output(&ChildMessage::Done { what }),
    };
    match last {
        Ok(()) => Ok(()),
        Err(failure) => send(&ChildMessage::<T::Output>::Failed { failure }),
    }
}

/// Says that no attempt can run the task. It is an answer, since an end without one would count as a death.
fn refuse(name: &str, message: String) -> io::Result<()> {
    let failure = Failure::terminal(name, message);
    send(&ChildMessage::<()>::Failed { failure })
}

/// Sends an output; that nobody reads it is said by the next progress report.
fn send_output<O: Serialize>(message: &ChildMessage<O>) -> Result<(), Failure> {
    let line = line_of("an output of the task", message)?;
    let _ = write(&line);
    Ok(())
}

/// Ends with the worker, and by no signal that a service manager sends to all processes of a service: the worker decides
/// what becomes of the computation, and a process that ended by itself would count as a death.
fn leave_end_to_worker() -> io::Result<()> {
    // The end of the worker is that of standard input, also one that came before this call, so nobody has to compare
    // the parent with the worker; only a stopped process does not see it, until it is continued. No SIGKILL: the kernel
    // looks at the thread that started this process, and a runtime may end that one long before the worker.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))?;
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // Nobody reads the flag: that there is a handler is what keeps the signal from ending this process.
        flag::register(signal, Arc::default())?;
    }
    Ok(())
}

fn read_request() -> io::Result<ComputeRequest<Box<RawValue>>> {
    let mut line = Vec::new();
    let stdin = io::stdin().lock();
    stdin.take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|error| io::Error::other(format!("reading the request: {error}")))
}

/// Sets the limits of this process.
fn confine<T>(request: &ComputeRequest<T>) -> io::Result<()> {
    let memory = request
        .memory_bytes
        .saturating_add(limits::ALLOWANCE_BYTES)
        .saturating_add(address_space_bytes());
    lower(Resource::As, memory, memory)?;
    // The image of a process that was refused memory is as large as the memory that it had.
    lower(Resource::Core, 0, 0)?;
    if let Some(seconds) = request.cpu_seconds {
        // Two limits: SIGXCPU names its cause, which a kill at the hard one would not.
        lower(Resource::Cpu, seconds, seconds.saturating_add(HARD_LIMIT_SECONDS))?;
    }
    // Without the right to a lower priority, the one that it has does, too.
    let _ = nice(NICE);
    Ok(())
}

/// Sets a limit, unless there is a lower one already.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    // The kernel refuses to raise a hard limit without a privilege. `None` stands for no limit.
    let present = getrlimit(resource);
    let limit = Rlimit {
        current: Some(present.current.map_or(soft, |present| present.min(soft))),
        maximum: Some(present.maximum.map_or(hard, |present| present.min(hard))),
    };
    Ok(setrlimit(resource, limit)?)
}

/// The address space of this process now; nothing where the system does not tell.
fn address_space_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kibibytes = size.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok());
    kibibytes.map_or(0, |kibibytes: u64| kibibytes.saturating_mul(1024))
}

/// Ends the process when the worker's end of standard input is closed, however that came about.
fn end_with_stdin(task: impl Task) -> io::Result<()> {
    let watcher = thread::Builder::new().stack_size(WATCH_STACK_BYTES);
    watcher.spawn(move || {
        let mut byte = [0];
        // The request was the only line; a read that ends without a byte is the end of the pipe.
        while io::stdin().lock().read(&mut byte).is_ok_and(|count| count > 0) {}
        task.clean_up();
        std::process::exit(EXIT_DESERTED);
    })?;
    Ok(())
}

fn send(message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    write(&line)
}

fn write(line: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line)?;
    stdout.flush()
}
