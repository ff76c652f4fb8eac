//! The end of a process, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Instant;

use super::child::Child;
use crate::snapshot::WorkerExit;

/// Describes the end of a child; `reason` is its last message or why it was killed.
pub(crate) fn exit_of(
    child: &Child,
    status: ExitStatus,
    reason: Option<String>,
    ended: Instant,
) -> WorkerExit {
    WorkerExit {
        pid: child.pid,
        code: status.code(),
        signal: status.signal().map(signal_name),
        reason,
        ran_seconds: ended.saturating_duration_since(child.started).as_secs_f64(),
        age_seconds: 0.0,
    }
}

/// Returns the name of a signal, or its number where it has none.
fn signal_name(number: i32) -> String {
    let name = signal_hook::low_level::signal_name(number);
    name.map_or_else(|| format!("signal {number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::worker::tests::child;
    use super::*;

    #[tokio::test]
    async fn an_end_says_code_or_signal_and_why() {
        let child = child();
        let end = |raw, reason| exit_of(&child, ExitStatus::from_raw(raw), reason, child.started);
        let killed = end(9, None);
        assert_eq!((killed.code, killed.signal.as_deref()), (None, Some("SIGKILL")));
        let exited = end(3 << 8, Some("no".to_owned()));
        assert_eq!((exited.code, exited.signal), (Some(3), None));
        assert_eq!(exited.reason.as_deref(), Some("no"));
    }
}
