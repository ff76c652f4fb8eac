//! One child process: how it is started, signalled and reaped.
//!
//! A child is this program again, in a process group of its own, so that Ctrl-C reaches the supervisor alone.
//! The task that reaps it is the one that signals it, so a signal never goes to a process id that was given to another.
//!
//! A child dies with its supervisor: it sees the end of the channel, and on Linux the kernel tells it (see
//! [`crate::die_with_parent`]), which also reaches one that is stopped or stuck.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;
use tokio::process::{Child as Process, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::supervisor::ipc::{self, Heard, Receiver, Sender};

/// How long what a dead child has said is waited for; it lies in the socket already.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How children are started.
#[derive(Debug, Clone)]
pub struct Program {
    /// This program, where it was at the start; whoever replaces it there and reloads gets workers of the new one.
    pub path: PathBuf,
    /// The program that runs here, for when that file is gone.
    pub running: PathBuf,
    /// What children are called where processes are listed.
    pub name: OsString,
    /// What children find in their environment besides what this process has.
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

/// What becomes known of a child.
#[derive(Debug)]
pub(crate) enum News<T> {
    /// It said something.
    Said(T),
    /// It said something that means nothing to us.
    Lives,
    /// It ended, and all it had said was heard before.
    Ended(ExitStatus),
}

impl Program {
    /// The program that a process is started by again: as it runs here, where its file is gone.
    pub(crate) fn or_as_it_runs(&self) -> Self {
        let mut program = self.clone();
        if !program.path.exists() {
            program.path.clone_from(&self.running);
        }
        program
    }

    /// Starts a child with these arguments; `stdout` is what it has instead of ours, if anything.
    ///
    /// `tell` is called from a task for everything that becomes known of the child, its end last.
    pub(crate) fn start<T: DeserializeOwned + Send + 'static>(
        &self,
        arguments: &[String],
        stdout: Option<OwnedFd>,
        tell: impl Fn(News<T>) + Send + 'static,
    ) -> io::Result<Child> {
        let (sender, receiver, theirs) = ipc::pair()?;
        let mut command = Command::new(&self.path);
        command
            .arg0(&self.name)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // These are for the supervisor alone.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::from(theirs))
            .stdout(stdout.map_or_else(Stdio::inherit, Stdio::from))
            .process_group(0);
        let process = command.spawn()?;
        let started = Instant::now();
        let pid = process.id().unwrap_or_default();
        let (signals, wanted) = mpsc::unbounded_channel();
        tokio::spawn(look_after(process, receiver, wanted, tell));
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

/// Listens to a child and reaps it.
async fn look_after<T: DeserializeOwned>(
    mut process: Process,
    mut receiver: Receiver,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    tell: impl Fn(News<T>),
) {
    let mut is_open = true;
    let status = loop {
        tokio::select! {
            status = process.wait() => break status,
            heard = receiver.hear::<T>(), if is_open => match heard {
                Some(heard) => tell(news_of(heard)),
                None => is_open = false,
            },
            Some(signal) = signals.recv() => send(&process, signal),
        }
    };
    while is_open && let Ok(Some(heard)) = timeout(LAST_WORDS, receiver.hear::<T>()).await {
        tell(news_of(heard));
    }
    // A status that cannot be had is that of a process which somebody else reaped.
    tell(News::Ended(status.unwrap_or_default()));
}

fn news_of<T>(heard: Heard<T>) -> News<T> {
    match heard {
        Heard::Message(message) => News::Said(message),
        Heard::Noise => News::Lives,
    }
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
