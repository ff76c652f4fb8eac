//! A child of the operating system: its start, its signals, its messages and its end.
//!
//! A child is this program again, in a process group of its own, so that Ctrl-C reaches the supervisor alone.
//! The task that reaps it is the one that signals it, so a signal never goes to a process id that was given to another.
//!
//! A child dies with its supervisor: it sees the end of the channel, and on Linux the kernel signals it (see
//! [`crate::die_with_parent`]), which also reaches one that is stopped or stuck.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child as Process, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::supervisor::ipc::{self, FromChild, Received, Receiver, Sender};

/// Bounds the wait for the last messages of a dead child; they lie in the socket already.
const LAST_MESSAGES: Duration = Duration::from_millis(200);

/// The program that children are started from.
#[derive(Debug, Clone)]
pub struct Program {
    /// This program, where it was at the start; whoever replaces it there and reloads gets workers of the new one.
    pub path: PathBuf,
    /// The program that runs here, for when that file is gone.
    pub running: PathBuf,
    /// The first arguments of children.
    pub arguments: Vec<String>,
    /// The name of children where processes are listed.
    pub name: OsString,
    /// The environment of children, besides what this process has.
    pub environment: Vec<(OsString, OsString)>,
}

/// A running child.
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) started: Instant,
    /// Our end of the channel: the child ends when it is dropped.
    pub(crate) sender: Option<Sender>,
    signals: mpsc::UnboundedSender<Signal>,
}

/// An event in the life of a child.
#[derive(Debug)]
pub(crate) enum ChildEvent {
    /// A message.
    Received(Received<FromChild>),
    /// Its end; all its messages came before.
    Ended(ExitStatus),
}

impl Program {
    /// Returns the program to start a process again by: the one that runs here, where its file is gone.
    pub(crate) fn or_as_it_runs(&self) -> Self {
        let mut program = self.clone();
        if !program.path.exists() {
            program.path.clone_from(&self.running);
        }
        program
    }

    /// Starts a child with these arguments behind the program's own; `stdout` is its standard output, if it is not
    /// ours.
    ///
    /// `publish` is called from a task for each event, the end last.
    pub(crate) fn start(
        &self,
        arguments: Vec<String>,
        stdout: Option<OwnedFd>,
        publish: impl Fn(ChildEvent) + Send + 'static,
    ) -> io::Result<Child> {
        let (sender, receiver, theirs) = ipc::pair()?;
        let mut command = Command::new(&self.path);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // These are for the supervisor alone.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            // Closed here when `command` is dropped: a copy that stayed open would hide the child's end.
            .stdin(Stdio::from(theirs))
            .stdout(stdout.map_or_else(Stdio::inherit, Stdio::from))
            .process_group(0);
        let process = command.spawn()?;
        let started = Instant::now();
        // Nobody has waited for it yet, so it has its id.
        let pid = process.id().unwrap_or_default();
        let (signals, wanted) = mpsc::unbounded_channel();
        tokio::spawn(watch(process, receiver, wanted, publish));
        Ok(Child {
            pid,
            started,
            sender: Some(sender),
            signals,
        })
    }
}

impl Child {
    /// Sends a signal to the child and whatever it has started, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // The task is gone only when the process is.
        let _ = self.signals.send(signal);
    }
}

/// Receives the messages of a child and reaps it.
async fn watch(
    mut process: Process,
    mut receiver: Receiver,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    publish: impl Fn(ChildEvent),
) {
    let mut is_open = true;
    let status = loop {
        tokio::select! {
            status = process.wait() => break status,
            // A closed channel is ready at once, each time, and would keep this loop busy.
            message = receiver.receive(), if is_open => match message {
                Some(message) => publish(ChildEvent::Received(message)),
                None => is_open = false,
            },
            Some(signal) = signals.recv() => send(&process, signal),
        }
    };
    while is_open && let Ok(Some(message)) = timeout(LAST_MESSAGES, receiver.receive()).await {
        publish(ChildEvent::Received(message));
    }
    // A status that cannot be had is that of a process which somebody else reaped.
    publish(ChildEvent::Ended(status.unwrap_or_default()));
}

fn send(process: &Process, signal: Signal) {
    let pid = process
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It leads its group from its first moment on; a failure means that it has ended.
        let _ = kill_process_group(pid, signal);
    }
}
