//! Taking over the jobs of a worker that died.
//!
//! A worker counts as dead when its process on this host is gone, or when this worker has itself watched its heartbeat
//! stand still for the whole expiry; and in both cases only if nobody holds the session lock on its executor id, which a
//! live process does as long as its connection stands.
//! Watching is what makes the difference: after an outage or a cut of the network every heartbeat is old and every lock
//! is free, and nobody is dead. A sweep that fails or comes late starts the watch again, and a worker that does not hold
//! its own id buries nobody.
//!
//! The lock is held during the takeover, so that a restart of the same worker waits for it.
//! The jobs go back to their queue, where the atomic claim gives each to one worker; nothing is started here.
//! The sweep is periodic, never one-shot.

use std::collections::HashMap;
use std::time::Duration;

use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use sqlx::AssertSqlSafe;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use crate::database::{Database, text};
use crate::presence::{self, Contact, LOCK_KEY, Presence};
use crate::worker::settle_claims;
use crate::{APPLICATION_VERSION, Error};

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A sweep that comes later than this says nothing about the time between.
const LATE: Duration = Duration::from_secs(4);

/// Executors that hold rows and have no presence row, so that nobody would ever look for them.
const ORPHANS: &str = "select distinct w.executor_id from dbos.workflow_status w \
     where w.status = 'PENDING' and w.application_version = $1 and w.executor_id is not null \
     and not exists (select 1 from abaci.presence p where p.executor_id = w.executor_id)";

/// The sweep of one worker over all the others.
pub(crate) struct Failover {
    database: Database,
    executor_id: String,
    host: String,
    contact: watch::Receiver<Contact>,
    watched: HashMap<String, Watched>,
    last_sweep: Instant,
}

/// What was seen of an executor, and since when it has not changed.
struct Watched {
    beat: String,
    since: Instant,
}

impl Failover {
    pub(crate) fn new(
        database: Database,
        executor_id: String,
        host: String,
        contact: watch::Receiver<Contact>,
    ) -> Self {
        Self {
            database,
            executor_id,
            host,
            contact,
            watched: HashMap::new(),
            last_sweep: Instant::now(),
        }
    }

    /// Sweeps every second until the task is aborted.
    pub(crate) async fn run(mut self) {
        let mut sweeps = tokio::time::interval(INTERVAL);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            if let Err(error) = self.sweep().await {
                debug!(%error, "failover sweep failed; trying again");
                self.watched.clear();
            }
        }
    }

    async fn sweep(&mut self) -> Result<(), Error> {
        let (workers, orphans) = self
            .database
            .bounded("looking for dead workers", TIMEOUT, self.look())
            .await?;
        let is_late = std::mem::replace(&mut self.last_sweep, Instant::now()).elapsed() > LATE;
        let is_held = self.contact.borrow().stands();
        if is_late || !is_held {
            self.watched.clear();
        }
        if !is_held {
            return Ok(());
        }
        for executor_id in self.dead(&workers, orphans) {
            let burial = self
                .database
                .bounded("taking over jobs", TIMEOUT, self.take_over(&executor_id));
            if let Err(error) = burial.await {
                warn!(executor_id, %error, "could not take over the jobs of a dead worker; trying again");
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<(Vec<Presence>, Vec<String>), sqlx::Error> {
        let rows = sqlx::query(presence::SELECT)
            .fetch_all(&self.database.pool)
            .await?;
        let workers = rows.iter().map(Presence::from_row).collect::<Result<_, _>>()?;
        let orphans = sqlx::query_scalar(ORPHANS)
            .bind(APPLICATION_VERSION)
            .fetch_all(&self.database.pool)
            .await?;
        Ok((workers, orphans))
    }

    /// The executor ids that look dead by now; [`Failover::take_over`] makes sure.
    fn dead(&mut self, workers: &[Presence], orphans: Vec<String>) -> Vec<String> {
        let others = workers
            .iter()
            .filter(|worker| worker.executor_id != self.executor_id);
        let (gone, seen): (Vec<_>, Vec<_>) =
            others.partition(|worker| worker.host == self.host && !presence::is_alive(worker.pid));
        let seen = seen
            .into_iter()
            .map(|worker| (worker.executor_id.clone(), worker.beat.clone()));
        let seen: HashMap<String, String> = seen
            .chain(
                orphans
                    .into_iter()
                    .map(|executor_id| (executor_id, String::new())),
            )
            .collect();
        self.watched
            .retain(|executor_id, watched| seen.get(executor_id) == Some(&watched.beat));
        let now = Instant::now();
        for (executor_id, beat) in seen {
            self.watched
                .entry(executor_id)
                .or_insert(Watched { beat, since: now });
        }
        let silent = self
            .watched
            .iter()
            .filter(|(_, watched)| now - watched.since >= Presence::EXPIRY);
        let gone = gone.into_iter().map(|worker| worker.executor_id.clone());
        gone.chain(silent.map(|(executor_id, _)| executor_id.clone()))
            .collect()
    }

    /// Requeues the jobs of `executor_id` unless a live session holds its lock.
    async fn take_over(&self, executor_id: &str) -> Result<(), String> {
        let mut burial = self.database.pool.begin().await.map_err(text)?;
        let lock = format!("select pg_try_advisory_xact_lock({LOCK_KEY})");
        let lock = sqlx::query_scalar(AssertSqlSafe(lock))
            .bind(executor_id)
            .fetch_one(&mut *burial);
        if !lock.await.map_err(text)? {
            return Ok(());
        }
        settle_claims(&self.database, executor_id).await.map_err(text)?;
        let executors = [executor_id];
        let requeue =
            self.database
                .engine
                .reenqueue_for_recovery(&executors, APPLICATION_VERSION, INTERNAL_QUEUE);
        let jobs = requeue.await.map_err(text)?;
        let bury = sqlx::query("delete from abaci.presence where executor_id = $1").bind(executor_id);
        bury.execute(&mut *burial).await.map_err(text)?;
        burial.commit().await.map_err(text)?;
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
