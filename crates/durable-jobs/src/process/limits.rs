//! The limits of a computing process, and its end without an answer, in words that name the way out.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Resource, Signal, getrlimit};

use crate::record::{Advice, Failure};

/// The words of the runtime when it is refused memory, before it aborts.
const NO_MEMORY: &str = "memory allocation of";

/// Address space beyond what is there at the beginning and what the computation may use: the growth of the stack, the
/// watching thread's and the second computing one's, an arena of the allocator for each of the two, 64 MiB, and its waste.
/// Measured: up to 160 MiB on two threads, 120 MiB on one, and 190 MiB for the moment in which an arena is aligned.
pub(super) const ALLOWANCE_BYTES: u64 = 192 << 20;

/// The way out of a limit of address space that the worker itself has, as by `ulimit` or a service manager.
const INHERITED_MEMORY: &str =
    "it is the worker's own limit of address space; start the worker with a higher one";

/// The way out of such a limit of processor time.
const INHERITED_CPU_TIME: &str = "it is the worker's own limit; start the worker with a higher one";

/// The limits that a child has from its worker, which it cannot raise.
#[derive(Debug, Clone, Copy)]
pub(super) struct InheritedLimits {
    address_space_bytes: Option<u64>,
    cpu_seconds: Option<u64>,
}

impl InheritedLimits {
    /// Reads those of this process, the worker.
    pub(super) fn read() -> Self {
        let cpu = getrlimit(Resource::Cpu);
        // The kernel kills at the hard limit and names no cause, so the soft one has to come before it.
        let before_hard = cpu.maximum.map(|hard| hard.saturating_sub(1).max(1));
        Self {
            address_space_bytes: getrlimit(Resource::As).current,
            cpu_seconds: cpu.current.into_iter().chain(before_hard).min(),
        }
    }
}

/// The limits of one process, and the words for whoever may raise them.
pub(super) struct ProcessLimits {
    pub(super) memory_bytes: u64,
    pub(super) cpu_time: Option<Duration>,
    pub(super) wall_time: Option<Duration>,
    pub(super) advice: Advice,
}

impl ProcessLimits {
    /// Takes the limits in place of these that are inherited and lower.
    pub(super) fn under(mut self, inherited: InheritedLimits) -> Self {
        let allowed = self.memory_bytes.saturating_add(ALLOWANCE_BYTES);
        if let Some(bytes) = inherited.address_space_bytes.filter(|bytes| *bytes < allowed) {
            self.memory_bytes = bytes;
            self.advice.memory = INHERITED_MEMORY;
        }
        let time = inherited.cpu_seconds.map(Duration::from_secs);
        if let Some(time) = time.filter(|time| self.cpu_time.is_none_or(|own| *time < own)) {
            self.cpu_time = Some(time);
            self.advice.cpu_time = INHERITED_CPU_TIME;
        }
        self
    }

    /// Says why there is no answer, from how the process ended and what it wrote to stderr last.
    pub(super) fn failure_of(&self, status: ExitStatus, last_words: &str) -> Failure {
        let Some(number) = status.signal() else {
            // Never absent here: a process that no signal ended has a code.
            let code = status.code().unwrap_or_default();
            let how = format!("the computing process ended with code {code} and no answer");
            return died(&how, last_words);
        };
        match Signal::from_named_raw(number) {
            // An abort has many causes, such as a panic while panicking; only the words tell this one.
            Some(Signal::ABORT) if last_words.contains(NO_MEMORY) => self.out_of_memory(),
            Some(Signal::XCPU) => self.cpu_time_exceeded(),
            Some(Signal::KILL) => died(
                "the computing process was killed by SIGKILL, by the kernel for want of memory or by somebody",
                last_words,
            ),
            _ => died(
                &format!("the computing process was ended by {}", name_of(number)),
                last_words,
            ),
        }
    }

    /// The worker killed it, since its time by the clock was over.
    pub(super) fn wall_time_exceeded(&self) -> Failure {
        let (limit, way_out) = (self.wall_time.unwrap_or_default(), self.advice.wall_time);
        let message = format!("the computation took longer than its {limit:?}; {way_out}");
        Failure::retryable("WallTimeExceeded", message)
    }

