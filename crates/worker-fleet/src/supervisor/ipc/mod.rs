//! The messages between a supervisor and its children: lines of JSON over a socket pair each (`channel`).
//!
//! A reload may bring children of another version, so a message is never given another meaning; fields may be added.

mod channel;

use durable_jobs::worker::WorkerReport;
use serde::{Deserialize, Serialize};

use crate::snapshot::{Snapshot, WorkerExit};

pub(crate) use channel::{Received, Receiver, Sender, inherited, pair, send_now, write_line};

/// A message of a child to its supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum FromChild {
    /// The heartbeat: its async loop turns.
    ///
    /// The report is absent until the worker takes jobs, and always in a serving process.
    Beat {
        #[serde(default)]
        report: Option<WorkerReport>,
    },
    /// It gives up.
    Failed(WorkerFailure),
}

/// The reason of a worker that gives up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFailure {
    /// The exit code that it ends with.
    pub code: u8,
    /// The line that it would have printed.
    pub reason: String,
    /// Another process works under the executor id of its slot.
    #[serde(default)]
    pub is_slot_taken: bool,
}

/// A message of a supervisor to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum ToWorker {
    /// The end of the last process in its slot, the first message where there was one.
    Predecessor { exit: WorkerExit },
}

/// A message of a supervisor to a serving process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum ToServing {
    /// The queue to ask.
    Database(QueueAddress),
    /// All that is known of the fleet.
    State { snapshot: Box<Snapshot> },
}

/// The queue whose state a serving process asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAddress {
    /// The address of the database; it may hold a password and goes no further.
    pub url: String,
    /// The name of the queue.
    pub queue: String,
}
