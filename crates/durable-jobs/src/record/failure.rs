//! Why a job has no value, as recorded in its row.

use serde::{Deserialize, Serialize};

/// The name of a failure that the host is to blame for. A computing process says it by this name, too.
const OF_HOST: &str = "Host";

/// A recorded failure: plain data, never a live error chain.
///
/// Its JSON is the portable error of the DBOS client libraries (`name`, `message`, `data`), so that a client in another
/// language raises it with its type and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The type of the failure in one word, such as `InvalidRequest`.
    pub name: String,
    /// One line for a person: the thing, the value, the way out.
    pub message: String,
    /// The facts that a program decides by.
    pub data: FailureData,
}

/// The part of a [`Failure`] that programs branch on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureData {
    /// Says if trying again can help, or if the job was put aside.
    pub kind: FailureKind,
    /// The attempt that failed, counted from 1; 0 where nothing was attempted.
    pub attempt: u32,
}

/// The meaning of a failure for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Another attempt may succeed: a full disk, an unreachable store.
    Retryable,
    /// No attempt can succeed: the request itself is wrong.
    Terminal,
    /// Put aside because it cannot be run here or kills its workers; it never starts again unasked.
    Parked,
}

impl Failure {
    /// The request cannot be met, whoever tries.
    #[must_use]
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequest", FailureKind::Terminal, message, 0)
    }

    /// A step failed for a reason that may pass.
    #[must_use]
    pub fn retryable(name: &str, message: impl Into<String>) -> Self {
        Self::new(name, FailureKind::Retryable, message, 0)
    }

    /// A step failed for a reason that stays.
    #[must_use]
    pub fn terminal(name: &str, message: impl Into<String>) -> Self {
        Self::new(name, FailureKind::Terminal, message, 0)
    }

    /// The job is put aside.
    #[must_use]
    pub fn parked(name: &str, message: impl Into<String>) -> Self {
        Self::new(name, FailureKind::Parked, message, 0)
    }

    /// The same failure, stamped with the attempt that met it.
    #[must_use]
    pub(crate) fn at_attempt(mut self, attempt: u32) -> Self {
        self.data.attempt = attempt;
        self
    }

    /// The host lacks something that no job is to blame for; the job is given back, and no row ever has this.
    #[must_use]
    pub fn of_host(message: impl Into<String>) -> Self {
        Self::retryable(OF_HOST, message)
    }

    /// Tests whether the host is to blame, and not the job.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        self.name == OF_HOST
    }

    fn new(name: &str, kind: FailureKind, message: impl Into<String>, attempt: u32) -> Self {
        Self {
            name: name.to_owned(),
            message: message.into(),
            data: FailureData { kind, attempt },
        }
    }
}
