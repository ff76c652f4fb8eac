//! The end of a computing process without an answer, in words that name the way out.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

use crate::record::{Advice, Failure};

/// The words of the runtime when it is refused memory, before it aborts.
const NO_MEMORY: &str = "memory allocation of";

/// The limits of one process, and the words for whoever may raise them.
pub(super) struct ProcessLimits {
    pub(super) memory_bytes: u64,
    pub(super) cpu_time: Option<Duration>,
    pub(super) wall_time: Option<Duration>,
    pub(super) advice: Advice,
}

impl ProcessLimits {
    /// Says why there is no answer, from how the process ended and what it wrote to stderr last.
    pub(super) fn failure_of(&self, status: ExitStatus, last_words: &str) -> Failure {
        let Some(number) = status.signal() else {
            let code = status.code().unwrap_or_default();
            let how = format!("the computing process ended with code {code} and no answer");
            return died(&how, last_words);
        };
        match Signal::from_named_raw(number) {
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

    fn of(raw: i32, last_words: &str) -> Failure {
        let limits = ProcessLimits {
            memory_bytes: 300_000_000,
            cpu_time: Some(Duration::from_secs(7)),
            wall_time: None,
            advice: Advice::default(),
        };
        limits.failure_of(ExitStatus::from_raw(raw), last_words)
    }

    #[test]
    fn every_end_is_told_with_its_name_and_its_way_out() {
        let no_memory = "memory allocation of 17 bytes failed";
        for (raw, last_words, name, words) in [
            (6, no_memory, "OutOfMemory", ["300 MB", "Isolation::memory_bytes"]),
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
