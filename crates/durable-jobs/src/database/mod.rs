//! The connection to the database: address, pool, schema.
//!
//! Every failure to connect is told apart here: a wrong address, nobody there, a refusal, a schema that is too new.
//! No message carries a user or a password.

mod address;
mod clock;
mod connections;
mod failure;
mod input;
mod inspect;
mod scope;
mod session;
mod tables;
pub(crate) mod workflow_rows;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::postgres::{PostgresSystemDatabase, Settings};
use dbos::sysdb::retry::RetryPolicy;
use futures_util::future::BoxFuture;
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use tracing::warn;

pub(crate) use address::Address;
pub use clock::{ClockOffset, DatabaseClock};
pub(crate) use clock::{local_ms, now_ms};
pub use connections::ConnectionLimit;
pub(crate) use connections::Connections;
use failure::is_full;
pub(crate) use failure::{is_broken, is_read_only, text};
pub(crate) use input::input;
pub use inspect::{DatabaseReport, inspect};
pub(crate) use scope::{Scope, TableAccess};
pub use tables::Tables;

use self::tables::prepare;
use self::workflow_rows::BY_INDEX;
use crate::Error;
use crate::record::APPLICATION;

/// Takes room on the server's disk and gives it back, by sorting more than fits into the memory allowed: half a millisecond,
/// and nothing is left of it.
const TAKE_ROOM: &str = "begin; set local work_mem = '64kB'; \
     select line from (select repeat('x', 1000) || i as line from generate_series(1, 300) as i) as lines \
     order by line offset 299; rollback";

/// Making the tables takes a second or two; waiting for another process that makes them, no longer than this.
const PREPARATION_TIMEOUT: Duration = Duration::from_mins(1);

/// The name of this database; one that was copied from another has that one's name in its table and takes its own.
// The row is updated to what it is: `do nothing` would return none where it is there.
const NAME: &str = "with here as (select oid from pg_database where datname = current_database()), \
     named as (insert into abaci.names (database) select oid from here \
         on conflict (database) do update set database = excluded.database returning name) \
     select name::text from named";

/// The pauses between two attempts to get a connection from a server that has none left.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Bounds the end of a connection.
const CLOSING: Duration = Duration::from_secs(1);

const NAME_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool of connections to a database whose schema is ours, with the engine's guarded statements over it.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) engine: Arc<PostgresSystemDatabase>,
    pub(crate) address: Address,
    pub(crate) clock: DatabaseClock,
    pub(crate) scope: Scope,
}

impl Database {
    /// Connects for a client, checks the schema's version and does what it may about tables that are missing.
    ///
    /// A server without a free connection is asked again for `patience`. The one connection is kept.
    pub(crate) async fn open(
        address: Address,
        access: TableAccess,
        timeout: Duration,
        patience: Duration,
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        let mut first = address.connect_by(timeout, deadline).await?;
        let clock = prepare_in_time(&mut first, &address, access.tables).await?;
        // Gone before the next one is opened, or a client would need two.
        let _ = first.close().await;
        let pool = address.pool(1);
        let database = Self::over(address, pool, clock, access.scope);
        loop {
            let filled = database.address.fill(&database.pool, timeout).await;
            if filled.is_ok() || Instant::now() >= deadline {
                return filled.map(|()| database);
            }
            // Another client took the place, and the next free one is waited for; any other refusal is returned.
            let place = database.address.connect_by(timeout, deadline).await?;
            let _ = place.close().await;
        }
    }

    /// Connects for a worker with at most `wanted` connections, as [`Database::open`] does; says how they are shared out.
    ///
    /// # Errors
    /// Also [`Error::Unreachable`] where too few are left.
    pub(crate) async fn open_for_worker(
        address: Address,
        access: TableAccess,
        wanted: u32,
        timeout: Duration,
    ) -> Result<(Self, Connections), Error> {
        let mut first = address.connect(timeout).await?;
        let clock = prepare_in_time(&mut first, &address, access.tables).await?;
        let total = address.places(&mut first, wanted).await?;
        // The engine tries a full disk again for ever and says nothing, so it is looked for before it starts.
        let room = try_room(&mut first).await;
        if let Some(reason) = room.map_err(|error| address.failure("looking for room", &error))? {
            return Err(address.full(reason));
        }
        // It was counted as free, and its place is needed for one of those that are opened now.
        let _ = first.close().await;
        let connections = Connections::share(total);
        let pool = address.pool_of_worker(connections.own);
        let database = Self::over(address, pool, clock, access.scope);
        database.address.fill(&database.pool, timeout).await?;
        Ok((database, connections))
    }

    /// Closes a connection, if there is one; the next statement opens another.
    pub(crate) async fn let_go(&self) {
        // One that was just used is still on its way back, which is waited for; none is opened to be closed.
        let close = async {
            if self.pool.size() > 0
                && let Ok(connection) = self.pool.acquire().await
            {
                let _ = connection.close().await;
            }
        };
        let _ = tokio::time::timeout(CLOSING, close).await;
    }

    /// Closes a session that cannot write any more, so that the next statement has another.
    pub(crate) async fn drop_if_read_only(&self, error: &sqlx::Error) {
        if is_read_only(error) {
            self.let_go().await;
        }
    }

