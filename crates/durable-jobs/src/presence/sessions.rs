//! The names of a worker's sessions in the server, by which others know whose they are and end them.
//!
//! A pooler keeps a session as long as it takes its client to be there, and behind a path that drops everything in silence
//! that is long after the client's end. Such a session holds the lock on an executor id, may hold others, and takes a place
//! in the server; only the server can end it, by the word of somebody who knows that its incarnation is dead.
//!
//! A role may end sessions of its own and of roles that it is a member of; others are left alone.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::heartbeat::TIMEOUT;
use super::liveness::holders;
use crate::Error;
use crate::database::Address;
use crate::record::APPLICATION;

/// The pause between two looks for sessions that are to go.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Which sessions of this database may be ended; a pooler may add to the end of a name.
macro_rules! end_where {
    ($condition:literal) => {
        concat!(
            "select count(pg_terminate_backend(a.pid)) from pg_stat_activity a \
             where a.datname = current_database() and a.pid <> pg_backend_pid() \
             and pg_has_role(a.usesysid, 'USAGE') and ",
            $condition
        )
    };
}

/// The name under which the server knows the engine's sessions of one incarnation of a worker.
pub(crate) struct EngineSessions(String);

/// The name under which the server knows the sessions that a worker of one incarnation opens itself: the one with the lock on
/// its executor id, and those of its pool.
pub(crate) fn own_sessions(incarnation: &str) -> String {
    // 49 bytes: the server cuts a name off at 63. Neither of the two names is the beginning of the other.
    format!("{APPLICATION} worker {incarnation}")
}

/// Ends every session of an incarnation that is dead, and returns how many there were.
pub(crate) async fn end_all(connection: &mut PgConnection, incarnation: &str) -> Result<i64, sqlx::Error> {
    // Anything shorter may be the beginning of other names.
    if Uuid::try_parse(incarnation).is_err() {
        return Ok(0);
    }
    let end = end_where!("(starts_with(a.application_name, $1) or starts_with(a.application_name, $2))");
    sqlx::query_scalar(end)
        .bind(own_sessions(incarnation))
        .bind(EngineSessions::of(incarnation).0)
        .fetch_one(connection)
        .await
}

/// Completes when the server has ended what [`end_all`] told it to, and so committed or undone all that it was asked.
pub(crate) async fn all_gone(pool: &PgPool, incarnation: &str) -> Result<(), sqlx::Error> {
    let any = "select exists (select from pg_stat_activity a where a.datname = current_database() \
         and pg_has_role(a.usesysid, 'USAGE') \
         and (starts_with(a.application_name, $1) or starts_with(a.application_name, $2)))";
    while sqlx::query_scalar(any)
        .bind(own_sessions(incarnation))
        .bind(EngineSessions::of(incarnation).0)
        .fetch_one(pool)
        .await?
    {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// Ends the session that holds the lock on an executor id for a worker of an older program, which names no incarnation.
pub(crate) async fn end_nameless(
    connection: &mut PgConnection,
    executor_id: &str,
) -> Result<i64, sqlx::Error> {
    let end = concat!(
        end_where!(
            "starts_with(a.application_name, 'abaci') \
             and not starts_with(a.application_name, 'abaci worker ') and a.pid in ("
        ),
        holders!("$1"),
        ")"
    );
    sqlx::query_scalar(end)
        .bind(executor_id)
        .fetch_one(connection)
        .await
}

/// Ends the session that holds the lock on an executor id, whichever worker's it is, if it is the one that
/// [`holder_of_lock`] saw, or if nobody looked, one that is older than a silence; for an id that has no row.
pub(crate) async fn end_holder(
    connection: &mut PgConnection,
    executor_id: &str,
    session: Option<&str>,
) -> Result<i64, sqlx::Error> {
    let end = concat!(
        end_where!(
            "starts_with(a.application_name, 'abaci') \
             and (concat_ws(' ', a.pid, a.backend_start, a.application_name) = $2 \
                 or $2 is null and a.backend_start < now() - interval '20 seconds') and a.pid in ("
        ),
        holders!("$1"),
        ")"
    );
    sqlx::query_scalar(end)
        .bind(executor_id)
        .bind(session)
        .fetch_one(connection)
        .await
}

/// Identifies the session that holds the lock on an executor id; absent where none does.
pub(super) async fn holder_of_lock(
    connection: &mut PgConnection,
    executor_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    // The server gives process numbers out again, so a session is known by its start as well.
    let holder = concat!(
        "select concat_ws(' ', a.pid, a.backend_start, a.application_name) from pg_stat_activity a where a.pid in (",
        holders!("$1"),
        ")"
    );
    sqlx::query_scalar(holder)
        .bind(executor_id)
        .fetch_optional(connection)
        .await
}

/// Tests if a session of an incarnation holds the lock on an executor id.
pub(super) async fn has_lock(
    connection: &mut PgConnection,
    executor_id: &str,
    incarnation: &str,
) -> Result<bool, sqlx::Error> {
    let held = concat!(
        "select exists (select from pg_stat_activity a where starts_with(a.application_name, $2) and a.pid in (",
        holders!("$1"),
        "))"
    );
    sqlx::query_scalar(held)
        .bind(executor_id)
        .bind(own_sessions(incarnation))
        .fetch_one(connection)
        .await
}

impl EngineSessions {
    pub(super) fn of(incarnation: &str) -> Self {
        Self(format!("{APPLICATION} {incarnation}"))
    }

    /// The URL of an address under which the engine's sessions carry this name.
    pub(crate) fn name_in(&self, url: &str) -> String {
        format!("{url}&application_name={}", self.0.replace(' ', "%20"))
    }

    /// Counts those that are there.
    pub(crate) async fn count(&self, pool: &PgPool) -> Result<u32, sqlx::Error> {
        let count = "select count(*) from pg_stat_activity where starts_with(application_name, $1)";
        let count: i64 = sqlx::query_scalar(count).bind(&self.0).fetch_one(pool).await?;
        Ok(u32::try_from(count).unwrap_or_default())
    }

    /// Ends every one of them, and completes when they are gone; what they were asked and had not done is undone.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn end(&self, address: &Address) -> Result<(), Error> {
        let mut connection = address.connect(TIMEOUT).await?;
        let end = end_where!("starts_with(a.application_name, $1)");
        loop {
            let there = sqlx::query_scalar::<_, i64>(end)
                .bind(&self.0)
                .fetch_one(&mut connection);
            if address.ask("ending sessions", TIMEOUT, there).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Completes when the server has ended every one of them, and so committed or undone all they asked for.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn gone(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let any = "select exists (select 1 from pg_stat_activity where starts_with(application_name, $1))";
        while sqlx::query_scalar(any).bind(&self.0).fetch_one(pool).await? {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}
