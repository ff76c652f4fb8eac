//! The way of a claimed row back to its queue, and the count of its claims.
//!
//! The count is what parks a job, here and in the engine: so a claim that is given back unharmed is taken off it, and so is
//! one whose body had not begun when its worker died.

use dbos::sysdb::INTERNAL_QUEUE;

use crate::database::Database;
use crate::database::workflow_rows::{GIVE_BACK, KEEP_HOST_FAULT, SETTLE_CLAIMS, UNDO_CLAIMS};

/// A row that a worker holds.
pub(crate) struct HeldRow<'a> {
    pub(crate) id: &'a str,
    pub(crate) executor_id: &'a str,
    /// The owner that it named when it was read, or the token of the run that has it.
    pub(crate) owner: Option<&'a str>,
    /// The queue of the worker, where nobody knows the row's.
    pub(crate) queue: &'a str,
}

/// Puts one row back, uncounted, if it is still as it was seen; returns whether it was.
pub(crate) async fn give_back(database: &Database, row: HeldRow<'_>) -> Result<bool, sqlx::Error> {
    let given_back = sqlx::query(GIVE_BACK)
        .bind(row.id)
        .bind(row.executor_id)
        .bind(row.owner)
        .bind(INTERNAL_QUEUE)
        .bind(row.queue)
        .execute(&database.pool)
        .await?;
    Ok(given_back.rows_affected() > 0)
}

/// Keeps why the host ends the run `owner` of a job, which is given back next.
///
/// Repeating it changes nothing.
pub(crate) async fn keep_host_fault(
    database: &Database,
    row: &HeldRow<'_>,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let keep = sqlx::query(KEEP_HOST_FAULT)
        .bind(row.id)
        .bind(row.owner)
        .bind(reason);
    keep.execute(&database.pool).await.map(drop)
}

/// Takes back the counts of all claims of an executor, whose rows are requeued next.
///
/// Repeating it changes nothing.
pub(crate) async fn undo_claims(database: &Database, executor_id: &str) -> Result<(), sqlx::Error> {
    let undo = sqlx::query(UNDO_CLAIMS).bind(executor_id);
    undo.execute(&database.pool).await.map(drop)
}

/// Takes back the counts of those claims of a dead executor whose bodies had not begun, before its rows are requeued: a job
/// that did not run cannot have killed anybody.
///
/// Repeating it changes nothing.
pub(crate) async fn settle_claims(database: &Database, executor_id: &str) -> Result<(), sqlx::Error> {
    let settle = sqlx::query(SETTLE_CLAIMS).bind(executor_id);
    settle.execute(&database.pool).await.map(drop)
}
