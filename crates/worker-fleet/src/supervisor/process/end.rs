//! The end of a process, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Instant;

use super::child::Child;
use crate::snapshot::LastExit;

/// The end of one process.
#[derive(Debug, Clone)]
pub(crate) struct ProcessEnd {
    pid: u32,
    status: ExitStatus,
    reason: Option<String>,
    started: Instant,
    ended: Instant,
}

impl ProcessEnd {
    /// Records the end of a child; `reason` is its last message or why it was killed.
    pub(crate) fn new(child: &Child, status: ExitStatus, reason: Option<String>, ended: Instant) -> Self {
        Self {
            pid: child.pid,
            status,
            reason,
            started: child.started,
            ended,
        }
    }

    /// Describes it to others.
    pub(crate) fn view(&self, now: Instant) -> LastExit {
        LastExit {
            pid: self.pid,
            code: self.status.code(),
            signal: self.status.signal().map(signal_name),
            reason: self.reason.clone(),
            ran_seconds: self.ended.saturating_duration_since(self.started).as_secs_f64(),
            age_seconds: now.saturating_duration_since(self.ended).as_secs_f64(),
        }
    }
}

/// Returns the name of a signal, or its number where it has none.
fn signal_name(number: i32) -> String {
    let name = signal_hook::low_level::signal_name(number);
    name.map_or_else(|| format!("signal {number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_code_or_signal_and_why() {
        let start = Instant::now();
        let end = |raw, reason| {
            ProcessEnd {
                pid: 7,
                status: ExitStatus::from_raw(raw),
                reason,
                started: start,
                ended: start,
            }
            .view(start)
        };
        let killed = end(9, None);
        assert_eq!((killed.code, killed.signal.as_deref()), (None, Some("SIGKILL")));
        let exited = end(3 << 8, Some("no".to_owned()));
        assert_eq!((exited.code, exited.signal), (Some(3), None));
        assert_eq!(exited.reason.as_deref(), Some("no"));
    }
}
