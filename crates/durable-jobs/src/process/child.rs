//! The child's side: takes one order, confines itself, computes, says how it went, and ends.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use super::limits;
use super::protocol::{MAX_LINE_BYTES, Order, Said};
use crate::compute::{self, Done, Stage, State, Task};

/// How often the worker hears how far the computation is, at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How much less of the processor the computation asks for than the worker, whose heartbeat must not wait for it.
const NICE: i32 = 5;

/// Address space beyond what is there at the beginning and what the computation may use: the growth of the stack, the
/// watching thread's and the second computing one's, an arena of the allocator for each of the two, 64 MiB, and its waste.
/// Measured: up to 160 MiB on two threads, 120 MiB on one, and 190 MiB for the moment in which an arena is aligned.
const ALLOWANCE_BYTES: u64 = 192 << 20;

/// Between the limit of processor time that says so and the one that kills without a word.
const HARD_LIMIT_SECONDS: u64 = 5;

/// What the process ends with when its worker is gone.
const EXIT_DESERTED: i32 = 3;

/// What the watching thread needs.
const WATCH_STACK_BYTES: usize = 64 << 10;

/// Computes what the order on standard input asks for, and says on standard output how it goes.
///
/// It is all that a process does that was started by a worker's [`Isolation`](super::Isolation). It limits the memory and
/// the processor time of the whole process, and ends the process when standard input ends.
///
/// # Errors
/// When the order cannot be read or nobody hears the answer.
pub fn compute_for_worker() -> io::Result<()> {
    let order = read_order()?;
    if let Err(error) = confine(&order).and_then(|()| end_with_stdin(order.task.clone())) {
        let failure = limits::not_started(&error);
        return say(&Said::Failed { failure });
    }
    let said_last = Cell::new(Instant::now());
    let watch = |stage| {
        if said_last.get().elapsed() < PROGRESS_INTERVAL {
            return ControlFlow::Continue(());
        }
        said_last.set(Instant::now());
        match say(&said_of(stage)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let hand_over = |state: State| {
        let what = Box::new(Done::State(state));
        // Nobody who would hear it: the next progress report will say so.
        let _ = say(&Said::Done { what });
    };
    let said = match compute::run(&order.task, &watch, hand_over) {
        Ok(answer) => Said::Done {
            what: Box::new(Done::Digits(answer)),
        },
        Err(failure) => Said::Failed { failure },
    };
    say(&said)
}

fn read_order() -> io::Result<Order> {
    let mut line = Vec::new();
    let stdin = io::stdin().lock();
    stdin.take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|error| io::Error::other(format!("reading the order: {error}")))
}

/// Sets the limits of this process.
fn confine(order: &Order) -> io::Result<()> {
    let memory = order
        .memory_bytes
        .saturating_add(ALLOWANCE_BYTES)
        .saturating_add(address_space_bytes());
    lower(Resource::As, memory, memory)?;
    // The image of a process that was refused memory is as large as the memory that it had.
    lower(Resource::Core, 0, 0)?;
    if let Some(seconds) = order.cpu_seconds {
        lower(Resource::Cpu, seconds, seconds.saturating_add(HARD_LIMIT_SECONDS))?;
    }
    // Without the right to a lower priority, the one that it has does, too.
    let _ = nice(NICE);
    Ok(())
}

/// Sets a limit, unless there is a lower one already.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
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
fn end_with_stdin(task: Task) -> io::Result<()> {
    let watcher = thread::Builder::new().stack_size(WATCH_STACK_BYTES);
    watcher.spawn(move || {
        let mut byte = [0];
        while io::stdin().lock().read(&mut byte).is_ok_and(|count| count > 0) {}
        task.remove_files();
        std::process::exit(EXIT_DESERTED);
    })?;
    Ok(())
}

fn say(said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

fn said_of(stage: Stage) -> Said {
    let (done, bytes) = stage.measures();
    Said::Progress { done, bytes }
}
