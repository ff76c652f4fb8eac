//! The collection that a worker does unasked, of jobs that ended longer ago than somebody wants to keep them.
//!
//! It begins with the worker and comes again after a tenth of that time, at least a second and at most an hour later.
//! Of all workers that share a place of artifacts one collects at a time, by a lock in the database; a worker that finds it
//! taken leaves it at that until its next turn. The lock saves work and protects nothing: a second collection, such as one
//! by hand, would be harmless.
//!
//! An artifact stays for an hour, or for the time that jobs are kept if that is less.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::Error;
use crate::artifact::Artifacts;
use crate::database::Database;
use crate::gc::{GcMode, GcOptions, GcReport, collect};

const TIMEOUT: Duration = Duration::from_secs(5);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// Goes with its connection.
const LOCK: &str = "select pg_try_advisory_lock(hashtextextended('abaci collection ' || $1, 0))";

/// The unasked collection of one worker.
pub(crate) struct Retention {
    pub(crate) database: Database,
    pub(crate) artifacts: Artifacts,
    /// The name of this machine, whose directories are its own.
    pub(crate) host: String,
    pub(crate) keep: Duration,
}

impl Retention {
    /// Collects until the task is aborted.
    pub(crate) async fn run(self) {
        let interval = (self.keep / 10).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let mut turns = tokio::time::interval(interval);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            turns.tick().await;
            // Only the first of several failures is a warning: an outage may last for many turns.
            let turn = self.turn().await;
            match &turn {
                Ok(report) => log_report(report),
                Err(error) if is_failing => debug!(%error, "collecting garbage failed again"),
                Err(error) => warn!(%error, "collecting garbage failed; trying again"),
            }
            is_failing = turn.is_err();
        }
    }

    /// Collects, unless somebody else does.
    async fn turn(&self) -> Result<GcReport, Error> {
        let Some(lock) = self.lock().await? else {
            return Ok(GcReport::default());
        };
        let options = GcOptions {
            keep_jobs: Some(self.keep),
            ..GcOptions::new(GcMode::Delete)
        };
        let options = GcOptions {
            min_age: options.min_age.min(self.keep),
            ..options
        };
        // Not over the worker's own, which are few, and whose statements have to be short.
        let apart = self.database.apart();
        let report = collect(&apart, &self.artifacts, options).await;
        let _ = tokio::time::timeout(TIMEOUT, apart.close()).await;
        // A failure to close it changes nothing.
        let _ = tokio::time::timeout(TIMEOUT, lock.close()).await;
        report
    }

    /// A connection that holds the lock, if it is free.
    async fn lock(&self) -> Result<Option<PgConnection>, Error> {
        let place = self.artifacts.place();
        // A bucket is one place for all hosts; a directory of the same name on each host is another.
        let place = if self.artifacts.is_shared() {
            place
        } else {
            format!("{} {place}", self.host)
        };
        let mut connection = self.database.address.connect(TIMEOUT).await?;
        let lock = sqlx::query_scalar(LOCK).bind(place).fetch_one(&mut connection);
        let is_locked = self.database.bounded("taking a lock", TIMEOUT, lock).await?;
        Ok(Some(connection).filter(|_| is_locked))
    }
}

fn log_report(report: &GcReport) {
    if *report != GcReport::default() {
        let artifacts = report.artifacts.len();
        info!(report.jobs, artifacts, report.bytes, "collected garbage");
    }
}