    fn out_of_memory(&self) -> Failure {
        let (limit_mb, way_out) = (self.memory_bytes / 1_000_000, self.advice.memory);
        let message = format!("the computation needs more memory than its limit of {limit_mb} MB; {way_out}");
        Failure::retryable("OutOfMemory", message)
    }

    fn cpu_time_exceeded(&self) -> Failure {
        let (limit, way_out) = (self.cpu_time.unwrap_or_default(), self.advice.cpu_time);
        let message = format!("the computation used up its {limit:?} of processor time; {way_out}");
        Failure::retryable("CpuTimeExceeded", message)
    }
}

/// No process could be started, or it could not begin, for a reason that no job has to do with.
pub(super) fn not_started(error: &std::io::Error) -> Failure {
    Failure::of_host(format!("cannot start a computing process: {error}"))
}

fn died(how: &str, last_words: &str) -> Failure {
    let message = if last_words.is_empty() {
        how.to_owned()
    } else {
        format!("{how}; it wrote: {last_words}")
    };
    Failure::retryable("ChildDied", message)
}

/// The name of a signal, or its number where it has none.
fn name_of(number: i32) -> String {
    let name = signal_hook::low_level::signal_name(number);
    name.map_or_else(|| format!("signal {number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FailureKind;

    const REFUSED: &str = "memory allocation of 17 bytes failed";

    fn limits() -> ProcessLimits {
        ProcessLimits {
            memory_bytes: 300_000_000,
            cpu_time: Some(Duration::from_secs(7)),
            wall_time: None,
            advice: Advice::default(),
        }
    }

    fn of(raw: i32, last_words: &str) -> Failure {
        limits().failure_of(ExitStatus::from_raw(raw), last_words)
    }

    #[test]
    fn a_limit_is_named_that_is_in_force() {
        let named = |raw, last_words, cpu_time, inherited| {
            let limits = ProcessLimits { cpu_time, ..limits() }.under(inherited);
            limits.failure_of(ExitStatus::from_raw(raw), last_words).message
        };
        let inherited = |bytes, cpu_seconds| InheritedLimits {
            address_space_bytes: bytes,
            cpu_seconds,
        };
        let seven = Some(Duration::from_secs(7));
        for (own, inherited_seconds, words) in [
            (None, Some(5), ["its 5s", "worker's own limit"]),
            (seven, Some(5), ["its 5s", "worker's own limit"]),
            (seven, Some(7), ["its 7s", "Isolation::cpu_time"]),
            (seven, None, ["its 7s", "Isolation::cpu_time"]),
        ] {
            let message = named(24, "", own, inherited(None, inherited_seconds));
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
        for (bytes, words) in [
            (Some(200_000_000), ["of 200 MB", "worker's own limit"]),
            (Some(1 << 40), ["of 300 MB", "Isolation::memory_bytes"]),
            (None, ["of 300 MB", "Isolation::memory_bytes"]),
        ] {
            let message = named(6, REFUSED, seven, inherited(bytes, None));
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }

    #[test]
    fn every_end_is_told_with_its_name_and_its_way_out() {
        for (raw, last_words, name, words) in [
            (6, REFUSED, "OutOfMemory", ["300 MB", "Isolation::memory_bytes"]),
            (6, "", "ChildDied", ["SIGABRT", "ended by"]),
            (24, "", "CpuTimeExceeded", ["7s", "Isolation::cpu_time"]),
            (9, "", "ChildDied", ["SIGKILL", "or by somebody"]),
            (11, "", "ChildDied", ["SIGSEGV", "ended by"]),
            (34, "", "ChildDied", ["signal 34", "ended by"]),
            (3 << 8, "no input", "ChildDied", ["code 3", "it wrote: no input"]),
        ] {
            let failure = of(raw, last_words);
            assert_eq!(
                (failure.name.as_str(), failure.data.kind),
                (name, FailureKind::Retryable)
            );
            for word in words {
                assert!(failure.message.contains(word), "{word:?} is not in: {failure}");
            }
        }
    }
}
