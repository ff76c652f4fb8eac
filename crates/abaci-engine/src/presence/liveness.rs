//! The rule by which a worker counts as living, for lists, counts and waits.
//!
//! Three facts decide. The lock on the executor id is held as long as the worker's session lasts, and the server ends that
//! within milliseconds of a process's death. The heartbeat is stamped by the loop of a worker that can work. And whoever
//! asks from the worker's own host can look for its process.
//!
//! A worker lives whose heartbeat is younger than the expiry and whose lock is held. One without its lock is connecting
//! again or dead: a living one finds out with its next beat, after two seconds at most, and is back a moment later. So it
//! counts until its last beat is three seconds old, and no longer than its process is there.
//!
//! It decides nothing about jobs: `failover.rs` says when they are taken from a worker.

use super::{Presence, is_alive};

/// The key of the lock on an executor id, as an SQL expression over another one.
macro_rules! lock_key {
    ($executor_id:literal) => {
        concat!("hashtextextended('abaci executor ' || ", $executor_id, ", 0)")
    };
}

/// Tests, as an SQL expression over the columns of a presence row, if a session holds the lock on its executor id.
///
/// A key of 64 bits is in two halves there. The locks are read once for all rows of a statement.
macro_rules! is_connected {
    () => {
        concat!(
            "exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1 \
             and database = (select oid from pg_database where datname = current_database()) \
             and (classid::bigint << 32 | objid::bigint) = ",
            $crate::presence::lock_key!("executor_id"),
            ")"
        )
    };
}

/// Tests, as an SQL expression over the columns of a presence row, if its worker counts as living.
///
/// A row with a fresh heartbeat costs no look at the locks.
macro_rules! is_live {
    () => {
        concat!(
            "(heartbeat_at > now() - interval '10 s' and (heartbeat_at > now() - interval '3 s' or ",
            $crate::presence::is_connected!(),
            "))"
        )
    };
}

pub(crate) use {is_connected, is_live, lock_key};

impl Presence {
    /// Returns the worker as a process on `host` sees it, which can look for the worker's process if that is there too.
    pub(crate) fn seen_from(mut self, host: &str) -> Self {
        let is_gone = self.host == host && !self.connected && !is_alive(self.pid);
        self.live &= !is_gone;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_is_the_same_in_both_languages() {
        let expiry = format!(
            "heartbeat_at > now() - interval '{} s'",
            Presence::EXPIRY.as_secs()
        );
        assert!(is_live!().contains(&expiry), "{}", is_live!());
    }

    #[test]
    fn without_lock_and_process_a_worker_of_this_host_is_gone() {
        // More than any process number may be.
        let (nobody, myself) = (i32::MAX.unsigned_abs(), std::process::id());
        let lives = |host: &str, pid, connected| {
            let worker = Presence {
                executor_id: format!("{host}/0"),
                host: host.to_owned(),
                pid,
                application_version: String::new(),
                queue: String::new(),
                concurrency: 1,
                draining: false,
                heartbeat_age_seconds: 0.5,
                connected,
                clock_offset_ms: None,
                live: true,
                beat: String::new(),
            };
            worker.seen_from("here").is_live()
        };
        assert!(!lives("here", nobody, false));
        assert!(lives("here", myself, false), "it may be connecting again");
        assert!(lives("here", nobody, true), "it may be in another container");
        assert!(lives("elsewhere", nobody, false), "its host has other numbers");
    }
}
