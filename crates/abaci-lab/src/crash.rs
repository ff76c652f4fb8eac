//! Real crashes, in a process that is there to have them.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

/// Less memory than any process has: the next mapping fails.
const STARVED_BYTES: u64 = 1 << 20;

/// Too much for what an allocator has put by.
const MEAL_BYTES: usize = 256 << 20;

/// Dies of SIGSEGV. The first signal only takes away the handler that Rust has for stack overflows, and two that come too
/// soon are one.
pub(crate) fn segfault() -> ! {
    loop {
        let _ = kill_process(getpid(), Signal::SEGV);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Dies of an allocation that the kernel refuses. Stacks may still grow: one that may not is a SIGSEGV.
pub(crate) fn starve() -> ! {
    let limit = Rlimit {
        current: Some(STARVED_BYTES),
        ..getrlimit(Resource::Data)
    };
    let _ = setrlimit(Resource::Data, limit);
    let mut meals: Vec<Vec<u8>> = Vec::new();
    loop {
        meals.push(vec![1; MEAL_BYTES]);
    }
}
