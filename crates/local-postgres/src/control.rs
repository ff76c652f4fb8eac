//! Looking at a private server and stopping it by hand; neither is a user of it.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::error::Error;
use crate::lock::{self, Lock};
use crate::log;
use crate::place::Place;
use crate::server::{self, Server};
use crate::wait::Deadline;

/// The longest wait for somebody who is starting or stopping the server at this moment.
const OTHERS: Duration = Duration::from_mins(1);

/// The longest time from a server's start to its socket, so that we can find what a keeper had just started.
const UNBORN: Duration = Duration::from_secs(1);

/// State of the server of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The data directory holds no cluster.
    NotCreated,
    /// The cluster is there, and no server runs.
    Stopped,
    /// A server runs.
    Running(Running),
}

/// A running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Pid of the server.
    pub pid: u32,
    /// Pid of the keeper; `None` when it was killed, and the next user will start another.
    pub keeper_pid: Option<u32>,
    /// True when any process holds a lease.
    pub has_users: bool,
}

/// Decides about a server that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Refuse while there are users.
    No,
    /// Break the users' connections. A user that ensures its server starts it again.
    Yes,
}

/// The state that a stop found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// A server ran, and has ended.
    WasRunning,
    /// No server ran.
    WasNotRunning,
}

/// Looks at the server of `data_dir` without changing anything.
///
/// # Errors
/// [`Error::DataDirectory`] when the directory's locks cannot be read; [`Error::Removed`].
pub fn status(data_dir: &Path) -> Result<Status, Error> {
    let Some(place) = Place::find(data_dir)? else {
        return Ok(Status::NotCreated);
    };
    place.check_not_removed()?;
    if !place.cluster().exists() {
        return Ok(Status::NotCreated);
    }
    let Some(pid) = server::running(&place) else {
        return Ok(Status::Stopped);
    };
    let pid = pid.as_raw_pid().unsigned_abs();
    Ok(Status::Running(Running {
        pid,
        keeper_pid: place.keeper_pid()?,
        has_users: place.has_users()?,
    }))
}

/// Stops the server of `data_dir` and returns when it has ended; what was committed is on disk.
///
/// Users who come meanwhile wait, and then start a fresh server.
///
/// # Errors
/// [`Error::InUse`] when there are users and `force` is [`Force::No`]; [`Error::TimedOut`] when somebody else is in the
/// middle of starting the server and does not finish; [`Error::Removed`].
pub fn stop(data_dir: &Path, force: Force) -> Result<Stopped, Error> {
    let Some(place) = Place::find(data_dir)? else {
        return Ok(Stopped::WasNotRunning);
    };
    place.check_not_removed()?;
    let deadline = Deadline::after(OTHERS);
    let start_lock = deadline.poll(|| Lock::try_exclusive(&place.start_lock()))?;
    // A missing start lock is said only below: a server in use is the more helpful answer.
    let users_lock = place.lock_out_users()?;
    if users_lock.is_none() && force == Force::No {
        return Err(Error::InUse {
            data_dir: place.root().to_path_buf(),
        });
    }
    // Seen before the keeper is killed: it may have just started a server that has no socket yet.
    let had_keeper = place.has_keeper()?;
    let keeper_lock = replace_keeper(&place, deadline)?;
    if start_lock.is_none() || keeper_lock.is_none() {
        let (log, waiting_for) = (place.log(), "another start or stop of the server");
        return Err(Error::TimedOut {
            waiting_for,
            after: OTHERS,
            tail: log::tail(&log, 0),
            log,
        });
    }
    let patience = if had_keeper { UNBORN } else { Duration::ZERO };
    let server = Deadline::after(patience).poll(|| Ok(Server::adopt(&place)))?;
    let Some(server) = server else {
        return Ok(Stopped::WasNotRunning);
    };
    server.stop();
    place.remove_short_socket_dir();
    Ok(Stopped::WasRunning)
    // The locks fall in reverse order: keeper, users, start. Who gets one of them finds a world without a keeper.
}

/// Kills the keeper, which holds nothing of its own, and takes its lock so that none can follow.
fn replace_keeper(place: &Place, deadline: Deadline) -> Result<Option<Lock>, Error> {
    let mut seen = None;
    deadline.poll(|| {
        let free = Lock::try_exclusive(&place.keeper_lock())?;
        if free.is_none() {
            let pid = lock::read_pid(&place.keeper_lock()).and_then(|pid| Pid::from_raw(pid.cast_signed()));
            // Only at the second look: the pid of a previous keeper stands there for the moment before a new one has
            // written its own.
            if let Some(pid) = pid.filter(|_| pid == seen) {
                // A keeper outlasts SIGTERM and its like. One that has just ended is seen by the next look.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            seen = pid;
        }
        Ok(free)
    })
}
