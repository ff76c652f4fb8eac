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
    exists && !is_zombie_or_thread(pid)
}

/// Linux says so; elsewhere a zombie looks alive until it is reaped, and a thread has no such id.
fn is_zombie_or_thread(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let field = |name| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let is_zombie = field("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    // A signal to a thread's id reaches the process that it is of.
    let is_thread = field("Tgid:").is_some_and(|process| process != pid.to_string());
    is_zombie || is_thread
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

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_of_another_process_is_no_process() {
        let (said, heard) = std::sync::mpsc::channel();
        let (end, until) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // A link to `<process>/task/<thread>`.
            let own = std::fs::read_link("/proc/thread-self").unwrap();
            let id: u32 = own.file_name().unwrap().to_str().unwrap().parse().unwrap();
            said.send(id).unwrap();
            let _ = until.recv();
        });
        let id = heard.recv().unwrap();
        assert_ne!(id, std::process::id());
        assert!(!is_alive(id), "a thread counts as a process");
        drop(end);
        thread.join().unwrap();
    }
}
