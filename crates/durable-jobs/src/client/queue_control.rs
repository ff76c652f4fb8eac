//! Pausing queues, resuming them and limiting how fast their jobs start.
//!
//! What is set stays in the engine's table of queues, over restarts of everything; workers heed it within a second.
//! It takes no job away from a worker: what runs goes on.

use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::{PgQueryResult, PgRow};

use super::Client;
use crate::database::workflow_rows::{LIMIT_QUEUE, PAUSE_QUEUE, QUEUES, RESUME_QUEUE};
use crate::record::{APPLICATION, ENGINE_QUEUE, Rate, StartLimits};
use crate::{Error, Reply};

/// A queue as it is set, and what is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// True if no job of it is started.
    pub paused: bool,
    /// The limit of its starts, if there is one.
    pub rate: Option<Rate>,
    /// The most jobs that may run at once in the whole fleet, where another tool has set that.
    pub concurrency: Option<u32>,
    /// Jobs that wait, delayed ones included.
    pub queued: u64,
    /// Jobs that a worker has claimed.
    pub running: u64,
}

impl Client {
    /// Lists every queue that is registered, has a worker, or has jobs that did not end.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn queues(&self) -> Reply<'_, Vec<QueueInfo>> {
        Box::pin(async move {
            let rows = sqlx::query(QUEUES)
                .bind(ENGINE_QUEUE)
                .fetch_all(&self.database.pool);
            let rows = self
                .database
                .bounded("listing queues", self.timeout, rows)
                .await?;
            let views: Result<Vec<_>, _> = rows.iter().map(QueueInfo::from_row).collect();
            views.map_err(|error| super::unreadable(&error))
        })
    }

    /// Lets no job of the queue start until it is resumed; one that is paused stays so.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn pause_queue<'a>(&'a self, queue: &'a str) -> Reply<'a, ()> {
        Box::pin(async move {
            let paused = sqlx::query(PAUSE_QUEUE)
                .bind(queue)
                .bind(APPLICATION)
                .execute(&self.database.pool);
            self.changed("pausing a queue", paused).await.map(drop)
        })
    }

    /// Lets the jobs of the queue start again, and tells whether it was paused.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn resume_queue<'a>(&'a self, queue: &'a str) -> Reply<'a, bool> {
        Box::pin(async move {
            let resumed = sqlx::query(RESUME_QUEUE).bind(queue).execute(&self.database.pool);
            let resumed = self.changed("resuming a queue", resumed).await?;
            self.announce(queue).await;
            Ok(resumed.rows_affected() > 0)
        })
    }

    /// Limits how fast jobs of the queue start; `None` takes the limit away.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn limit_queue<'a>(&'a self, queue: &'a str, rate: Option<Rate>) -> Reply<'a, ()> {
        Box::pin(async move {
            let starts = rate.map(|rate| i32::try_from(rate.starts).unwrap_or(i32::MAX));
            let limited = sqlx::query(LIMIT_QUEUE)
                .bind(queue)
                .bind(starts)
                .bind(rate.map(|rate| rate.seconds))
                .bind(APPLICATION)
                .execute(&self.database.pool);
            self.changed("limiting a queue", limited).await.map(drop)
        })
    }

    async fn changed(
        &self,
        operation: &'static str,
        change: impl Future<Output = Result<PgQueryResult, sqlx::Error>>,
    ) -> Result<PgQueryResult, Error> {
        self.database.bounded(operation, self.timeout, change).await
    }
}

impl QueueInfo {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        let StartLimits { paused, limit } = limits_in(row)?;
        Ok(Self {
            name: row.try_get("name")?,
            paused,
            rate: limit.rate,
            concurrency: limit.concurrency,
            queued: count("waiting")?,
            running: count("running")?,
        })
    }
}

/// Reads the limits of a queue from a row that has these columns of its own.
pub(super) fn limits_in(row: &PgRow) -> Result<StartLimits, sqlx::Error> {
    Ok(StartLimits::of_row(
        row.try_get("concurrency")?,
        row.try_get("rate_limit_max")?,
        row.try_get("rate_limit_period_sec")?,
    ))
}
