//! The reason why a job waits.

use serde::Serialize;

use super::Rate;

/// The reason why a job does not run now; of several the one that has to go first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitReason {
    /// No worker listens on its queue, or the one that had it in hand is gone.
    NoWorker,
    /// Workers listen on its queue, and none of its version.
    Version,
    /// No worker of its queue and version knows its type.
    Type {
        /// The workflow that they do not know.
        workflow: String,
    },
    /// Its queue is paused.
    Paused,
    /// It is not due.
    Delayed {
        /// The moment from which it is, in milliseconds since 1970-01-01 UTC by the database's clock.
        until_ms: i64,
    },
    /// The rate of its queue does not let it start.
    RateLimited {
        /// The rate.
        limit: Rate,
        /// When the next job of the queue may start, by the database's clock; absent if one may now, or none ever.
        next_start_ms: Option<i64>,
    },
    /// As many jobs of its queue run as may at once in the whole fleet.
    Concurrency {
        /// The most that may.
        limit: u32,
    },
    /// The slots of its workers are in use, or go to the jobs before it.
    Busy {
        /// The slots of its workers.
        slots: u64,
        /// The ones in use.
        in_use: u64,
    },
    /// Its turn has come, and a worker has a free slot for it.
    Starting,
}