    /// The same database over one connection of its own, for statements that take minutes.
    pub(crate) fn apart(&self) -> Self {
        let pool = self.address.pool(1);
        Self::over(self.address.clone(), pool, self.clock, self.scope.clone())
    }

    fn over(address: Address, pool: PgPool, clock: DatabaseClock, scope: Scope) -> Self {
        let engine = Arc::new(PostgresSystemDatabase::from_pool(
            pool.clone(),
            &engine_settings(),
        ));
        Self {
            pool,
            engine,
            address,
            clock,
            scope,
        }
    }

    /// Runs one question with a bound, in a transaction whose statements use indexes: see [`BY_INDEX`].
    pub(crate) async fn by_index<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        question: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        let answer = async {
            let mut transaction = self.pool.begin().await?;
            sqlx::raw_sql(BY_INDEX).execute(&mut *transaction).await?;
            let answer = question(&mut transaction).await?;
            transaction.rollback().await?;
            Ok::<_, sqlx::Error>(answer)
        };
        self.bounded(operation, timeout, answer).await
    }

    /// Runs one question with a bound, since the engine's own statements retry an outage for ever.
    pub(crate) async fn bounded<T, E: std::fmt::Display>(
        &self,
        operation: &'static str,
        timeout: Duration,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(timeout, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::Database {
                operation,
                reason: error.to_string(),
            }),
            Err(_) => Err(self.address.silence(timeout).await),
        }
    }

    /// Tells this database from every other one, wherever it is reached and however it is called.
    pub(crate) async fn name(&self) -> Result<String, Error> {
        let name = sqlx::query_scalar(NAME).fetch_one(&self.pool);
        self.address
            .ask("giving the database a name", NAME_TIMEOUT, name)
            .await
    }

    pub(crate) async fn close(&self) {
        // The engine closes the pool that it was given, which is ours as well.
        self.engine.close().await;
    }
}

impl Address {
    /// Opens one connection outside of any pool.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<PgConnection, Error> {
        // A deadline that is over when the first answer comes is no wait.
        self.connect_by(timeout, Instant::now()).await
    }

    /// Opens one connection as [`Address::connect`] does, and waits until `deadline` for a place where the server has none.
    async fn connect_by(&self, timeout: Duration, deadline: Instant) -> Result<PgConnection, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            let connection = PgConnection::connect_with(&self.options);
            match tokio::time::timeout(timeout, connection).await {
                Ok(Err(error)) if is_full(&error) && Instant::now() < deadline => {
                    if pause == FIRST_PAUSE {
                        warn!(reason = %self.refusal(&error), "waiting for a connection");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Ok(Err(error)) => return Err(self.refusal(&error)),
                Ok(Ok(connection)) => return Ok(connection),
                Err(_) => return Err(self.no_answer(timeout)),
            }
        }
    }

    /// Asks one question over a connection that is there, with a bound.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        question: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(timeout, question).await {
            Ok(answer) => answer.map_err(|error| self.failure(operation, &error)),
            Err(_) => Err(self.no_answer(timeout)),
        }
    }

    pub(crate) fn no_answer(&self, within: Duration) -> Error {
        self.unreachable(format!("no answer within {} s", within.as_secs_f32()))
    }

    pub(crate) fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable {
            place: self.place.clone(),
            reason,
        }
    }
}

/// Checks the form of a database URL without connecting.
///
/// # Errors
/// [`Error::Url`] that names the scheme or the part that is wrong, never the password.
pub fn check_url(url: &str) -> Result<(), Error> {
    Address::parse(url).map(drop)
}

/// Rewrites a database URL into the form that the driver reads as `psql` reads this one; it holds the same password.
///
/// # Errors
/// As [`check_url`].
pub fn canonical_url(url: &str) -> Result<String, Error> {
    Address::parse(url).map(|address| address.url)
}

/// A database URL as host, port and database, fit for a log: user, password and parameters are left out.
#[must_use]
pub fn printable_url(url: &str) -> String {
    Address::parse(url).map_or_else(
        |_| "an unreadable database URL".to_owned(),
        |address| address.place,
    )
}

/// Tries whether the server has room to write, and says in its words why not.
///
/// # Errors
/// When the connection breaks.
pub(crate) async fn try_room(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let Err(error) = sqlx::raw_sql(TAKE_ROOM).execute(&mut *connection).await else {
        return Ok(None);
    };
    if is_broken(&error) {
        return Err(error);
    }
    // What failed within the transaction leaves it open.
    sqlx::raw_sql("rollback").execute(connection).await?;
    Ok(Some(failure::words(&error)))
}

async fn prepare_in_time(
    connection: &mut PgConnection,
    address: &Address,
    tables: Tables,
) -> Result<DatabaseClock, Error> {
    match tokio::time::timeout(PREPARATION_TIMEOUT, prepare(connection, address, tables)).await {
        Ok(prepared) => prepared,
        Err(_) => Err(address.unreachable("its tables could not be made or checked in time".to_owned())),
    }
}

/// The patience of our own use of the engine's statements; callers bound the whole.
fn engine_settings() -> Settings<'static> {
    Settings {
        application_name: Some(APPLICATION),
        retry: RetryPolicy {
            initial_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            retry_connection_errors: true,
        },
        ..Settings::default()
    }
}
