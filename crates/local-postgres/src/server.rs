//! The server process: started as a child, or adopted from a keeper that died.
//!
//! `postmaster.pid` is PostgreSQL's own file, and this library only reads it. It stays behind after a SIGKILL and its
//! pid may by then be another process, so a server that is not our child counts as running only while its pid lives
//! *and* its socket accepts.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::account::Account;
use crate::error::Error;
use crate::log;
use crate::place::{PORT, Place};
use crate::programs::Programs;
use crate::wait::Deadline;

/// The longest that a fast shutdown may take before it becomes an immediate one, which is a crash that recovery repairs.
const FAST_SHUTDOWN: Duration = Duration::from_secs(30);

/// The longest that an immediate shutdown may take; the server kills its own children after 5 s of it.
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(30);

/// A server process that was running when we last looked.
pub(crate) enum Server {
    Own(Child),
    Adopted(Pid),
}

/// The end of a server.
pub(crate) enum ServerEnd {
    Known(ExitStatus),
    /// Nobody tells more of a process that is not our child.
    Unknown,
}

impl Server {
    /// Starts a server as a child; it is not ready yet.
    pub(crate) fn start(place: &Place, programs: &Programs, account: &Account) -> Result<Server, Error> {
        let said = log::open(&place.log())?;
        let said_too = said.try_clone().map_err(Error::at(&place.log()))?;
        let mut command = programs.command("postgres");
        command
            .arg("-D")
            .arg(place.cluster())
            .arg("-k")
            .arg(list_of_one(&place.socket_dir()));
        command.args([
            "-p",
            &PORT.to_string(),
            "-c",
            "listen_addresses=",
            "-c",
            "unix_socket_permissions=0700",
        ]);
        command.stdout(said).stderr(said_too);
        let failed = |source| Error::ProgramFailed {
            program: programs.program("postgres"),
            source,
        };
        account.run(&mut command).spawn().map(Server::Own).map_err(failed)
    }

    /// Takes over the server that runs, if one does.
    pub(crate) fn adopt(place: &Place) -> Option<Server> {
        running(place).map(Server::Adopted)
    }

    pub(crate) fn pid(&self) -> Pid {
        match self {
            Server::Own(child) => Pid::from_child(child),
            Server::Adopted(pid) => *pid,
        }
    }

    /// Returns how it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ServerEnd> {
        match self {
            // Asking also reaps it: PostgreSQL takes a zombie for a living server and refuses to start another.
            Server::Own(child) => child.try_wait().ok().flatten().map(ServerEnd::Known),
            Server::Adopted(pid) => (!is_alive(*pid)).then_some(ServerEnd::Unknown),
        }
    }

    /// Says whether it has declared itself ready for connections.
    pub(crate) fn is_ready(&self, place: &Place) -> bool {
        // The pid is compared because a killed server leaves a file that says "ready".
        pid_file(place).is_some_and(|file| file.pid == self.pid() && file.is_ready)
    }

    /// Stops it and waits: connections are ended, what was committed is on disk.
    pub(crate) fn stop(mut self) {
        for (signal, patience) in [(Signal::INT, FAST_SHUTDOWN), (Signal::QUIT, IMMEDIATE_SHUTDOWN)] {
            // A failure means that it has just ended, which the wait sees.
            let _ = rustix::process::kill_process(self.pid(), signal);
            let ended = Deadline::after(patience).poll(|| Ok::<_, Error>(self.ended()));
            if matches!(ended, Ok(Some(_))) {
                return;
            }
        }
    }
}

/// Returns the pid of the server that runs on this data directory, whoever started it.
pub(crate) fn running(place: &Place) -> Option<Pid> {
    let file = pid_file(place)?;
    (is_alive(file.pid) && UnixStream::connect(place.socket()).is_ok()).then_some(file.pid)
}

/// Says whether the server has declared itself ready and its process lives: a cheap look without a connection.
pub(crate) fn looks_ready(place: &Place) -> bool {
    pid_file(place).is_some_and(|file| file.is_ready && is_alive(file.pid))
}

struct PidFile {
    pid: Pid,
    is_ready: bool,
}

/// Reads `postmaster.pid`: line 1 is the pid, line 8 the state since PostgreSQL 10.
fn pid_file(place: &Place) -> Option<PidFile> {
    let text = fs::read_to_string(place.cluster().join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    let is_ready = text.lines().nth(7).is_some_and(|state| state.trim() == "ready");
    Some(PidFile { pid, is_ready })
}

/// Says whether a process lives; one that only waits to be reaped does not.
pub(crate) fn is_alive(pid: Pid) -> bool {
    match rustix::process::test_kill_process(pid) {
        // PERM: it lives, and belongs to an account that we may not signal.
        Ok(()) | Err(rustix::io::Errno::PERM) => !is_zombie(pid),
        Err(_) => false,
    }
}

fn is_zombie(pid: Pid) -> bool {
    // Not every system has /proc; without it a zombie counts as alive until its parent reaps it.
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())) else {
        return false;
    };
    // The name of the program, in parentheses, may contain anything.
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// Quotes a directory for `unix_socket_directories`, which is a list.
fn list_of_one(dir: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut quoted = vec![b'"'];
    for byte in dir.as_os_str().as_bytes() {
        if *byte == b'"' {
            quoted.push(b'"');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}
