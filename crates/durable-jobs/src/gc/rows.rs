//! The rows that garbage collection asks for and deletes.
//!
//! The engine's own deletion looks at no status, and its garbage collection is not built yet; so these are guarded
//! statements of ours. A job is locked and looked at again before it goes, so that one that is being resumed stays; its
//! steps and whatever a newer DBOS keeps beside it go with it, in the same statement: from schema 112 on no key sees to that.
//! Only jobs of ours are deleted, but references of all workflows count.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::AssertSqlSafe;

use crate::Error;
use crate::database::Database;
use crate::database::workflow_rows::{self, ENDED, LEFTOVERS, PARKED_BY_ENGINE};
use crate::record::milliseconds;

/// A job may have ten thousand steps, so that a statement deletes up to a million of them.
const BATCH: u32 = 100;

/// Bounds every statement but the one that reads the references.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Reading all references takes seconds for a million jobs; it holds nobody up.
const REFERENCES_TIMEOUT: Duration = Duration::from_mins(10);

/// The moment that lies so many milliseconds back, by the clock that says when a job ended.
const MOMENT: &str = "select (extract(epoch from now()) * 1000)::bigint - $1";

/// The moment before which a job must have ended to be deleted, in milliseconds since 1970.
pub(super) async fn moment_before(database: &Database, keep: Duration) -> Result<i64, Error> {
    let keep_ms = milliseconds(keep);
    let moment = sqlx::query_scalar(MOMENT).bind(keep_ms).fetch_one(&database.pool);
    database.bounded("asking for the time", TIMEOUT, moment).await
}

/// Counts the jobs that ended before `moment`.
pub(super) async fn count_jobs(database: &Database, moment: i64) -> Result<u64, Error> {
    let count = sqlx::query_scalar(AssertSqlSafe(workflow_rows::count_ended()))
        .bind(moment)
        .bind(database.scope.workflows())
        .fetch_one(&database.pool);
    let count: i64 = database.bounded("counting old jobs", TIMEOUT, count).await?;
    Ok(count.unsigned_abs())
}

/// Deletes the jobs that ended before `moment` and says how many there were.
pub(super) async fn delete_jobs(database: &Database, moment: i64) -> Result<u64, Error> {
    // Each by the index that it has.
    let ended = delete_all(database, &format!("{ENDED} order by completed_at"), moment).await?;
    Ok(ended + delete_all(database, PARKED_BY_ENGINE, moment).await?)
}

async fn delete_all(database: &Database, which: &str, moment: i64) -> Result<u64, Error> {
    let statement = workflow_rows::delete(which, BATCH);
    let mut deleted = 0;
    loop {
        // Each batch is a transaction of its own, so no row is locked for longer than one of them takes.
        let batch = sqlx::query_as(AssertSqlSafe(statement.clone()))
            .bind(moment)
            .bind(database.scope.workflows())
            .fetch_one(&database.pool);
        let (gone, _): (i64, Option<String>) = database.bounded("deleting old jobs", TIMEOUT, batch).await?;
        deleted += gone.unsigned_abs();
        if gone < i64::from(BATCH) {
            return Ok(deleted);
        }
    }
}

/// Deletes what is kept of jobs that do not exist any more.
pub(super) async fn delete_leftovers(database: &Database) -> Result<(), Error> {
    for statement in LEFTOVERS {
        let delete = sqlx::query(statement).execute(&database.pool);
        database
            .bounded("deleting what is left of old jobs", TIMEOUT, delete)
            .await?;
    }
    Ok(())
}

/// Calls `visit` with the name of every artifact that a job refers to, at one moment; jobs that ended before `ignored` do not
/// count.
///
/// Only names leave the database, one after the other: a step's output may hold ten thousand digits.
pub(super) async fn each_reference(
    database: &Database,
    ignored: Option<i64>,
    mut visit: impl FnMut(&str),
) -> Result<(), Error> {
    let read = async {
        let mut names = sqlx::query_scalar::<_, String>(AssertSqlSafe(workflow_rows::references()))
            .bind(ignored)
            .bind(database.scope.workflows())
            .fetch(&database.pool);
        while let Some(name) = names.try_next().await? {
            visit(&name);
        }
        Ok::<_, sqlx::Error>(())
    };
    database
        .bounded("reading what jobs refer to", REFERENCES_TIMEOUT, read)
        .await
}
