//! Which executor id a worker takes, and whom it leaves one.
//!
//! A held lock is another live session, which is waited for only as long as a burial takes.
//! A free lock with a row whose process looks alive is one of two: a process whose connection broke and that will be back,
//! or a leftover, whose process id went to another process. Only the heartbeat tells them apart, so the row is watched: one
//! that moves is refused, and one that has stood still for the whole expiry is taken over, as peers would bury it too.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use super::heartbeat::TIMEOUT;
use super::session::Session;
use super::{LOCK_KEY, Presence, is_alive};
use crate::database::{Address, local_ms, now_ms};
use crate::worker::{Slot, WorkerSettings};
use crate::{APPLICATION_VERSION, Error};

/// More workers of one host than anyone runs.
const SLOTS: u32 = 1024;

const OPERATION: &str = "taking an executor id";

/// How long a start waits for an id whose former holder is just being buried.
const PATIENCE: Duration = Duration::from_secs(2);

/// A look at a row that comes later than this says nothing about the time between: the database may have been away.
const LATE: Duration = Duration::from_secs(4);

/// Bounds every question of a start; it can wait longer than a heartbeat.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// What a worker says of itself in its row.
struct Role {
    host: String,
    queue: String,
    concurrency: u32,
}

/// A worker that asks for an executor id.
pub(super) struct Applicant<'a> {
    address: &'a Address,
    /// Has the lock once an id is taken.
    pub(super) session: Session,
    role: Role,
    /// Tells this process from every other one that has had the id.
    pub(super) incarnation: String,
}

/// Who stands in the way.
struct Holder {
    pid: u32,
    host: String,
    /// Changes with every heartbeat.
    beat: String,
    /// Whether a session holds the lock; else only the process looks alive.
    is_locked: bool,
}

/// What was seen so far of those who stand in the way.
#[derive(Default)]
struct Patience {
    /// Since when the lock is held.
    locked_since: Option<Instant>,
    watched: Option<Watched>,
}

/// A row whose lock is free, and since when it has not changed.
struct Watched {
    beat: String,
    since: Instant,
    /// When it was last looked at.
    seen: Instant,
}

impl<'a> Applicant<'a> {
    pub(super) async fn new(address: &'a Address, settings: &WorkerSettings) -> Result<Self, Error> {
        Ok(Self {
            address,
            session: Session::open(address, TIMEOUT).await?,
            role: Role {
                host: settings.host.clone(),
                queue: settings.queue.clone(),
                concurrency: settings.concurrency,
            },
            incarnation: Uuid::now_v7().to_string(),
        })
    }

    /// Takes an executor id of this host with its lock and its row.
    ///
    /// # Errors
    /// [`Error::ExecutorTaken`]; [`Error::Unreachable`] also when one question takes over ten seconds; [`Error::Database`].
    pub(super) async fn take(&mut self, slot: Slot) -> Result<String, Error> {
        match slot {
            Slot::Number(slot) => self.take_slot(slot).await,
            Slot::Lowest => self.take_lowest().await,
        }
    }

    async fn take_slot(&mut self, slot: u32) -> Result<String, Error> {
        let executor_id = format!("{}/{slot}", self.role.host);
        let mut patience = Patience::default();
        loop {
            let Some(holder) = self.try_take(&executor_id, patience.silent()).await? else {
                return Ok(executor_id);
            };
            if patience.is_over(&executor_id, &holder) {
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
            if self.try_take(&executor_id, None).await?.is_none() {
                return Ok(executor_id);
            }
        }
        Err(Error::Database {
            operation: OPERATION,
            reason: format!("all {SLOTS} slots are in use"),
        })
    }

    /// Takes `executor_id`, or says who holds it; `silent` is a beat that was watched standing still for the whole expiry.
    async fn try_take(&mut self, executor_id: &str, silent: Option<&str>) -> Result<Option<Holder>, Error> {
        let address = self.address;
        let connection = ask(address, self.session.connection()).await?;
        let is_locked = !ask(address, try_lock(connection, executor_id)).await?;
        let holder = ask(address, holder_of(connection, executor_id)).await?;
        if is_locked {
            let mut holder = holder.unwrap_or_else(|| Holder::without_row(&self.role.host));
            holder.is_locked = true;
            return Ok(Some(holder));
        }
        let lives = |holder: &Holder| holder.pid != std::process::id() && is_alive(holder.pid);
        if let Some(holder) = holder.filter(|holder| silent != Some(&*holder.beat) && lives(holder)) {
            ask(address, unlock(connection, executor_id)).await?;
            return Ok(Some(holder));
        }
        let row = write_row(connection, &self.role, &self.incarnation, executor_id);
        ask(address, row).await?;
        Ok(None)
    }
}

/// Asks one of the questions of a start.
async fn ask<T>(
    address: &Address,
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    address.ask(OPERATION, QUESTION_TIMEOUT, question).await
}

impl Patience {
    /// The beat that has stood still for the whole expiry, by our own clock, if one has: by the same rule peers take a
    /// worker for dead.
    fn silent(&self) -> Option<&str> {
        let watched = self.watched.as_ref()?;
        (watched.seen - watched.since >= Presence::EXPIRY).then_some(&*watched.beat)
    }

