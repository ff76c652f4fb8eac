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
        let unreadable = |message| Failure::parked("UnreadableInput", message);
        if self.is_pickle() {
            let message = "the input is a Python pickle, which only Python can read; \
                           enqueue with WorkflowSerializationFormat.PORTABLE";
            return Err(unreadable(message.to_owned()));
        }
        let bytes = self.input_bytes;
        if bytes > MAX_INPUT_BYTES as u64 {
            return Err(unreadable(format!(
                "the input has {bytes} bytes, over the limit of {MAX_INPUT_BYTES}"
            )));
        }
        self.decoded()
            .map_err(|error| unreadable(format!("the input is not JSON: {error}")))
    }

    /// Ends a row that can never run; gives one of another type back, for workers that know it.
    pub(crate) async fn refuse(&self, database: &Database, holder: &RowHolder, refusal: &RowRefusal) {
        match refusal {
            RowRefusal::Never(failure) => self.park(database, failure).await,
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

    /// Ends the row with the reason why it cannot run.
    ///
    /// A Python client that sent a pickle would look for a pickle in the error too; the row is relabelled so that it
    /// reads the reason instead.
    async fn park(&self, database: &Database, failure: &Failure) {
        warn!(
            workflow_id = self.id,
            reason = failure.message,
            "parked a row that cannot run"
        );
        if self.is_pickle() {
            let relabel = sqlx::query(workflow_rows::RELABEL);
            let relabel = relabel.bind(&self.id).execute(&database.pool);
            if let Err(error) = database.bounded("relabelling a row", TIMEOUT, relabel).await {
                warn!(workflow_id = self.id, %error, "could not make the reason readable for Python");
            }
        }
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
