//! A row that was claimed, as far as it matters whether it can run.

use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tracing::warn;

use super::record_failure;
use crate::FIBONACCI_WORKFLOW;
use crate::database::Database;
use crate::record::{Failure, Request};

/// An input over this size is not read; no request is that long. [`ClaimedRow::COLUMNS`] repeats it.
const MAX_INPUT_BYTES: i64 = 65_536;

/// A row that this worker holds.
pub(crate) struct ClaimedRow {
    pub(crate) id: String,
    /// How long ago it was claimed, by the database's clock.
    pub(crate) age_seconds: f64,
    name: String,
    /// The class or instance that the workflow is a method of; ours is neither.
    class_or_instance: Option<String>,
    serialization: Option<String>,
    input: Option<String>,
    input_bytes: i64,
}

impl ClaimedRow {
    /// What [`ClaimedRow::from_row`] reads; a huge input stays where it is.
    pub(crate) const COLUMNS: &str = "workflow_uuid, name, serialization, \
         coalesce(class_name, config_name) as class_or_instance, octet_length(inputs)::bigint as bytes, \
         case when octet_length(inputs) <= 65536 then inputs end as inputs, \
         (extract(epoch from now()) - coalesce(started_at_epoch_ms, updated_at) / 1000.0)::float8 as age";

    pub(crate) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("workflow_uuid")?,
            age_seconds: row.try_get("age")?,
            name: row.try_get::<Option<String>, _>("name")?.unwrap_or_default(),
            class_or_instance: row.try_get("class_or_instance")?,
            serialization: row.try_get("serialization")?,
            input: row.try_get("inputs")?,
            input_bytes: row.try_get::<Option<i64>, _>("bytes")?.unwrap_or_default(),
        })
    }

    /// The input as the workflow takes it; `null` where there is none.
    pub(crate) fn input_value(&self) -> Value {
        self.decoded().unwrap_or(Value::Null)
    }

    /// Why this row can never run here, if it cannot.
    pub(crate) fn hopeless(&self) -> Option<Failure> {
        if self.name != FIBONACCI_WORKFLOW {
            let message = format!(
                "workflow {:?} does not exist here; enqueue {FIBONACCI_WORKFLOW:?}",
                self.name
            );
            return Some(Failure::parked("UnknownWorkflow", message));
        }
        if let Some(class) = &self.class_or_instance {
            let message = format!(
                "workflow {:?} of class {class:?} does not exist here; enqueue it without",
                self.name
            );
            return Some(Failure::parked("UnknownWorkflow", message));
        }
        if self.is_pickle() {
            let message = "the input is a Python pickle, which only Python can read; \
                           enqueue with WorkflowSerializationFormat.PORTABLE";
            return Some(Failure::parked("UnreadableInput", message));
        }
        if self.input_bytes > MAX_INPUT_BYTES {
            let message = format!(
                "the input has {} bytes, over the limit of {MAX_INPUT_BYTES}",
                self.input_bytes
            );
            return Some(Failure::parked("UnreadableInput", message));
        }
        match self.decoded().map(|value| Request::decode(&value)) {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(Failure::invalid_request(error.to_string())),
            Err(error) => Some(Failure::parked(
                "UnreadableInput",
                format!("the input is not JSON: {error}"),
            )),
        }
    }

    /// Ends the row with the reason why it cannot run.
    ///
    /// A Python client that sent a pickle would look for a pickle in the error too; the row is relabelled so that it
    /// reads the reason instead.
    pub(crate) async fn park(&self, database: &Database, failure: &Failure) {
        warn!(
            workflow_id = self.id,
            reason = failure.message,
            "parked a row that cannot run"
        );
        if self.is_pickle() {
            let relabel = sqlx::query(
                "update dbos.workflow_status set serialization = 'portable_json' \
                 where workflow_uuid = $1 and status = 'PENDING'",
            );
            if let Err(error) = relabel.bind(&self.id).execute(&database.pool).await {
                warn!(workflow_id = self.id, %error, "could not make the reason readable for Python");
            }
        }
        record_failure(database, &self.id, failure).await;
    }

    /// Whether the row is written in the one form that only Python reads.
    fn is_pickle(&self) -> bool {
        self.serialization.as_deref() == Some("py_pickle")
    }

    fn decoded(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.input.as_deref().unwrap_or("null"))
    }
}
