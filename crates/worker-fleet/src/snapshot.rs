//! All that is known of a server's workers at one moment: the form that the supervisor, the health process and those
//! who ask for the status exchange, as one line of JSON.
//!
//! Times are ages in seconds at the moment that the snapshot was made; whoever keeps one adds how long they have kept
//! it. Anything unknown is absent, and nothing is ever guessed.

use std::fmt::Display;
use std::time::Duration;

use durable_jobs::record::RunningJob;
use durable_jobs::worker::{DatabaseContact, HostTrouble, WorkerReport};
use serde::{Deserialize, Serialize};

/// The age after which a last sign of life counts for nothing.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// All workers of one server, and who looks after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The process that looks after the workers; absent where the one worker looks after itself, as a server of one
    /// process does.
    pub supervisor: Option<SupervisorView>,
    /// The phase of the server as a whole.
    pub phase: Phase,
    /// The queue that the workers take jobs from.
    pub queue: String,
    /// The number of workers that there should be.
    pub wanted: u32,
    /// The workers, by slot.
    pub workers: Vec<WorkerSnapshot>,
    /// The health process, where there is one.
    pub health: Option<ServingView>,
    /// The web process, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<ServingView>,
    /// The private database, where it is the one in use.
    pub private_database: Option<PrivateDatabase>,
}

/// The phase of a server as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It takes jobs.
    Running,
    /// It replaces its workers one by one, and takes jobs meanwhile.
    Reloading,
    /// It was told to stop: it finishes what runs and takes nothing new.
    Draining,
}

/// The supervising process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupervisorView {
    /// Its process id.
    pub pid: u32,
    /// The time for which it has run.
    pub uptime_seconds: f64,
    /// The place of the jobs, without user and password; empty from an older program.
    #[serde(default)]
    pub database: String,
}

/// One worker, or the empty place of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerSnapshot {
    /// Its number on this machine, the second half of the executor id.
    pub slot: u32,
    /// `<host>/<slot>`; absent before its first report.
    pub executor_id: Option<String>,
    /// Its process; absent while there is none.
    pub pid: Option<u32>,
    /// Its state.
    pub state: WorkerState,
    /// The time for which it has been in that state.
    pub state_seconds: f64,
    /// The age of its last heartbeat; absent before the first one of this process.
    pub heartbeat_age_seconds: Option<f64>,
    /// Its last contact with the database, as of that heartbeat.
    pub database: Option<DatabaseContact>,
    /// The trouble of its host, while that keeps it from claiming jobs.
    #[serde(default)]
    pub host: Option<HostTrouble>,
    /// The number of times that its process was started again after it had ended by itself; without a supervisor, that
    /// it began anew because another had its executor id.
    pub restarts: u32,
    /// The time until the next process is started, while there is none.
    pub restart_in_seconds: Option<f64>,
    /// The reason why its process could not be started, while there is none.
    pub start_failure: Option<String>,
    /// The end of its last process.
    pub last_exit: Option<WorkerExit>,
    /// The jobs that it has in hand, as of its last heartbeat.
    pub running: Vec<RunningJob>,
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// Its process runs and takes no jobs yet.
    Starting,
    /// It takes jobs and has none.
    Idle,
    /// It takes jobs and has some.
    Busy,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// Its process lives, and its heartbeat is stale or has stopped asking the database.
    Wedged,
    /// Its process ended too often in too short a time; it is tried again after a longer pause.
    CrashLoop,
    /// Its process has ended; another one is about to be started.
    Dead,
    /// Nothing is known of it.
    Unknown,
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerExit {
    /// The process.
    pub pid: u32,
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it, such as `SIGKILL`, if one did.
    pub signal: Option<String>,
    /// Its last message, or why it was killed, as far as that is known.
    pub reason: Option<String>,
    /// The time for which it had run.
    pub ran_seconds: f64,
    /// The time since then.
    pub age_seconds: f64,
}

/// A process that serves a listening socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServingView {
    /// Its process; absent while there is none.
    pub pid: Option<u32>,
    /// The address that it listens on.
    pub address: String,
    /// The number of times that it was started again.
    pub restarts: u32,
    /// The end of its last process.
    pub last_exit: Option<WorkerExit>,
}

/// The private database, as seen without connecting to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateDatabase {
    /// Its server runs.
    pub running: bool,
    /// The reason why it does not run, as far as that is known.
    pub reason: Option<String>,
    /// Its files were removed while it was in use, so that it does not come back by itself.
    #[serde(default)]
    pub removed: bool,
}

impl PrivateDatabase {
    /// A database that runs.
    pub const RUNNING: Self = Self {
        running: true,
        reason: None,
        removed: false,
    };

    /// Describes a database that does not run, for this reason.
    #[must_use]
    pub fn down(reason: impl Display) -> Self {
        Self {
            running: false,
            reason: Some(reason.to_string()),
            removed: false,
        }
    }
}

impl WorkerExit {
    /// Describes the end and its reason in words.
    #[must_use]
    pub fn how(&self) -> String {
        let how = match (&self.signal, self.code) {
            (Some(signal), _) => signal.clone(),
            (None, Some(code)) => format!("exit code {code}"),
            (None, None) => "nobody knows how".to_owned(),
        };
        match &self.reason {
            Some(reason) => format!("{how}: {reason}"),
            None => how,
        }
    }
}

impl WorkerSnapshot {
    /// Says whether it takes jobs, reaches the database and is not failed by its host.
    #[must_use]
    pub fn takes_jobs(&self) -> bool {
        let reaches = |contact: &DatabaseContact| contact.failure.is_none();
        self.state.is_ready() && self.database.as_ref().is_some_and(reaches) && self.host.is_none()
    }
}

impl WorkerState {
    /// Derives the state from a worker's own report; without one it is starting.
    pub(crate) fn of_report(report: Option<&WorkerReport>) -> Self {
        match report {
            None => Self::Starting,
            Some(report) if report.draining => Self::Draining,
            Some(report) if report.running.is_empty() => Self::Idle,
            Some(_) => Self::Busy,
        }
    }

    /// Returns its name in JSON, tables and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Wedged => "wedged",
            Self::CrashLoop => "crash-loop",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }

    /// Says whether a worker in this state takes jobs.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }
}
