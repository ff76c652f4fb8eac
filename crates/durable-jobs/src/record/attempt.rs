//! The starts of a job, as they are read after the fact.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One start of a job, by one process that computed it.
///
/// A worker starts a job anew, and counts another attempt, when a process that computed for it died.
/// Times are milliseconds since 1970-01-01 UTC by the database's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its place among all starts of the job, from 1. Those that an older program saw, or of which there were over a hundred, are
    /// counted and not kept.
    pub number: u32,
    /// The worker.
    pub executor_id: String,
    /// The worker's host; absent where the executor id of another program does not name it.
    pub host: Option<String>,
    /// The worker's process; absent where another process had its executor id before anybody looked.
    pub pid: Option<u32>,
    /// When it began.
    pub started_at_ms: i64,
    /// When it ended; of a worker that is gone, its last sign of life.
    pub ended_at_ms: Option<i64>,
    /// The way in which it ended; absent while it runs.
    pub end: Option<AttemptEnd>,
}

/// The end of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// The kind of end.
    pub kind: AttemptEndKind,
    /// More about it in words: a failure, a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The kind of an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEndKind {
    /// With the job's value.
    Succeeded,
    /// With a failure of the job.
    Failed,
    /// By putting the job aside.
    Parked,
    /// By somebody, or by the job's deadline.
    Cancelled,
    /// With its worker, whose supervisor says how that ended.
    WorkerDied,
    /// With its worker; nobody saw how.
    WorkerGone,
    /// By a worker that drained and handed the job back.
    HandedBack,
    /// By a worker that lacked something that the job needed.
    GivenBack,
    /// With the process that computed for it.
    ProcessDied,
    /// As a newer program calls it.
    #[serde(untagged)]
    Other(String),
}

impl Attempt {
    /// The host that an executor id of ours names.
    pub(crate) fn host_of(executor_id: &str) -> Option<String> {
        executor_id.rsplit_once('/').map(|(host, _)| host.to_owned())
    }
}

impl AttemptEndKind {
    /// Tests whether the process that computed was gone before it said a word.
    #[must_use]
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::WorkerDied | Self::WorkerGone | Self::ProcessDied)
    }
}

impl fmt::Display for AttemptEndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
            Self::WorkerDied => "its worker died",
            Self::WorkerGone => "worker gone",
            Self::HandedBack => "handed back in a drain",
            Self::GivenBack => "given back",
            Self::ProcessDied => "its process died",
            Self::Other(kind) => kind,
        })
    }
}

impl fmt::Display for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}: {reason}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_a_newer_program_is_shown_as_it_is() {
        let end: AttemptEnd = serde_json::from_str(r#"{"kind":"abducted","reason":"by night"}"#).unwrap();
        assert_eq!(end.kind, AttemptEndKind::Other("abducted".to_owned()));
        assert_eq!(end.to_string(), "abducted: by night");
        assert_eq!(
            serde_json::to_string(&end).unwrap(),
            r#"{"kind":"abducted","reason":"by night"}"#
        );
        let gone: AttemptEnd = serde_json::from_str(r#"{"kind":"worker_gone"}"#).unwrap();
        assert_eq!(gone.kind, AttemptEndKind::WorkerGone);
    }
}
