//! Whether a process of this host still lives.

use rustix::process::{Pid, test_kill_process};

/// Whether the process `pid` of this host exists and is not merely waiting to be reaped.
///
/// An id that was given to another process since looks alive; callers then wait for the heartbeat to expire.
pub(crate) fn is_alive(pid: u32) -> bool {
    let exists = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| match test_kill_process(pid) {
            Ok(()) => true,
            // It exists and belongs to someone else.
            Err(error) => error == rustix::io::Errno::PERM,
        });
    exists && !is_zombie(pid)
}

/// Linux says so in the field after the parenthesised name; elsewhere a zombie looks alive until it is reaped.
fn is_zombie(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.trim_start().chars().next());
    matches!(state, Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::is_alive;

    #[test]
    fn a_killed_child_is_dead_before_and_after_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        assert!(is_alive(pid) && is_alive(std::process::id()));
        child.kill().unwrap();
        // Linux tells a zombie apart at once, but only once the signal was delivered.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while cfg!(target_os = "linux") && is_alive(pid) {
            assert!(std::time::Instant::now() < deadline, "a zombie counts as alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(pid), "a reaped process counts as alive");
    }
}
