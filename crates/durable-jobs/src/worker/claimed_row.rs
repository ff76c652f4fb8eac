//! A row that was claimed, as far as it matters whether it can run.

use std::time::Duration;

use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tracing::warn;

use super::{HeldRow, give_back, record_failure};
use crate::Error;
use crate::database::{Database, workflow_rows};
use crate::job::JobTypes;
use crate::record::{Details, Failure, MAX_INPUT_BYTES};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A row that this worker holds.
pub(crate) struct ClaimedRow {
    pub(crate) id: String,
    /// The owner that it names.
    pub(crate) owner: Option<String>,
    /// The time since its claim, by the database's clock.
    pub(crate) age_seconds: f64,
    name: String,
    /// The class or instance that the workflow is a method of; ours is neither.
    class_or_instance: Option<String>,
    serialization: Option<String>,
    input: Option<String>,
    input_bytes: u64,
}

/// The worker that holds a row.
pub(crate) struct RowHolder {
    pub(crate) executor_id: String,
    /// Where a row goes back to whose own queue nobody knows.
    pub(crate) queue: String,
}

/// A reason why a row cannot run.
pub(crate) enum RowRefusal {
    /// Another worker may know its type.
    UnknownType,
    /// No worker can run it.
    Never(Failure),
}

impl ClaimedRow {
    pub(crate) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("workflow_uuid")?,
            owner: row.try_get("owner_xid")?,
            age_seconds: row.try_get("age")?,
            name: row.try_get::<Option<String>, _>("name")?.unwrap_or_default(),
            class_or_instance: row.try_get("class_or_instance")?,
            serialization: row.try_get("serialization")?,
            input: row.try_get("inputs")?,
            input_bytes: row
                .try_get::<Option<i64>, _>("bytes")?
                .unwrap_or_default()
                .unsigned_abs(),
        })
    }

    /// The input as the workflow takes it; `null` where there is none.
    pub(crate) fn input_value(&self) -> Value {
        self.decoded().unwrap_or(Value::Null)
    }

    /// The name of its workflow.
    pub(crate) fn workflow(&self) -> &str {
        &self.name
    }

    /// Reads what the row asks for, and refuses one that cannot run here.
    ///
    /// The body decodes the input a second time when it begins. Between the two stands the engine, which hands JSON on, and
    /// which also starts rows that were never read here, such as those of its own queue.
    pub(crate) fn checked(&self, job_types: &JobTypes) -> Result<Details, RowRefusal> {
        let known = job_types
            .get(&self.name)
            .filter(|_| self.class_or_instance.is_none());
        let job_type = known.ok_or(RowRefusal::UnknownType)?;
        let input = self.readable_input().map_err(RowRefusal::Never)?;
        job_type.read(&input).map_err(RowRefusal::Never)
    }

    fn readable_input(&self) -> Result<Value, Failure> {
        // First: a pickle is no JSON either, and the advice has to be the one that helps.
        if self.is_pickle() {
            let message = "the input is a Python pickle, which only Python can read; \
                           enqueue with WorkflowSerializationFormat.PORTABLE";
            return Err(unreadable(message.to_owned()));
        }
        // Before it is decoded: an input over the limit was not read with the row, and would pass for `null`.
        let bytes = self.input_bytes;
        if bytes > MAX_INPUT_BYTES as u64 {
            return Err(unreadable(format!(
                "the input has {bytes} bytes, over the limit of {MAX_INPUT_BYTES}"
            )));
        }
        self.decoded().map_err(|error| not_json(&error))
    }

    /// Ends a row that can never run; gives one of another type back, for workers that know it.
    pub(crate) async fn refuse(&self, database: &Database, holder: &RowHolder, refusal: &RowRefusal) {
        match refusal {
            RowRefusal::Never(failure) => self.park(database, holder, failure).await,
            RowRefusal::UnknownType => match self.give_back(database, holder).await {
                Ok(true) => warn!(
                    workflow_id = self.id,
                    workflow = self.name,
                    "gave back a job of a type that is not known here"
                ),
                Ok(false) => {}
                Err(error) => warn!(workflow_id = self.id, %error, "could not give a row back"),
            },
        }
    }

    /// Puts the row back on its queue, if it is still as it was read; returns whether it was.
    pub(crate) async fn give_back(&self, database: &Database, holder: &RowHolder) -> Result<bool, Error> {
        let held = HeldRow {
            id: &self.id,
            executor_id: &holder.executor_id,
            owner: self.owner.as_deref(),
            queue: &holder.queue,
        };
        let give_back = give_back(database, held);
        database.bounded("giving a row back", TIMEOUT, give_back).await
    }

    /// Ends the row with the reason why it cannot run, if it is still as it was read.
    ///
    /// A Python client that sent a pickle would look for a pickle in the error too; the row is relabelled so that it
    /// reads the reason instead.
    async fn park(&self, database: &Database, holder: &RowHolder, failure: &Failure) {
        // Before the end is recorded: the statement changes only a row that has not ended, and tells if it is still ours.
        let relabel = sqlx::query(workflow_rows::RELABEL)
            .bind(&self.id)
            .bind(&holder.executor_id)
            .bind(self.owner.as_deref())
            .execute(&database.pool);
        match database.bounded("relabelling a row", TIMEOUT, relabel).await {
            Ok(done) if done.rows_affected() == 0 => return,
            Ok(_) => {}
            Err(error) => {
                return warn!(workflow_id = self.id, %error, "could not park a row; the janitor will see to it");
            }
        }
        warn!(
            workflow_id = self.id,
            reason = failure.message,
            "ended a row that cannot run"
        );
        record_failure(database, &self.id, failure).await;
    }

    /// Tests whether the row is written in the one form that only Python reads.
    fn is_pickle(&self) -> bool {
        self.serialization.as_deref() == Some("py_pickle")
    }

    fn decoded(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.input.as_deref().unwrap_or("null"))
    }
}

/// Reads an input that came without its row; the end of one over the limit may be missing.
pub(super) fn read_input(text: &str) -> Result<Value, Failure> {
    if text.len() > MAX_INPUT_BYTES {
        return Err(unreadable(format!(
            "the input has more bytes than the limit of {MAX_INPUT_BYTES}"
        )));
    }
    serde_json::from_str(text).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> Failure {
    unreadable(format!("the input is not JSON: {error}"))
}

fn unreadable(message: String) -> Failure {
    Failure::parked("UnreadableInput", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_or_refused_with_the_reason() {
        assert_eq!(read_input("7").unwrap(), 7);
        let longest = format!("\"{}\"", "x".repeat(MAX_INPUT_BYTES - 2));
        assert!(read_input(&longest).is_ok());
        for (input, words) in [(longest + " ", "more bytes"), ("{no".to_owned(), "is not JSON")] {
            let message = read_input(&input).unwrap_err().message;
            assert!(message.contains(words), "{message}");
        }
    }
}
