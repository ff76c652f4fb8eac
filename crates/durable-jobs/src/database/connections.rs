//! The number of connections of a worker, and the words where there are too few.
//!
//! A worker of concurrency c has `2 + 2c` connections, 24 at most: one that holds its executor id, beats and hears of
//! submissions; for each job at once one of the engine and one of ours; and one more of ours, since a takeover needs two.
//! All are opened at the start, so that a crowd of clients cannot keep a worker from going on. Ours are kept; the engine
//! closes each of its own after half an hour and opens another, for which there may be no place at that moment: then its
//! steps wait.
//! Where fewer are left it takes fewer, down to four, and leaves some for clients where it can.
//!
//! What is left is counted from the server's catalog, which knows nothing of a pooler's limits, and others may be faster:
//! then the server refuses, and the start is tried again.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Row};
use tracing::warn;

use super::failure::words;
use super::{Address, try_room};
use crate::Error;

/// More connections than this would not make jobs faster.
const MOST: u32 = 24;

/// The connections that are left for clients, where the others suffice for a worker.
const FOR_CLIENTS: u32 = 3;

/// Longer than any question may take: whoever asks gives up first, and knows why.
const ACQUIRE_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest that a connection that comes back from a statement may take to be ready.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);

/// A little over the longest bound of a question.
const STATEMENT_TIMEOUT: &str = "set statement_timeout = 11000";

/// The longest that connections that were just closed may still be counted.
const SETTLING: Duration = Duration::from_millis(500);

/// Reads each limit that holds for us and what is used of it; a superuser has the server's alone.
const LEFT: &str = "with me as (select oid, rolname, rolsuper, rolconnlimit from pg_roles where rolname = current_user), \
     here as (select datname, datconnlimit from pg_database where datname = current_database()), \
     backends as (select datname, sum(numbackends)::int as count from pg_stat_database group by datname) \
     select 'the server' as whose, \
            current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
                - coalesce(current_setting('reserved_connections', true)::int, 0) as allowed, \
            (select sum(count)::int from backends) as used from me \
     union all select 'the role ' || rolname, rolconnlimit, \
            (select count(*)::int from pg_stat_activity where usesysid = me.oid) \
        from me where rolconnlimit >= 0 and not rolsuper \
     union all select 'the database ' || here.datname, datconnlimit, backends.count \
        from here join backends on backends.datname = here.datname, me where datconnlimit >= 0 and not rolsuper";

/// The connections of one worker, beside the one that holds its executor id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    /// For claiming, admission and housekeeping.
    pub(crate) own: u32,
    /// For the engine.
    pub(crate) engine: u32,
}

/// A limit on connections that holds for a user of a database.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConnectionLimit {
    /// Whose limit it is, such as `the role app`.
    pub whose: String,
    /// The number of connections that it allows.
    pub allowed: u32,
    /// The number that could be opened when it was looked at, our own one counted as free.
    pub left: u32,
}

impl Connections {
    /// The fewest connections that a worker can work with.
    pub(crate) const FEWEST: u32 = 4;

    /// Returns the connections of a worker that runs so many jobs at once, where nothing limits it.
    pub(crate) fn wanted(concurrency: u32) -> u32 {
        concurrency
            .saturating_mul(2)
            .saturating_add(2)
            .clamp(Self::FEWEST, MOST)
    }

    /// Shares `total` connections out; at least [`Connections::FEWEST`].
    pub(crate) fn share(total: u32) -> Self {
        let spare = total.saturating_sub(Self::FEWEST);
        Self {
            // The sum is one less than `total`: the session with the executor id is outside of both pools.
            own: 2 + spare - spare / 2,
            engine: 1 + spare / 2,
        }
    }

    /// Settles how many of the `wanted` connections there will be, given the tightest limit.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there are too few for a worker.
    pub(crate) fn fit(wanted: u32, limit: &ConnectionLimit, address: &Address) -> Result<u32, Error> {
        if limit.left < Self::FEWEST {
            let (few, ConnectionLimit { whose, allowed, left }) = (Self::FEWEST, limit);
            return Err(address.unreachable(format!(
                "too few connections: a worker needs {few}, and {whose} has {left} left of {allowed}"
            )));
        }
        Ok(wanted.min(limit.left.saturating_sub(FOR_CLIENTS).max(Self::FEWEST)))
    }
}

impl Address {
    /// A pool that keeps what it has opened.
    pub(super) fn pool(&self, connections: u32) -> PgPool {
        pool_options(connections).connect_lazy_with(self.options.clone())
    }

    /// The same, whose statements the server itself ends: one that waits for somebody's lock holds no place there after its
    /// asker has given up.
    pub(super) fn pool_of_worker(&self, connections: u32) -> PgPool {
        pool_options(connections)
            .after_connect(|connection, _| bound(connection))
            .connect_lazy_with(self.options.clone())
    }