    /// Whether `holder` is there to stay.
    fn is_over(&mut self, executor_id: &str, holder: &Holder) -> bool {
        let now = Instant::now();
        if holder.is_locked {
            return now - *self.locked_since.get_or_insert(now) >= PATIENCE;
        }
        self.locked_since = None;
        match &mut self.watched {
            Some(watched) if watched.beat != holder.beat => return true,
            Some(watched) if now - watched.seen < LATE => watched.seen = now,
            watched => {
                info!(
                    executor_id,
                    pid = holder.pid,
                    "waiting to see whether the last holder still beats"
                );
                *watched = Some(Watched {
                    beat: holder.beat.clone(),
                    since: now,
                    seen: now,
                });
            }
        }
        false
    }
}

impl Holder {
    /// A session that has no row, or none yet.
    fn without_row(host: &str) -> Self {
        Self {
            pid: 0,
            host: host.to_owned(),
            beat: String::new(),
            is_locked: false,
        }
    }
}

/// Takes the lock on `executor_id` for as long as the connection lasts, unless another session has it.
pub(super) async fn try_lock(connection: &mut PgConnection, executor_id: &str) -> Result<bool, sqlx::Error> {
    // A peer that is cut off without a goodbye must not keep its lock for the two hours of the default. Nor may a statement
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

/// The process in the row of `executor_id`, however old its heartbeat: an outage makes every heartbeat old.
async fn holder_of(connection: &mut PgConnection, executor_id: &str) -> Result<Option<Holder>, sqlx::Error> {
    let holder = "select pid, host, incarnation || ' ' || heartbeat_at as beat from abaci.presence \
                  where executor_id = $1";
    let row = sqlx::query(holder)
        .bind(executor_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Holder {
            pid: row.try_get::<i32, _>("pid")?.unsigned_abs(),
            host: row.try_get("host")?,
            beat: row.try_get("beat")?,
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
         (executor_id, incarnation, host, pid, application_version, queue, concurrency, clock_offset_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8 - ",
        now_ms!(),
        ") \
         on conflict (executor_id) do update set incarnation = excluded.incarnation, host = excluded.host, \
         pid = excluded.pid, application_version = excluded.application_version, queue = excluded.queue, \
         concurrency = excluded.concurrency, draining = false, running = default, started_at = now(), \
         heartbeat_at = now(), clock_offset_ms = excluded.clock_offset_ms"
    ))
    .bind(executor_id)
    .bind(incarnation)
    .bind(&role.host)
    .bind(i32::try_from(std::process::id()).unwrap_or_default())
    .bind(APPLICATION_VERSION)
    .bind(&role.queue)
    .bind(i32::try_from(role.concurrency).unwrap_or(i32::MAX))
    .bind(local_ms())
    .execute(connection)
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the watch is over when a free row shows `beat`.
    fn is_over(patience: &mut Patience, beat: &str) -> bool {
        let mut holder = Holder::without_row("host");
        beat.clone_into(&mut holder.beat);
        patience.is_over("host/0", &holder)
    }

    /// A row that was first seen the expiry ago, and last that long ago.
    fn watched(last_look: Duration) -> Patience {
        let now = Instant::now();
        Patience {
            locked_since: None,
            watched: Some(Watched {
                beat: "a".to_owned(),
                since: now - Presence::EXPIRY,
                seen: now - last_look,
            }),
        }
    }

    #[test]
    fn a_row_is_silent_only_if_it_was_seen_standing_still_for_the_whole_expiry() {
        let mut patience = watched(Duration::from_secs(1));
        assert_eq!(patience.silent(), None, "what nobody looked at counts as silence");
        assert!(!is_over(&mut patience, "a"));
        assert_eq!(patience.silent(), Some("a"));
        assert!(is_over(&mut patience, "b"), "a beat was missed");
    }

    #[test]
    fn a_look_that_comes_late_starts_the_watch_again() {
        let mut patience = watched(LATE);
        assert!(!is_over(&mut patience, "a"));
        assert_eq!(patience.silent(), None, "an outage counts as silence");
    }
}
