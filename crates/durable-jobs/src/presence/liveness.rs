//! The rule by which a worker counts as living, for lists, counts and waits.
//!
//! Three facts decide. The lock on the executor id is held as long as the worker's session lasts, and the server ends that
//! within milliseconds of a process's death. The heartbeat is stamped by the loop of a worker that can work. And whoever
//! asks from the worker's own host, in the same PID namespace, can look for its process.
//!
//! A worker lives whose heartbeat is younger than the expiry and whose lock is held. One without its lock is connecting
//! again or dead: a living one finds out with its next beat, after two seconds at most, and is back a moment later. So it
//! counts until its last beat is three seconds old. None counts for longer than its process is there, where that is seen: a
//! pooler may keep the session of a dead one.
//!
//! It decides nothing about jobs: `failover.rs` says when they are taken from a worker.

use super::{Presence, Sight, sight_of};

/// The key of the lock on an executor id, as an SQL expression over another one.
macro_rules! lock_key {
    ($executor_id:literal) => {
        concat!("hashtextextended('abaci executor ' || ", $executor_id, ", 0)")
    };
}

/// Selects the server's process, one at most, whose session holds the lock on an executor id, an SQL expression.
///
/// A key of 64 bits is in two halves there, with an `objsubid` of 1; a key of two numbers has 2. The locks are read once for all
/// rows of a statement.
macro_rules! holders {
    ($executor_id:literal) => {
        concat!(
            // The shift may reach the sign bit, which gives the negative keys that the hash has, too.
            "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1 \
             and database = (select oid from pg_database where datname = current_database()) \
             and (classid::bigint << 32 | objid::bigint) = ",
            $crate::presence::lock_key!($executor_id)
        )
    };
}

/// Tests, as an SQL expression over the columns of a presence row, if a session holds the lock on its executor id.
macro_rules! is_connected {
    () => {
        concat!("exists (", $crate::presence::holders!("executor_id"), ")")
    };
}

/// Tests, as an SQL expression over the columns of a presence row, if its worker counts as living.
///
/// A row with a fresh heartbeat costs no look at the locks.
/// The ten seconds are `Presence::EXPIRY`, which a constant text cannot name.
macro_rules! is_live {
    () => {
        concat!(
            "(heartbeat_at > now() - interval '10 s' and (heartbeat_at > now() - interval '3 s' or ",
            $crate::presence::is_connected!(),
            "))"
        )
    };
}

pub(crate) use {holders, is_connected, is_live, lock_key};

/// The state of a worker, by its session and its heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Its session stands, and it beats.
    Connected,
    /// Its session is gone, and it has just beaten: its connection broke, and it opens another by itself.
    Reconnecting,
    /// Its session stands, and it misses its heartbeats or its process is seen to be gone.
    Silent,
    /// Its session is gone, and it has stopped beating or its process is seen to be gone.
    Gone,
}

/// A connected worker that has not beaten for so many seconds is silent, half the time before it stops counting as living.
const SILENT_SECONDS: f64 = 5.0;

impl Presence {
    /// Returns what its session and heartbeats say of it.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        match (self.is_live(), self.connected) {
            (true, true) if self.heartbeat_age_seconds <= SILENT_SECONDS => Liveness::Connected,
            (_, true) => Liveness::Silent,
            (true, false) => Liveness::Reconnecting,
            (false, false) => Liveness::Gone,
        }
    }

    /// Returns the worker as a process on `host` sees it, which can look for the worker's process if that is there too.
    pub(crate) fn seen_from(mut self, host: &str) -> Self {
        self.live &= self.sight_from(host) != Sight::Gone;
        self
    }

    /// Looks for its process from a process on `host`, which knows nothing of it unless it runs there in the same boot and the
    /// same PID namespace.
    pub(crate) fn sight_from(&self, host: &str) -> Sight {
        if self.host != host {
            return Sight::Unknown;
        }
        sight_of(self.pid, self.process.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::ProcessMark;

    #[test]
    fn the_expiry_is_the_same_in_both_languages() {
        let expiry = format!(
            "heartbeat_at > now() - interval '{} s'",
            Presence::EXPIRY.as_secs()
        );
        assert!(is_live!().contains(&expiry), "{}", is_live!());
    }

    /// A worker that has just beaten on the host `here`.
    fn worker(process: Option<ProcessMark>, connected: bool) -> Presence {
        Presence {
            last_exit: None,
            executor_id: "here/0".to_owned(),
            host: "here".to_owned(),
            pid: process.as_ref().map_or(1, |process| process.pid),
            application_version: String::new(),
            queue: String::new(),
            concurrency: 1,
            workflows: None,
            draining: false,
            heartbeat_age_seconds: 0.5,
            connected,
            clock_offset_ms: None,
            live: true,
            running: Vec::new(),
            incarnation: String::new(),
            beat: String::new(),
            process,
        }
    }

    #[test]
    fn a_worker_is_silent_while_its_session_stands_without_beats() {
        let seen = |live, connected, heartbeat_age_seconds| {
            let worker = Presence {
                heartbeat_age_seconds,
                live,
                ..worker(None, connected)
            };
            worker.liveness()
        };
        assert_eq!(seen(true, true, 5.0), Liveness::Connected);
        assert_eq!(seen(true, true, 5.1), Liveness::Silent);
        assert_eq!(seen(false, true, 11.0), Liveness::Silent);
        assert_eq!(seen(false, true, 0.5), Liveness::Silent, "its process is gone");
        assert_eq!(seen(true, false, 2.9), Liveness::Reconnecting);
        assert_eq!(seen(false, false, 3.1), Liveness::Gone);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_its_process_a_worker_of_this_host_is_gone() {
        let myself = ProcessMark::own().unwrap().clone();
        // More than any process number may be.
        let nobody = ProcessMark {
            pid: i32::MAX.unsigned_abs(),
            ..myself.clone()
        };
        let elsewhere = ProcessMark {
            space: "boot/pid:[1]/".to_owned(),
            ..nobody.clone()
        };
        let lives = |host: &str, process: &ProcessMark, connected| {
            let worker = worker(Some(process.clone()), connected);
            worker.seen_from(host).is_live()
        };
        assert!(!lives("here", &nobody, false));
        assert!(lives("here", &myself, false), "it may be connecting again");
        assert!(!lives("here", &nobody, true), "a pooler keeps its session");
        assert!(lives("elsewhere", &nobody, false), "its host has other numbers");
        assert!(
            lives("here", &elsewhere, false),
            "its namespace has other numbers"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_row_of_an_older_program_tells_nothing_of_its_process() {
        assert_eq!(worker(None, false).sight_from("here"), Sight::Unknown);
        // It keeps the mark of the process that had the id before.
        let mut taken = worker(ProcessMark::own().cloned(), false);
        taken.pid = i32::MAX.unsigned_abs();
        assert_eq!(taken.sight_from("here"), Sight::Unknown);
    }
}
