//! Taking an executor id and giving it back.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::heartbeat::{Contact, Heartbeat};
use super::{LOCK_KEY, Running, is_alive};
use crate::database::Address;
use crate::worker::{Slot, WorkerSettings};
use crate::{APPLICATION, APPLICATION_VERSION, Error};

/// More workers of one host than anyone runs.
const SLOTS: u32 = 1024;

/// How long a start waits for an id whose former holder is just being buried.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bounds every question about presence.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// What a worker says of itself in its row.
#[derive(Debug, Clone)]
struct Role {
    host: String,
    queue: String,
    concurrency: u32,
}

/// The name under which the server knows the engine's sessions of one incarnation of a worker.
pub(crate) struct EngineSessions(String);

/// An executor id held by this process, with the heartbeat that keeps it.
pub(crate) struct Registration {
    executor_id: String,
    incarnation: String,
    draining: watch::Sender<bool>,
    lost: watch::Receiver<Option<String>>,
    contact: watch::Receiver<Contact>,
    stop: CancellationToken,
    heartbeat: JoinHandle<()>,
}

/// Who stands in the way of a registration.
struct Holder {
    pid: u32,
    host: String,
}

impl Registration {
    /// Takes an executor id of this host and begins to beat, with what `running` says of the jobs in hand.
    pub(crate) async fn begin(
        address: &Address,
        settings: &WorkerSettings,
        running: Running,
    ) -> Result<Self, Error> {
        let role = Role {
            host: settings.host.clone(),
            queue: settings.queue.clone(),
            concurrency: settings.concurrency,
        };
        let mut connection = address.connect(TIMEOUT).await?;
        let incarnation = Uuid::now_v7().to_string();
        let taken = match settings.slot {
            Slot::Number(slot) => take_slot(&mut connection, &role, &incarnation, slot).await,
            Slot::Lowest => take_lowest(&mut connection, &role, &incarnation).await,
        };
        let executor_id = taken?;
        let heartbeat = Heartbeat::new(address.clone(), connection, executor_id, incarnation);
        Ok(Self::beat(heartbeat.telling(running)))
    }

    fn beat(heartbeat: Heartbeat) -> Self {
        let (executor_id, incarnation) = (heartbeat.executor_id.clone(), heartbeat.incarnation.clone());
        let (draining, draining_seen) = watch::channel(false);
        let (lost_said, lost) = watch::channel(None);
        let stop = CancellationToken::new();
        let contact = heartbeat.contact();
        let heartbeat = tokio::spawn(heartbeat.run(stop.clone(), draining_seen, lost_said));
        Self {
            executor_id,
            incarnation,
            draining,
            lost,
            contact,
            stop,
            heartbeat,
        }
    }

    /// How to tell the engine's sessions of this incarnation from all others.
    pub(crate) fn engine_sessions(&self) -> EngineSessions {
        EngineSessions(format!("{APPLICATION} {}", self.incarnation))
    }

    pub(crate) fn executor_id(&self) -> &str {
        &self.executor_id
    }

    /// Follows how the heartbeat goes, and so whether the id is held on a live connection.
    pub(crate) fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.clone()
    }

    /// Whether the presence row is still the one that this registration wrote.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn is_ours(&self, pool: &sqlx::PgPool) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "select exists (select 1 from abaci.presence where executor_id = $1 and incarnation = $2)",
        )
        .bind(&self.executor_id)
        .bind(&self.incarnation)
        .fetch_one(pool)
        .await
    }

    /// Says at once that this worker claims nothing more.
    pub(crate) fn announce_drain(&self) {
        self.draining.send_replace(true);
    }

    /// Completes with a reason when the id is no longer ours.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Removes the row and releases the id.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        // The task ends by itself within its timeouts; a panic in it was logged by the runtime.
        let _ = self.heartbeat.await;
    }
}

impl EngineSessions {
    /// The database URL under which the engine's sessions carry this name.
    pub(crate) fn name_in(&self, url: &str) -> String {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}application_name={}", self.0.replace(' ', "%20"))
    }

    /// Completes when the server has ended every one of them, and so committed or undone all they asked for.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn gone(&self, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
        let any = "select exists (select 1 from pg_stat_activity where application_name = $1)";
        while sqlx::query_scalar(any).bind(&self.0).fetch_one(pool).await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

async fn take_slot(
    connection: &mut PgConnection,
    role: &Role,
    incarnation: &str,
    slot: u32,
) -> Result<String, Error> {
    let executor_id = format!("{}/{slot}", role.host);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let Some(holder) = take(connection, role, incarnation, &executor_id).await? else {
            return Ok(executor_id);
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::ExecutorTaken {
                executor_id,
                pid: holder.pid,
                host: holder.host,
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn take_lowest(connection: &mut PgConnection, role: &Role, incarnation: &str) -> Result<String, Error> {
    for slot in 0..SLOTS {
        let executor_id = format!("{}/{slot}", role.host);
        if take(connection, role, incarnation, &executor_id).await?.is_none() {
            return Ok(executor_id);
        }
    }
    Err(Error::Database {
        operation: "taking an executor id",
        reason: format!("all {SLOTS} slots are in use"),
    })
}

/// Takes `executor_id`, or says who holds it.
async fn take(
    connection: &mut PgConnection,
    role: &Role,
    incarnation: &str,
    executor_id: &str,
) -> Result<Option<Holder>, Error> {
    let failed = |error: sqlx::Error| Error::Database {
        operation: "taking an executor id",
        reason: error.to_string(),
    };
    let locked = try_lock(connection, executor_id).await.map_err(failed)?;
    let holder = holder_of(connection, executor_id).await.map_err(failed)?;
    match holder {
        holder if !locked => Ok(Some(holder.unwrap_or(Holder {
            pid: 0,
            host: role.host.clone(),
        }))),
        // Its connection broke, after a restart of the database say, but the process lives and will be back.
        Some(holder) if holder.pid != std::process::id() && is_alive(holder.pid) => {
            unlock(connection, executor_id).await.map_err(failed)?;
            Ok(Some(holder))
        }
        _ => {
            write_row(connection, role, incarnation, executor_id)
                .await
                .map_err(failed)?;
            Ok(None)
        }
    }
}

pub(super) async fn try_lock(connection: &mut PgConnection, executor_id: &str) -> Result<bool, sqlx::Error> {
    // A peer that is cut off without a goodbye must not keep its lock for the two hours of the default.
    sqlx::raw_sql(
        "set tcp_keepalives_idle = 4; set tcp_keepalives_interval = 2; set tcp_keepalives_count = 2; \
         set tcp_user_timeout = 8000",
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
    let row = sqlx::query("select pid, host from abaci.presence where executor_id = $1")
        .bind(executor_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Holder {
            pid: row.try_get::<i32, _>("pid")?.unsigned_abs(),
            host: row.try_get("host")?,
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
    sqlx::query(
        "insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (executor_id) do update set incarnation = excluded.incarnation, host = excluded.host, \
         pid = excluded.pid, application_version = excluded.application_version, queue = excluded.queue, \
         concurrency = excluded.concurrency, draining = false, running = default, started_at = now(), \
         heartbeat_at = now()",
    )
    .bind(executor_id)
    .bind(incarnation)
    .bind(&role.host)
    .bind(i32::try_from(std::process::id()).unwrap_or_default())
    .bind(APPLICATION_VERSION)
    .bind(&role.queue)
    .bind(i32::try_from(role.concurrency).unwrap_or(i32::MAX))
    .execute(connection)
    .await
    .map(drop)
}
