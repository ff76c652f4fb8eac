//! Chooses a worker's executor id, and decides whether a present holder keeps it.
//!
//! A held lock is another session. Its worker may live, and is then waited for only as long as a takeover takes. Or it is dead
//! and a pooler keeps its session: its process is seen to be gone, it was a worker of this very process, or its row was
//! watched standing still for twenty seconds; then its sessions are ended and the lock is free.
//! A free lock with a row whose process looks alive, or cannot be seen, is one of two: a process whose connection broke and
//! that will be back, or a leftover. Only the heartbeat tells them apart, so the row is watched: one that moves is refused,
//! and one that has stood still for the whole expiry is taken over, as peers would do it too.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::time::Instant;
use tracing::warn;

use super::former::is_former;
use super::heartbeat::TIMEOUT;
use super::id_wait::IdWait;
use super::session::WorkerSession;
use super::sessions::holder_of_lock;
use super::{LOCK_KEY, Presence, ProcessMark, Sight, end_all, end_holder, end_nameless, mark_in, sight_of};
use crate::Error;
use crate::database::workflow_rows::SETTLE_CLAIMS;
use crate::database::{Address, Scope, local_ms, now_ms};

/// More workers of one host than anyone runs.
const SLOTS: u32 = 1024;

const OPERATION: &str = "taking an executor id";

/// The longest that a session may take to end that was told to.
const ENDING: Duration = Duration::from_secs(1);

/// Bounds every question of a start; it can wait longer than a heartbeat.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker's description of itself in its row.
pub(crate) struct Role {
    pub(crate) host: String,
    /// Which executor id of the host it takes.
    pub(crate) slot: Slot,
    pub(crate) queue: String,
    pub(crate) concurrency: u32,
    /// The types of jobs that it runs.
    pub(crate) job_types: Scope,
}

/// Which executor id of a machine a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The lowest one that no live process holds.
    Lowest,
    /// This one, or the start is refused.
    Number(u32),
}

/// A worker that asks for an executor id.
pub(super) struct Acquisition<'a> {
    pub(super) address: &'a Address,
    /// Has the lock once an id is taken.
    pub(super) session: WorkerSession,
    pub(super) role: Role,
    /// Tells this worker from every other one that has had the id.
    pub(super) incarnation: String,
}

/// The holder that stands in the way.
pub(super) struct LockHolder {
    pub(super) pid: u32,
    host: String,
    /// Absent without a row.
    incarnation: Option<String>,
    /// Changes with every heartbeat, or without a row with every session.
    pub(super) beat: String,
    /// The sight of the process.
    pub(super) sight: Sight,
    /// True if a session holds the lock; else only the process looks alive.
    pub(super) is_locked: bool,
}

impl<'a> Acquisition<'a> {
    pub(super) async fn new(address: &'a Address, role: Role, incarnation: String) -> Result<Self, Error> {
        Ok(Self {
            address,
            session: WorkerSession::open(address, TIMEOUT).await?,
            role,
            incarnation,
        })
    }

    /// Takes an executor id of this host with its lock and its row.
    ///
    /// # Errors
    /// [`Error::ExecutorTaken`]; [`Error::Unreachable`] also when one question takes over ten seconds; [`Error::Database`].
    pub(super) async fn take(&mut self) -> Result<String, Error> {
        match self.role.slot {
            Slot::Number(slot) => self.take_slot(slot).await,
            Slot::Lowest => self.take_lowest().await,
        }
    }

