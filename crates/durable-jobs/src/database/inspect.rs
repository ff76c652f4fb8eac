//! A look at a database that changes nothing.

use std::time::{Duration, Instant};

use super::clock::{ClockOffset, DatabaseClock, now_ms};
use super::tables::{NEWEST_TESTED_SCHEMA, known_version, schema_version};
use super::{Address, ConnectionLimit, try_room};
use crate::Reply;

/// The findings of one connection attempt.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DatabaseReport {
    /// Host and database, without user or password.
    pub place: String,
    /// The server's version, such as `15.18`.
    pub server_version: String,
    /// The version of the engine's schema found there; absent where there is none.
    pub schema_version: Option<i64>,
    /// The oldest version that this build works with, which it makes itself.
    pub known_schema_version: i64,
    /// The newest version that this build works with.
    pub newest_schema_version: i64,
    /// Is true where abaci's own tables are there.
    pub has_own_tables: bool,
    /// The limit that leaves this user the fewest connections.
    pub connections: ConnectionLimit,
    /// Is true where this user may make tables.
    pub may_make_tables: bool,
    /// Is true where this user may queue jobs, or there are no tables for them yet.
    pub may_write: bool,
    /// Why nothing can be written, such as a full disk; absent where a write that was taken back has worked.
    pub write_failure: Option<String>,
    /// One round trip, in milliseconds.
    pub round_trip_ms: f64,
    /// The lead of this machine's clock over the database's.
    pub clock_offset_ms: ClockOffset,
}

/// Connects and reports what is there, changing nothing.
///
/// # Errors
/// [`Error::Url`](crate::Error::Url), [`Error::Unreachable`](crate::Error::Unreachable),
/// [`Error::Refused`](crate::Error::Refused), [`Error::Unsuitable`](crate::Error::Unsuitable),
/// [`Error::Full`](crate::Error::Full) or [`Error::Database`](crate::Error::Database).
pub fn inspect(url: &str, timeout: Duration) -> Reply<'_, DatabaseReport> {
    Box::pin(async move {
        let address = Address::parse(url)?;
        let mut connection = address.connect(timeout).await?;
        let asked = Instant::now();
        let (server_version, now_ms) = sqlx::query_as(concat!(
            "select split_part(current_setting('server_version'), ' ', 1), ",
            now_ms!()
        ))
        .fetch_one(&mut connection)
        .await
        .map_err(|error| address.failure("asking for the version", &error))?;
        let round_trip_ms = asked.elapsed().as_secs_f64() * 1e3;
        let clock_offset_ms = DatabaseClock::read(now_ms, asked).offset();
        address.check_writable(&mut connection).await?;
        // Counted before the check of sessions opens two more, which would still be counted after their end.
        let connections = address.tightest_limit(&mut connection).await?;
        // It takes two more.
        if connections.left > 2 {
            address.check_sessions().await?;
        }
        let schema_version = schema_version(&mut connection, &address).await?;
        let (has_own_tables, may_make_tables, may_write) = sqlx::query_as(
            "select to_regclass('abaci.presence') is not null, \
         has_database_privilege(current_database(), 'CREATE'), \
         coalesce(has_table_privilege(to_regclass('dbos.workflow_status'), 'INSERT'), true)",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(|error| address.failure("looking for our tables", &error))?;
        let write_failure = try_room(&mut connection)
            .await
            .map_err(|error| address.failure("looking for room", &error))?;
        Ok(DatabaseReport {
            connections,
            write_failure,
            place: address.place,
            server_version,
            schema_version,
            has_own_tables,
            may_make_tables,
            may_write,
            known_schema_version: known_version(),
            newest_schema_version: NEWEST_TESTED_SCHEMA,
            round_trip_ms,
            clock_offset_ms,
        })
    })
}
