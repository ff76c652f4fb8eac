//! The life of a process that wrote down its number, as far as this process can look for it.
//!
//! A number means something only within one boot of one machine and one PID namespace: two containers may have one host
//! name and other processes under the same numbers. Within them a number goes to another process in time, which has
//! another start. So a process writes down all of it, and where the place is not ours nothing is known of the process.
//!
//! Only Linux shows all of it. Elsewhere no mark is written, process ids are not used, and the heartbeat alone decides.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::sync::LazyLock;

use rustix::process::{Pid, test_kill_process};

/// A process with all that tells it from every other one, as it is written down for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessMark {
    /// The boot and the namespaces in which number and start mean something; without blanks.
    pub(crate) space: String,
    pub(crate) pid: u32,
    /// In ticks since the boot.
    pub(crate) started: u64,
}

/// The sight of a process from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It is there.
    Living,
    /// It would be seen, and it is not there.
    Gone,
    /// It is out of sight, or nobody wrote down where it is.
    Unknown,
}

impl ProcessMark {
    /// Returns the mark of this process, where it has one.
    pub(crate) fn own() -> Option<&'static Self> {
        static OWN: LazyLock<Option<ProcessMark>> = LazyLock::new(ProcessMark::read_own);
        OWN.as_ref()
    }

    fn read_own() -> Option<Self> {
        let pid = std::process::id();
        // What is mounted there may be the view of another namespace, with other numbers.
        let shown = fs::read_link("/proc/self").ok()?;
        if shown.to_str() != Some(&pid.to_string()) {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let link = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
        let numbers = link("pid")?;
        // It shifts the start that is read; an older kernel has none.
        let clock = link("time").unwrap_or_default();
        Some(Self {
            space: format!("{}/{}/{}", boot.trim(), numbers.display(), clock.display()),
            pid,
            started: start_of(pid)?,
        })
    }

    /// Looks for the process.
    pub(crate) fn look(&self) -> Sight {
        match Self::own() {
            Some(own) if own.space == self.space => seen(self.pid, self.started),
            _ => Sight::Unknown,
        }
    }
}

/// Looks for the process `pid` by the mark that its row has, if it has one.
pub(crate) fn sight_of(pid: u32, mark: Option<&ProcessMark>) -> Sight {
    match mark {
        // A program that knows nothing of marks leaves that of the process before it.
        Some(mark) if mark.pid == pid => mark.look(),
        _ => Sight::Unknown,
    }
}

/// Looks for a process of our own space.
pub(crate) fn seen(pid: u32, started: u64) -> Sight {
    // A start that may not be read tells nothing against it.
    if is_alive(pid) && start_of(pid).is_none_or(|start| start == started) {
        Sight::Living
    } else {
        Sight::Gone
    }
}

impl fmt::Display for ProcessMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.space, self.pid, self.started)
    }
}

impl FromStr for ProcessMark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(' ');
        let (Some(space), Some(pid), Some(started), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Self {
            space: space.to_owned(),
            pid: pid.parse().map_err(|_| ())?,
            started: started.parse().map_err(|_| ())?,
        })
    }
}

/// When a process began, in ticks since the boot.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may have blanks and parentheses of its own.
    let (_, after_name) = stat.rsplit_once(')')?;
    // The start is field 22 of the line; what follows the name begins with field 3.
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Tests whether the process `pid` exists and is not merely waiting to be reaped.
fn is_alive(pid: u32) -> bool {
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
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let field = |name| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    // A zombie does nothing any more; only its number stays, until its parent has reaped it.
    let is_zombie = field("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    // A signal to a thread's id reaches the process that it is of.
    let is_thread = field("Tgid:").is_some_and(|process| process != pid.to_string());
    is_zombie || is_thread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_number_is_trusted_only_in_its_own_space_and_with_its_start() {
        let own = ProcessMark::own().expect("Linux says all of it");
        assert_eq!(own.look(), Sight::Living);
        assert_eq!(
            own.to_string().parse(),
            Ok(own.clone()),
            "it is read as it is written"
        );
        let later = ProcessMark {
            started: own.started + 1,
            ..own.clone()
        };
        assert_eq!(later.look(), Sight::Gone, "another process has the number");
        // More than any process number may be.
        let nobody = ProcessMark {
            pid: i32::MAX.unsigned_abs(),
            ..own.clone()
        };
        assert_eq!(nobody.look(), Sight::Gone);
        let (boot, namespaces) = own.space.split_once('/').unwrap();
        for space in [format!("{boot}/pid:[1]/"), format!("another-boot/{namespaces}")] {
            let elsewhere = ProcessMark {
                space,
                ..nobody.clone()
            };
            assert_eq!(elsewhere.look(), Sight::Unknown, "{elsewhere}");
        }
    }

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
