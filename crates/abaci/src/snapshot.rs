//! What is known of a server's workers at one moment: the one language between the supervisor, the health process and
//! `abaci status`, where it travels as one line of JSON.
//!
//! Times are ages in seconds at the moment that the snapshot was made; whoever keeps one adds how long they have kept it.
//! What is not known is absent. Nothing here is ever guessed.

use std::fmt::Display;
use std::time::Duration;

use durable_jobs::record::RunningJob;
use durable_jobs::worker::{DatabaseContact, HostTrouble};
use serde::{Deserialize, Serialize};

/// Whoever has said nothing for longer than this is not believed any more.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// All workers of one server, and who looks after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The process that looks after the workers; absent where the one worker looks after itself, as in `abaci serve`.
    pub supervisor: Option<SupervisorView>,
    /// What the server as a whole is doing.
    pub phase: Phase,
    /// The queue that the workers take jobs from.
    pub queue: String,
    /// How many workers there should be.
    pub wanted: u32,
    /// The workers, by slot.
    pub workers: Vec<WorkerView>,
    /// The health process, where there is one.
    pub health: Option<HealthView>,
    /// The private database, where it is the one in use.
    pub private_database: Option<PrivateDatabase>,
}

/// What a server as a whole is doing.
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
    /// How long it has run.
    pub uptime_seconds: f64,
    /// Where the jobs are, without user and password; empty from an older program.
    #[serde(default)]
    pub database: String,
}

/// One worker, or the empty place of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its number on this machine, the second half of the executor id.
    pub slot: u32,
    /// `<host>/<slot>`; absent until the worker has said it.
    pub executor_id: Option<String>,
    /// Its process; absent while there is none.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: WorkerState,
    /// For how long it has been in that state.
    pub state_seconds: f64,
    /// How old its last heartbeat is; absent before the first one of this process.
    pub heartbeat_age_seconds: Option<f64>,
    /// Its last contact with the database, as of that heartbeat.
    pub database: Option<DatabaseContact>,
    /// Why it claims nothing for now, where its host is to blame.
    #[serde(default)]
    pub host: Option<HostTrouble>,
    /// How often its process was started again after it had ended by itself; in `abaci serve`, how often it began anew
    /// since its executor id had gone to another.
    pub restarts: u32,
    /// When the next process is started, while there is none.
    pub restart_in_seconds: Option<f64>,
    /// Why its process could not be started, while there is none.
    pub start_failure: Option<String>,
    /// How its last process ended.
    pub last_exit: Option<LastExit>,
    /// The jobs that it has in hand, as of its last heartbeat.
    pub running: Vec<RunningJob>,
}

/// What a worker is doing.
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
    /// Its process lives and its heartbeat is stale.
    Wedged,
    /// Its process ended too often in too short a time; it is tried again after a longer pause.
    CrashLoop,
    /// Its process has ended; another one is about to be started.
    Dead,
    /// Nothing is known of it.
    Unknown,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastExit {
    /// The process.
    pub pid: u32,
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it, such as `SIGKILL`, if one did.
    pub signal: Option<String>,
    /// What it said last, or why it was killed, as far as that is known.
    pub reason: Option<String>,
    /// How long it had run.
    pub ran_seconds: f64,
    /// How long ago that was.
    pub age_seconds: f64,
}

/// The process that answers questions about health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthView {
    /// Its process; absent while there is none.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: String,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last process ended.
    pub last_exit: Option<LastExit>,
}

/// The private database, as seen without connecting to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateDatabase {
    /// Whether its server runs.
    pub running: bool,
    /// Why it does not run, as far as that is known.
    pub reason: Option<String>,
    /// Its files were removed while it was in use, so that it does not come back by itself.
    #[serde(default)]
    pub removed: bool,
}

impl PrivateDatabase {
    /// One that runs.
    pub(crate) const RUNNING: Self = Self {
        running: true,
        reason: None,
        removed: false,
    };

    /// One that does not run, for this reason.
    pub(crate) fn down(reason: impl Display) -> Self {
        Self {
            running: false,
            reason: Some(reason.to_string()),
            removed: false,
        }
    }

    /// One that cannot be had.
    pub(crate) fn failed(error: &local_postgres::Error) -> Self {
        Self {
            removed: matches!(error, local_postgres::Error::Removed { .. }),
            ..Self::down(error)
        }
    }
}

impl LastExit {
    /// How it ended and why, in words.
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

impl WorkerView {
    /// Whether it takes jobs by its own word, reaches the database and is not failed by its host.
    #[must_use]
    pub fn takes_jobs(&self) -> bool {
        let reaches = |contact: &DatabaseContact| contact.failure.is_none();
        self.state.is_ready() && self.database.as_ref().is_some_and(reaches) && self.host.is_none()
    }
}

impl WorkerState {
    /// The word for it in JSON, tables and metrics.
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

    /// Whether a worker in this state takes jobs.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }
}