    async fn take_slot(&mut self, slot: u32) -> Result<String, Error> {
        let executor_id = format!("{}/{slot}", self.role.host);
        let mut wait = IdWait::default();
        loop {
            let Some(holder) = self.try_take(&executor_id, &wait).await? else {
                return Ok(executor_id);
            };
            if wait.is_over(&executor_id, &holder) {
                return Err(Error::ExecutorTaken {
                    executor_id,
                    pid: holder.pid,
                    host: holder.host,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes the lowest id that nobody seems to have, and watches none.
    async fn take_lowest(&mut self) -> Result<String, Error> {
        for slot in 0..SLOTS {
            let executor_id = format!("{}/{slot}", self.role.host);
            // Without a watch only a process that is seen to be gone counts as dead, or a former one of ours.
            if self.try_take(&executor_id, &IdWait::default()).await?.is_none() {
                return Ok(executor_id);
            }
        }
        Err(Error::Database {
            operation: OPERATION,
            reason: format!("all {SLOTS} slots are in use"),
        })
    }

    /// Takes `executor_id`, or says who holds it.
    async fn try_take(&mut self, executor_id: &str, wait: &IdWait) -> Result<Option<LockHolder>, Error> {
        let address = self.address;
        let connection = self.connection().await?;
        let is_locked = !ask(address, try_lock(connection, executor_id)).await?;
        // After the try: with the lock in hand, nobody else writes or removes this row.
        let mut holder = ask(address, holder_of(connection, executor_id)).await?;
        // A worker takes the lock before it writes its row, and removes the row before it gives the lock up.
        if is_locked && holder.is_none() {
            let session = ask(address, holder_of_lock(connection, executor_id)).await?;
            holder = Some(LockHolder::without_row(&self.role.host, session));
        }
        if let Some(mut holder) = holder {
            holder.is_locked = is_locked;
            let is_dead = holder.is_dead(wait);
            // Also where the lock is free: another session of the dead one may still have something to write.
            let has_ended = is_dead && self.end_sessions(executor_id, &holder).await?;
            if is_locked && !(has_ended && self.lock_soon(executor_id).await?) {
                return Ok(Some(holder));
            }
            // The lock was free, but its process may come back for it, and has to find it free.
            if !is_dead {
                ask(address, unlock(self.connection().await?, executor_id)).await?;
                return Ok(Some(holder));
            }
            // Its row is still there, and says which process had the jobs and when it was last heard of.
            let connection = self.connection().await?;
            let settled = sqlx::query(SETTLE_CLAIMS).bind(executor_id).execute(connection);
            ask(address, settled).await?;
        }
        let connection = ask(address, self.session.connection()).await?;
        let row = write_row(connection, &self.role, &self.incarnation, executor_id);
        ask(address, row).await?;
        Ok(None)
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        ask(self.address, self.session.connection()).await
    }

    /// Ends what the server still has of a dead holder; whether it had anything.
    async fn end_sessions(&mut self, executor_id: &str, holder: &LockHolder) -> Result<bool, Error> {
        let address = self.address;
        let connection = self.connection().await?;
        // Without a row nothing but the lock says whose session it is.
        let mut sessions = match &holder.incarnation {
            Some(incarnation) => ask(address, end_all(connection, incarnation)).await?,
            None => ask(address, end_holder(connection, executor_id, Some(&holder.beat))).await?,
        };
        if holder.is_locked && holder.sight == Sight::Unknown {
            sessions += ask(address, end_nameless(connection, executor_id)).await?;
        }
        if sessions > 0 {
            let pid = holder.pid;
            warn!(
                executor_id,
                pid, sessions, "ended the sessions that a dead worker left"
            );
        }
        Ok(sessions > 0)
    }

    /// Takes a lock whose session is being ended, unless that takes over a second.
    async fn lock_soon(&mut self, executor_id: &str) -> Result<bool, Error> {
        let until = Instant::now() + ENDING;
        loop {
            if ask(self.address, try_lock(self.connection().await?, executor_id)).await? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Asks one of the questions of a start.
async fn ask<T>(
    address: &Address,
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    address.ask(OPERATION, QUESTION_TIMEOUT, question).await
}

impl LockHolder {
    /// Tests whether the worker behind the session or the row is dead.
    fn is_dead(&self, wait: &IdWait) -> bool {
        if self.sight == Sight::Gone || self.incarnation.as_deref().is_some_and(is_former) {
            return true;
        }
        let silence = wait.silence_of(&self.beat);
        if self.is_locked {
            self.sight == Sight::Unknown && silence >= Presence::SILENCE
        } else {
            silence >= Presence::EXPIRY
        }
    }

    /// A session that has no row, none yet or none any more.
    pub(super) fn without_row(host: &str, session: Option<String>) -> Self {
        Self {
            pid: 0,
            host: host.to_owned(),
            incarnation: None,
            beat: session.unwrap_or_default(),
            sight: Sight::Unknown,
            is_locked: false,
        }
    }
}

/// Takes the lock on `executor_id` for as long as the connection lasts, unless another session has it.
pub(super) async fn try_lock(connection: &mut PgConnection, executor_id: &str) -> Result<bool, sqlx::Error> {
    // A peer that is cut off without the end of its connection must not keep its lock for the two hours of the default. Nor may a statement
    // that nobody awaits any more, behind the lock of a table say; the server's bound is a little over the longest of ours.
    sqlx::raw_sql(
        "set tcp_keepalives_idle = 4; set tcp_keepalives_interval = 2; set tcp_keepalives_count = 2; \
         set tcp_user_timeout = 8000; set statement_timeout = 11000",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select pg_try_advisory_lock({LOCK_KEY})"
    )))
    .bind(executor_id)
    .fetch_one(connection)
    .await
}

async fn unlock(connection: &mut PgConnection, executor_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "select pg_advisory_unlock({LOCK_KEY})"
    )))
    .bind(executor_id)
    .execute(connection)
    .await
    .map(drop)
}

/// The holder that the row of `executor_id` names, however old its heartbeat: an outage makes every heartbeat old.
async fn holder_of(
    connection: &mut PgConnection,
    executor_id: &str,
) -> Result<Option<LockHolder>, sqlx::Error> {
    let holder = "select pid, pid_space, host, incarnation, incarnation || ' ' || heartbeat_at as beat \
                  from abaci.presence where executor_id = $1";
    let row = sqlx::query(holder)
        .bind(executor_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let pid = row.try_get::<i32, _>("pid")?.unsigned_abs();
        Ok(LockHolder {
            pid,
            host: row.try_get("host")?,
            incarnation: row.try_get("incarnation")?,
            beat: row.try_get("beat")?,
            sight: sight_of(pid, mark_in(&row)?.as_ref()),
            is_locked: false,
        })
    })
    .transpose()
}

async fn write_row(
    connection: &mut PgConnection,
    role: &Role,
    incarnation: &str,
    executor_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(concat!(
        "insert into abaci.presence \
         (executor_id, incarnation, host, pid, application_version, queue, concurrency, pid_space, workflows, clock_offset_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10 - ",
        now_ms!(),
        ") \
         on conflict (executor_id) do update set incarnation = excluded.incarnation, host = excluded.host, \
         pid = excluded.pid, pid_space = excluded.pid_space, application_version = excluded.application_version, queue = excluded.queue, \
         concurrency = excluded.concurrency, workflows = excluded.workflows, draining = false, running = default, started_at = now(), \
         heartbeat_at = now(), clock_offset_ms = excluded.clock_offset_ms, last_pid = default, last_exit = default, \
         last_exit_at = default"
    ))
    .bind(executor_id)
    .bind(incarnation)
    .bind(&role.host)
    .bind(i32::try_from(std::process::id()).unwrap_or_default())
    .bind(role.job_types.version())
    .bind(&role.queue)
    .bind(i32::try_from(role.concurrency).unwrap_or(i32::MAX))
    .bind(ProcessMark::own().map(ToString::to_string))
    .bind(role.job_types.workflows())
    .bind(local_ms())
    .execute(connection)
    .await
    .map(drop)
}
