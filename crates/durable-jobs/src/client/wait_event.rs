//! The messages of a wait.

use std::time::Duration;

use super::listeners::QueueVersion;
use crate::record::{Failure, JobId, JobOutput, JobSummary, Limit, StartLimits, State};

/// The end of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The job.
    pub id: JobId,
    /// The workflow that it ran.
    pub workflow: String,
    /// Its final state.
    pub state: State,
    /// The output, or why there is none. A cancelled job has a [`Failure`] named `Cancelled`.
    pub result: Result<JobOutput, Failure>,
}

impl Outcome {
    /// Reads how a job ended; nothing of one that has not.
    pub(super) fn of_summary(summary: JobSummary) -> Option<Self> {
        let result = match (summary.result, summary.error) {
            (Some(output), _) => Ok(output),
            (None, Some(failure)) => Err(failure),
            (None, None) => return None,
        };
        let job = summary.job;
        Some(Self {
            id: job.workflow_id,
            workflow: job.workflow,
            state: job.state,
            result,
        })
    }
}

/// A message of a wait.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WaitEvent {
    /// A job ended; each one is reported once.
    Finished(Outcome),
    /// There is no job with this id, or it was deleted meanwhile.
    Missing(JobId),
    /// The counts changed.
    Progress {
        /// Waiting in the queue.
        queued: usize,
        /// Claimed by a worker.
        running: usize,
    },
    /// Nobody takes those of the jobs that are in this queue and of this version, or of this type; repeated every second while it lasts.
    NoWorker {
        /// The queue and the version, and the type if that is what nobody knows.
        of: QueueVersion,
        /// The time that nobody has listened, as far as this wait saw or the presence rows tell.
        since: Duration,
        /// The state of the other jobs.
        others: Others,
    },
    /// A worker of this queue and version listens again.
    WorkerBack(QueueVersion),
    /// Nobody had taken jobs of this queue and version, or of this type, and none of the jobs lacks that any more.
    NoneLeft(QueueVersion),
    /// Jobs of this queue wait, and none of it starts: it is paused.
    QueuePaused(String),
    /// Jobs of this queue wait, and its limit lets none of them start for now.
    QueueLimited {
        /// The queue.
        queue: String,
        /// The limit.
        limit: Limit,
    },
    /// The database stopped answering; the wait goes on. Repeated every second while it lasts.
    DatabaseLost {
        /// The time that it has not answered.
        since: Duration,
        /// The words of the last attempt.
        reason: String,
    },
    /// The database answers again.
    DatabaseBack,
}

impl WaitEvent {
    pub(super) fn of_limits((queue, limits): (String, StartLimits)) -> Self {
        match limits {
            StartLimits { paused: true, .. } => Self::QueuePaused(queue),
            StartLimits { limit, .. } => Self::QueueLimited { queue, limit },
        }
    }
}

/// The state of those jobs of a wait that are in other queues than the one in question, or of other versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// There are none, or nobody takes them either: the wait stands still.
    Stand,
    /// Somebody takes some of them.
    GoOn,
}
