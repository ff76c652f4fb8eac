//! Taking over the jobs of a worker that died.
//!
//! A worker counts as dead when its heartbeat expired, or when its process on this host is gone; and in both cases only
//! if nobody holds the session lock on its executor id, which a live process does as long as its connection stands.
//! The lock is held during the takeover, so that a restart of the same worker waits for it.
//! An outage of the database does not count as silence: ages start again when the server starts.
//!
//! Its jobs go back to their queue, where the atomic claim gives each to one worker; nothing is started here.
//! The sweep is periodic, never one-shot: an error is tried again a second later.

use std::time::Duration;

use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use sqlx::{AssertSqlSafe, Row};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::database::Database;
use crate::presence::{self, LOCK_KEY, Presence};
use crate::{APPLICATION_VERSION, Error};

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Rows that some executor holds which has no presence row at all, so that nobody would ever look for it.
const ORPHANS: &str = "select distinct w.executor_id from dbos.workflow_status w \
     where w.status = 'PENDING' and w.application_version = $1 and w.executor_id is not null \
     and w.updated_at < (extract(epoch from now() - $2 * interval '1 second') * 1000)::bigint \
     and now() - pg_postmaster_start_time() > $2 * interval '1 second' \
     and not exists (select 1 from abaci.presence p where p.executor_id = w.executor_id)";

/// The sweep of one worker over all the others.
pub(crate) struct Failover {
    pub(crate) database: Database,
    pub(crate) executor_id: String,
    pub(crate) host: String,
}

impl Failover {
    /// Sweeps every second until the task is aborted.
    pub(crate) async fn run(self) {
        let mut sweeps = tokio::time::interval(INTERVAL);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            if let Err(error) = self.sweep().await {
                debug!(%error, "failover sweep failed; trying again");
            }
        }
    }

    async fn sweep(&self) -> Result<(), Error> {
        for executor_id in self
            .database
            .bounded("looking for dead workers", TIMEOUT, self.dead())
            .await?
        {
            self.database
                .bounded("taking over jobs", TIMEOUT, self.take_over(&executor_id))
                .await?;
        }
        Ok(())
    }

    /// The executor ids that look dead; [`Failover::take_over`] makes sure.
    async fn dead(&self) -> Result<Vec<String>, sqlx::Error> {
        let rows = sqlx::query(presence::SELECT)
            .fetch_all(&self.database.pool)
            .await?;
        let workers = rows
            .iter()
            .map(Presence::from_row)
            .collect::<Result<Vec<_>, _>>()?;
        let looks_dead = |worker: &Presence| {
            let is_gone = worker.host == self.host && !presence::is_alive(worker.pid);
            worker.executor_id != self.executor_id && (is_gone || !worker.is_live())
        };
        let mut dead: Vec<String> = workers
            .into_iter()
            .filter(looks_dead)
            .map(|worker| worker.executor_id)
            .collect();
        let orphans = sqlx::query(ORPHANS)
            .bind(APPLICATION_VERSION)
            .bind(Presence::EXPIRY.as_secs_f64())
            .fetch_all(&self.database.pool)
            .await?;
        for orphan in orphans {
            dead.push(orphan.try_get("executor_id")?);
        }
        Ok(dead)
    }

    /// Requeues the jobs of `executor_id` unless a live session holds its lock.
    async fn take_over(&self, executor_id: &str) -> Result<(), Error> {
        let failed = |error: sqlx::Error| Error::Database {
            operation: "taking over jobs",
            reason: error.to_string(),
        };
        let mut burial = self.database.pool.begin().await.map_err(failed)?;
        let unheld: bool = sqlx::query_scalar(AssertSqlSafe(format!(
            "select pg_try_advisory_xact_lock({LOCK_KEY})"
        )))
        .bind(executor_id)
        .fetch_one(&mut *burial)
        .await
        .map_err(failed)?;
        if !unheld {
            return Ok(());
        }
        let jobs = self
            .database
            .engine
            .reenqueue_for_recovery(&[executor_id], APPLICATION_VERSION, INTERNAL_QUEUE)
            .await
            .map_err(|error| Error::Database {
                operation: "requeueing jobs",
                reason: error.to_string(),
            })?;
        sqlx::query("delete from abaci.presence where executor_id = $1")
            .bind(executor_id)
            .execute(&mut *burial)
            .await
            .map_err(failed)?;
        burial.commit().await.map_err(failed)?;
        if jobs.is_empty() {
            info!(executor_id, "a dead worker left no jobs");
        } else {
            warn!(
                executor_id,
                jobs = jobs.len(),
                "requeued the jobs of a dead worker"
            );
        }
        Ok(())
    }
}
