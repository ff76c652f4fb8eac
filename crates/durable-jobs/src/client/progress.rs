//! The progress of running jobs, as their workers last said.
//!
//! Nothing is asked of a worker: each says with its heartbeat what its longer jobs are at, and that is read here.
//! A row is believed as long as its worker counts as living; of two that tell of the same job the later one is, since a job
//! changes hands while the row of its former worker is still there.
//!
//! It does not promise that a job still runs: its own row alone says that.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Client, unreadable};
use crate::Reply;
use crate::presence::is_live;
use crate::record::{JobId, RunningJob};

/// Reads what living workers say of the jobs `$1`, the latest word last.
const PROGRESS: &str = concat!(
    "select job::text as job, extract(epoch from now() - heartbeat_at)::float8 as age \
     from abaci.presence cross join lateral jsonb_array_elements(running) as job \
     where ",
    is_live!(),
    " and job->>'workflow_id' = any($1) order by heartbeat_at"
);

impl Client {
    /// Reads what those of `ids` are at that a living worker has in hand.
    ///
    /// A job is there once it has been in hand for about half a second, and what is said of it is up to half a second old;
    /// of a worker that died without a word, up to three seconds.
    /// `seconds` is advanced by the age of the heartbeat, so it grows between two of them; the rest is as it was said.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn progress<'a>(&'a self, ids: &'a [JobId]) -> Reply<'a, HashMap<JobId, RunningJob>> {
        Box::pin(async move {
            let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
            let rows = sqlx::query(PROGRESS).bind(ids).fetch_all(&self.database.pool);
            let rows = self
                .database
                .bounded("reading progress", self.timeout, rows)
                .await?;
            let said: Vec<_> = rows
                .iter()
                .map(job_of)
                .collect::<Result<_, _>>()
                .map_err(|error| unreadable(&error))?;
            // The latest word comes last, and in a map the last one stays.
            Ok(said
                .into_iter()
                .flatten()
                .map(|job| (JobId::new(&job.workflow_id), job))
                .collect())
        })
    }
}

/// The job of a row, unless a worker of another version said it in a way that cannot be read.
fn job_of(row: &PgRow) -> Result<Option<RunningJob>, sqlx::Error> {
    let job: String = row.try_get("job")?;
    let age: f64 = row.try_get("age")?;
    Ok(RunningJob::said(&job, age))
}
