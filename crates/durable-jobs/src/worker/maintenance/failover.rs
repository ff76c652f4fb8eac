//! Taking over the jobs of a worker that died.
//!
//! A worker counts as dead when its process is seen to be gone, or when this worker has itself watched its heartbeat stand
//! still for the whole expiry; and in both cases only if nobody holds the session lock on its executor id, which a live
//! process does as long as its connection stands.
//! Watching is what makes the difference: after an outage or a cut of the network every heartbeat is old and every lock
//! is free, and nobody is dead. A sweep that fails or comes late starts the watch again, and a worker that does not hold
//! its own id takes over nobody.
//!
//! A lock may outlive its worker, since a pooler keeps the session behind a path that drops everything in silence. Such a
//! session is ended when the worker's process is seen to be gone, or when it cannot be seen and the heartbeat was watched
//! standing still for twice the expiry: one that lives and is cut off from its lock has given its id up by then. Whatever
//! else the server has of that incarnation is ended with it, so that nothing of it can write when its jobs are requeued.
//! A process that is seen and only stands still keeps its lock and its jobs.
//!
//! The lock is held during the takeover, so that a restart of the same worker waits for it.
//! The jobs go back to their queue, where the atomic claim gives each to one worker; nothing is started here.
//! The sweep is periodic, never one-shot.

use std::collections::HashMap;
use std::time::Duration;

use dbos::sysdb::{INTERNAL_QUEUE, SystemDatabase};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::Error;
use crate::database::workflow_rows::ORPHANS;
use crate::database::{Database, text};
use crate::presence::{self, Contact, LOCK_KEY, Presence, Sight, Standstill};
use crate::worker::settle_claims;

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tests, in SQL, if a row is still the one that looked dead: whoever has beaten since is not.
macro_rules! unchanged {
    () => {
        "executor_id = $1 and incarnation || ' ' || heartbeat_at = $2"
    };
}

/// The sweep of one worker over all the others.
pub(crate) struct Failover {
    database: Database,
    executor_id: String,
    host: String,
    contact: watch::Receiver<Contact>,
    /// The executors that are not known to be gone.
    watched: HashMap<String, Standstill<SeenWorker>>,
}

#[derive(Clone, PartialEq)]
struct SeenWorker {
    /// Empty for one without a row.
    beat: String,
    incarnation: Option<String>,
    sight: Sight,
}

/// An executor that looks dead.
struct Dead {
    executor_id: String,
    seen: SeenWorker,
    lock: HeldLock,
}

