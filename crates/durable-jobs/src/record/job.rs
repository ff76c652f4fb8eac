//! A job as its row describes it.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Batch, Details, Failure, Label, shorten};

/// The id of a job: the workflow id of its row, chosen by the client that submitted it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Takes the id of a job as it is: another client may have chosen any text.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// A fresh id that sorts by the time of its making (UUID version 7).
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    /// The longest id that is accepted for a new job.
    const MAX_CHOSEN: usize = 128;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The refusal of an id for a new job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not an id; give 1 to {} letters, digits and signs of ASCII, without spaces, not beginning with - and neither . nor ..",
    JobId::MAX_CHOSEN
)]
pub struct JobIdError {
    /// The id as it was given, shortened.
    given: String,
}

impl FromStr for JobId {
    type Err = JobIdError;

    /// Accepts an id that somebody chose for a new job: one that every list can show, that no command takes for a flag and no
    /// browser for a place in a path.
    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let is_accepted = text.chars().all(|c| c.is_ascii_graphic())
            && !text.starts_with('-')
            && !matches!(text, "." | "..");
        if is_accepted && (1..=Self::MAX_CHOSEN).contains(&text.len()) {
            return Ok(Self::new(text));
        }
        Err(JobIdError { given: shorten(text) })
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Unlike `write_str`, it heeds the width that a caller asks for.
        f.pad(&self.0)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting in its queue.
    Queued,
    /// Waiting for its delay to pass.
    Delayed,
    /// Claimed by a worker, whose presence row says whether that worker lives.
    Running,
    /// Finished with a value.
    Succeeded,
    /// Finished without one.
    Failed,
    /// Put aside with a reason; it never starts again unasked.
    Parked,
    /// Cancelled by someone or by its timeout.
    Cancelled,
}

impl State {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Delayed,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Parked,
        Self::Cancelled,
    ];

    /// Tests whether nothing further happens to the job unasked.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Parked | Self::Cancelled
        )
    }

    /// The state's name, as in the JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delayed => "delayed",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One job, without its value.
///
/// Times are milliseconds since 1970-01-01 UTC by the database's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id.
    pub workflow_id: JobId,
    /// Where it stands.
    pub state: State,
    /// The workflow that it runs.
    pub workflow: String,
    /// Its request, as its job type names it; empty where the input cannot be read or the type is not known here.
    #[serde(flatten)]
    pub details: Details,
    /// The queue that it waits in or came from.
    pub queue: Option<String>,
    /// The worker that has or had it.
    pub executor_id: Option<String>,
    /// The version of the steps that it needs.
    pub application_version: Option<String>,
    /// Its rank in the queue: a lower number is claimed sooner.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Words that it was submitted with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Label>,
    /// The jobs that it was submitted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// The number of claims.
    pub attempts: u32,
    /// When it was submitted.
    pub created_at_ms: i64,
    /// When it was last claimed.
    pub started_at_ms: Option<i64>,
    /// When its outcome was recorded.
    pub completed_at_ms: Option<i64>,
    /// When its delay ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_until_ms: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One job with its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSummary {
    /// The job as lists show it.
    pub job: Job,
    /// The recorded output, once it succeeded.
    pub result: Option<JobOutput>,
    /// The reason, once it failed.
    pub error: Option<Failure>,
    /// The number of its recorded steps.
    pub step_count: u64,
}

/// One job with its outcome and its steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobDetail {
    /// The job as lists show it.
    #[serde(flatten)]
    pub job: Job,
    /// The recorded output, once it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JobOutput>,
    /// The reason, once it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Its recorded steps, first to last.
    pub steps: Vec<StepRecord>,
}

/// The recorded output of a job that succeeded: JSON of its job type's output.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct JobOutput(Box<RawValue>);

impl JobOutput {
    /// Takes what a row holds, in one line.
    pub(crate) fn of_row(output: Option<&str>) -> Result<Self, Failure> {
        let output = RawValue::from_string(output.unwrap_or("null").to_owned());
        // Valid JSON has these between its values and in no string.
        let line = output.and_then(|json| RawValue::from_string(json.get().replace(['\n', '\r', '\t'], " ")));
        line.map(Self).map_err(|error| Self::unreadable(&error))
    }

    /// The JSON, in one line.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }

    /// Reads the output of a job of a known type.
    ///
    /// # Errors
    /// A terminal failure where it is of another form.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(self.0.get()).map_err(|error| Self::unreadable(&error))
    }

    fn unreadable(error: &serde_json::Error) -> Failure {
        let message = format!("the recorded result cannot be read: {error}");
        Failure::terminal("UnreadableResult", message)
    }
}

impl PartialEq for JobOutput {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// One recorded step of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's position, from 0.
    pub id: i32,
    /// The step's constant name.
    pub name: String,
    /// When its last attempt began; milliseconds since 1970-01-01 UTC by the worker's clock.
    pub started_at_ms: Option<i64>,
    /// When it was done, by the same clock.
    pub completed_at_ms: Option<i64>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_chosen_can_be_shown_and_typed() {
        let longest = "x".repeat(128);
        for id in ["mine", "a/b:c-1_2.3", "'$(date)'", &longest] {
            assert_eq!(id.parse(), Ok(JobId::new(id)));
        }
        let too_long = "x".repeat(129);
        for id in [
            "",
            " ",
            "two words",
            "x\u{1b}[2J",
            "a\nb",
            "é",
            "\u{feff}x",
            "a\u{202e}b",
            &too_long,
        ] {
            let error = id.parse::<JobId>().unwrap_err().to_string();
            assert!(
                !error.contains(char::is_control) && error.contains("128"),
                "{error}"
            );
        }
    }
}