    /// Opens all connections of a pool.
    ///
    /// # Errors
    /// [`Error::Unreachable`] in the server's words where it refuses one.
    pub(crate) async fn fill(&self, pool: &PgPool, timeout: Duration) -> Result<(), Error> {
        let all = async {
            // All are held until the last is open: the pool would hand the first one out again and again.
            let mut held = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                held.push(pool.acquire().await?);
            }
            Ok(())
        };
        match tokio::time::timeout(timeout, all).await {
            Ok(opened) => opened.map_err(|error: sqlx::Error| self.refusal(&error)),
            Err(_) => Err(self.silence(timeout).await),
        }
    }

    /// Settles how many of the `wanted` connections a worker has, seen over one that is open.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there are too few.
    pub(super) async fn places(&self, connection: &mut PgConnection, wanted: u32) -> Result<u32, Error> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let limit = self.tightest_limit(connection).await?;
            match Connections::fit(wanted, &limit, self) {
                Ok(total) if total == wanted => return Ok(total),
                fewer if Instant::now() >= deadline => {
                    if let Ok(total) = fewer {
                        let ConnectionLimit { whose, allowed, left } = limit;
                        warn!(
                            total,
                            wanted, "works with fewer connections: {whose} has {left} left of {allowed}"
                        );
                    }
                    return fewer;
                }
                _ => {}
            }
            tokio::time::sleep(SETTLING / 20).await;
        }
    }

    /// The limit that leaves the fewest connections, seen over one that is open.
    pub(crate) async fn tightest_limit(
        &self,
        connection: &mut PgConnection,
    ) -> Result<ConnectionLimit, Error> {
        let failed = |error: sqlx::Error| self.failure("counting connections", &error);
        let rows = sqlx::query(LEFT).fetch_all(connection).await.map_err(failed)?;
        let limit = |row: &sqlx::postgres::PgRow| -> Result<ConnectionLimit, sqlx::Error> {
            let (allowed, used): (i32, i32) = (row.try_get("allowed")?, row.try_get("used")?);
            Ok(ConnectionLimit {
                whose: row.try_get("whose")?,
                allowed: allowed.unsigned_abs(),
                left: (allowed - used + 1).max(0).unsigned_abs(),
            })
        };
        let limits = rows
            .iter()
            .map(limit)
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let tightest = limits.into_iter().min_by_key(|limit| limit.left);
        tightest.ok_or_else(|| failed(sqlx::Error::RowNotFound))
    }

    /// Says that nothing answered within a time, and in the server's words why, if it refuses a connection now, or has no
    /// room, for which the engine tries again without a word.
    pub(crate) async fn silence(&self, within: Duration) -> Error {
        let seconds = within.as_secs_f32();
        let tried = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            try_room(&mut connection).await
        };
        match tokio::time::timeout(Duration::from_secs(1), tried).await {
            Ok(Ok(Some(reason))) => self.full(reason),
            Ok(Err(error)) => {
                let words = words(&error);
                self.unreachable(format!("no answer within {seconds} s, and now: {words}"))
            }
            _ => self.no_answer(within),
        }
    }
}

/// Tests a connection that comes back from a statement which was given up, perhaps. Without this bound, one that was cut in
/// silence keeps its place in the pool for a quarter of an hour.
fn test(connection: &mut PgConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async move {
        let answer = tokio::time::timeout(TEST_TIMEOUT, connection.ping()).await;
        // After an error the pool drops the connection; after `false` it would write a last message and wait.
        let answer = answer.map_err(|_| sqlx::Error::Io(ErrorKind::TimedOut.into()))?;
        answer.map(|()| true)
    })
}

fn bound(connection: &mut PgConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> {
    Box::pin(async move {
        sqlx::raw_sql(STATEMENT_TIMEOUT)
            .execute(connection)
            .await
            .map(drop)
    })
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A place that is given up may be somebody else's when it is needed again.
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| test(connection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_two_connections_and_two_for_each_job() {
        for (concurrency, total) in [(1, 4), (2, 6), (4, 10), (11, 24), (1000, 24), (u32::MAX, 24)] {
            assert_eq!(Connections::wanted(concurrency), total, "{concurrency}");
            let Connections { own, engine } = Connections::share(total);
            assert_eq!(1 + own + engine, total);
            assert!(own >= 2 && engine >= 1, "{own} and {engine}");
        }
    }

    #[test]
    fn a_worker_takes_fewer_where_fewer_are_left() {
        let address = Address::parse("postgres://app@db.example/jobs").unwrap();
        let fit = |left| {
            let whose = "the role app".to_owned();
            let limit = ConnectionLimit {
                whose,
                allowed: 20,
                left,
            };
            Connections::fit(10, &limit, &address)
        };
        for (left, total) in [(4, 4), (7, 4), (8, 5), (13, 10), (100, 10)] {
            assert_eq!(fit(left).unwrap(), total, "{left} left");
        }
        let said = fit(3).unwrap_err().to_string();
        assert!(
            said.contains("needs 4, and the role app has 3 left of 20"),
            "{said}"
        );
    }
}