/// The meaning of a session that holds the lock of an executor that looks dead.
#[derive(Clone, Copy, PartialEq)]
enum HeldLock {
    /// It may live.
    Life,
    /// It is a leftover if it is of the same incarnation.
    Leftover,
    /// The same, or if it does not say whose it is, as those of older programs.
    Nameless,
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
        // Asked after the look, which may have hung: a worker that was cut off meanwhile takes over nobody.
        if !self.contact.borrow().stands() {
            self.watched.clear();
            return Ok(());
        }
        for dead in self.dead(&workers, orphans) {
            let takeover = self
                .database
                .bounded("taking over jobs", TIMEOUT, self.take_over(&dead));
            if let Err(error) = takeover.await {
                let executor_id = dead.executor_id;
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
            .bind(self.database.scope.version())
            .fetch_all(&self.database.pool)
            .await?;
        Ok((workers, orphans))
    }

    /// The executors that look dead by now; [`Failover::take_over`] makes sure.
    fn dead(&mut self, workers: &[Presence], orphans: Vec<String>) -> Vec<Dead> {
        let others = workers
            .iter()
            .filter(|worker| worker.executor_id != self.executor_id)
            .map(|worker| (worker.executor_id.clone(), SeenWorker::of(worker, &self.host)));
        let (gone, mut seen): (HashMap<_, _>, HashMap<_, _>) =
            others.partition(|(_, seen)| seen.sight == Sight::Gone);
        // One that lost its row between the two questions is an orphan from now on, and watched anew.
        let orphans = orphans
            .into_iter()
            .map(|executor_id| (executor_id, SeenWorker::orphan()));
        seen.extend(orphans);
        // An executor that is not seen this time is not put back, and so is no longer watched.
        let mut before = std::mem::take(&mut self.watched);
        let looks = seen.into_iter().map(|(executor_id, seen)| {
            let last = before.remove(&executor_id);
            (executor_id, Standstill::after(last, seen))
        });
        self.watched = looks.collect();
        let silent = self.watched.iter().filter_map(|(executor_id, watched)| {
            let lock = watched.sight.lock_after(watched.lasted())?;
            Some(watched.sight.dead(executor_id, lock))
        });
        let gone = gone
            .iter()
            .map(|(executor_id, seen)| seen.dead(executor_id, HeldLock::Leftover));
        gone.chain(silent).collect()
    }

    /// Requeues the jobs of an executor unless a session of one that may live holds its lock.
    async fn take_over(&self, dead: &Dead) -> Result<(), String> {
        let executor_id = &*dead.executor_id;
        let mut takeover = self.database.pool.begin().await.map_err(text)?;
        // A lock of the transaction, which goes with it whichever way this ends, also by its bound.
        let lock = format!("select pg_try_advisory_xact_lock({LOCK_KEY})");
        let lock = sqlx::query_scalar(AssertSqlSafe(lock))
            .bind(executor_id)
            .fetch_one(&mut *takeover);
        if !lock.await.map_err(text)? {
            // The next sweep finds the lock free.
            return dead.end_sessions(&mut takeover).await.map_err(text);
        }
        if let Some(incarnation) = &dead.seen.incarnation {
            let removal = sqlx::query(concat!("delete from abaci.presence where ", unchanged!()))
                .bind(executor_id)
                .bind(&dead.seen.beat)
                .execute(&mut *takeover);
            if removal.await.map_err(text)?.rows_affected() == 0 {
                // It lives, it has a successor, or somebody else was faster.
                return Ok(());
            }
            let end = presence::end_all(&mut takeover, incarnation);
            end.await.map_err(text)?;
            // A session that was told to end may still commit a statement that is under way, and would name the dead again.
            // Over another connection: within one transaction the list of sessions is read only once.
            let gone = presence::all_gone(&self.database.pool, incarnation);
            gone.await.map_err(text)?;
        }
        // Not in the transaction: the trigger that keeps the attempt reads the presence row, which others see until the commit.
        settle_claims(&self.database, executor_id).await.map_err(text)?;
        let executors = [executor_id];
        let requeue = self.database.engine.reenqueue_for_recovery(
            &executors,
            self.database.scope.version(),
            INTERNAL_QUEUE,
        );
        let jobs = requeue.await.map_err(text)?;
        takeover.commit().await.map_err(text)?;
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

impl SeenWorker {
    fn of(worker: &Presence, host: &str) -> Self {
        Self {
            beat: worker.beat.clone(),
            incarnation: Some(worker.incarnation.clone()),
            sight: worker.sight_from(host),
        }
    }

    fn orphan() -> Self {
        Self {
            beat: String::new(),
            incarnation: None,
            sight: Sight::Unknown,
        }
    }

    /// Returns the meaning of a held lock after a silence of that length; none for one that is too short to be dead.
    fn lock_after(&self, silence: Duration) -> Option<HeldLock> {
        let is_long = silence >= Presence::SILENCE && self.sight == Sight::Unknown;
        let lock = if is_long {
            HeldLock::Nameless
        } else {
            HeldLock::Life
        };
        (silence >= Presence::EXPIRY).then_some(lock)
    }

    fn dead(&self, executor_id: &str, lock: HeldLock) -> Dead {
        Dead {
            executor_id: executor_id.to_owned(),
            seen: self.clone(),
            lock,
        }
    }
}

impl Dead {
    /// Ends the session that holds the lock, and all others of its incarnation, where it is known to be a leftover.
    async fn end_sessions(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.lock == HeldLock::Life {
            return Ok(());
        }
        if !self.is_unchanged(connection).await? {
            return Ok(());
        }
        let mut sessions = match &self.seen.incarnation {
            Some(incarnation) => presence::end_all(connection, incarnation).await?,
            None => presence::end_holder(connection, &self.executor_id, None).await?,
        };
        if self.lock == HeldLock::Nameless {
            sessions += presence::end_nameless(connection, &self.executor_id).await?;
        }
        if sessions > 0 {
            let executor_id = &self.executor_id;
            warn!(
                executor_id,
                sessions, "ended the sessions that a dead worker left"
            );
        }
        Ok(())
    }

    async fn is_unchanged(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        // An executor without a row has no beat to compare: it is as it was while no row has come.
        sqlx::query_scalar(concat!(
            "select exists (select from abaci.presence where ",
            unchanged!(),
            ") or ($2 = '' and not exists (select from abaci.presence where executor_id = $1))"
        ))
        .bind(&self.executor_id)
        .bind(&self.seen.beat)
        .fetch_one(connection)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_life_until_a_longer_silence_out_of_sight() {
        let after = |sight, silence| {
            SeenWorker {
                sight,
                ..SeenWorker::orphan()
            }
            .lock_after(silence)
        };
        let (short, long) = (Presence::EXPIRY, Presence::SILENCE);
        assert!(after(Sight::Unknown, short.mul_f32(0.99)).is_none());
        assert!(after(Sight::Unknown, short) == Some(HeldLock::Life));
        assert!(after(Sight::Unknown, long) == Some(HeldLock::Nameless));
        assert!(after(Sight::Living, long * 100) == Some(HeldLock::Life));
    }
}
