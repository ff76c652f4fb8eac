//! The connection to the database: address, pool, schema.
//!
//! Every failure to connect is told apart here: a wrong address, nobody there, a refusal, a schema that is too new.
//! No message carries a user or a password.

mod address;
mod failure;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dbos::sysdb::migrations::{SHARED_MIGRATIONS, runner};
use dbos::sysdb::postgres::{PostgresSystemDatabase, Settings};
use dbos::sysdb::retry::RetryPolicy;
use dbos::sysdb::{DEFAULT_SCHEMA, SystemDatabase};
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};

pub(crate) use address::Address;
pub(crate) use failure::is_read_only;

use crate::{APPLICATION, Error};

/// Our own tables. Statements are idempotent; a change is appended, never edited.
const OWN_SCHEMA: &str = include_str!("schema.sql");

/// Asks whether the schema is there, and the first table, and all of them with the columns that came later and what acts on the
/// engine's own.
const OWN_TABLES: &str = "select to_regnamespace('abaci') is not null, to_regclass('abaci.presence') is not null, \
     to_regclass('abaci.presence') is not null and to_regclass('abaci.deaths') is not null and to_regclass('abaci.allowances') is not null \
     and to_regclass('abaci.names') is not null and to_regclass('abaci.former_queues') is not null \
     and exists (select 1 from pg_trigger where tgrelid = to_regclass('dbos.workflow_status') \
         and tgname = 'abaci_remember_queue') \
     and (select count(*) = 2 from pg_attribute where attrelid = to_regclass('abaci.presence') \
         and attname in ('running', 'pid_space') and not attisdropped)";

/// The advisory lock under which tables are made, so that two first starts do not race.
const MIGRATION_LOCK: i64 = 0x6162_6163_6901;

/// Making the tables takes a second or two; waiting for another process that makes them, no longer than this.
const PREPARATION_TIMEOUT: Duration = Duration::from_mins(1);

/// The name of this database; one that was copied from another has that one's name in its table and takes its own.
const NAME: &str = "with here as (select oid from pg_database where datname = current_database()), \
     named as (insert into abaci.names (database) select oid from here \
         on conflict (database) do update set database = excluded.database returning name) \
     select name::text from named";

const NAME_TIMEOUT: Duration = Duration::from_secs(10);

/// Says what may be done about tables that are not as they should be. Our own are always brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// None are made, and the engine's stay as they are; ours, once somebody has made them, are brought up to date.
    Expect,
    /// They are made where there are none.
    Make,
    /// The engine's are also updated where another application made older ones.
    Update,
}

/// A pool of connections to a database whose schema is ours, with the engine's guarded statements over it.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) engine: Arc<PostgresSystemDatabase>,
    pub(crate) address: Address,
}

impl Database {
    /// Connects, checks the schema's version and does what it may about tables that are missing.
    ///
    /// `connections` bounds the pool; `timeout` bounds the connection attempt and each wait for a free connection.
    pub(crate) async fn open(
        address: Address,
        tables: Tables,
        connections: u32,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let first = address.connect(timeout).await?;
        match tokio::time::timeout(PREPARATION_TIMEOUT, prepare(first, &address, tables)).await {
            Ok(prepared) => prepared?,
            Err(_) => {
                return Err(address.unreachable("its tables could not be made or checked in time".to_owned()));
            }
        }
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(timeout)
            .connect_lazy_with(address.options.clone());
        let engine = Arc::new(PostgresSystemDatabase::from_pool(
            pool.clone(),
            &engine_settings(),
        ));
        Ok(Self {
            pool,
            engine,
            address,
        })
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
            Err(_) => Err(self.address.no_answer(timeout)),
        }
    }

    /// What tells this database from every other one, wherever it is reached and however it is called.
    pub(crate) async fn name(&self) -> Result<String, Error> {
        let name = sqlx::query_scalar(NAME).fetch_one(&self.pool);
        self.address
            .ask("reading the name of the database", NAME_TIMEOUT, name)
            .await
    }

    pub(crate) async fn close(&self) {
        self.engine.close().await;
    }
}

impl Address {
    /// Opens one connection outside of any pool.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<PgConnection, Error> {
        match tokio::time::timeout(timeout, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => Err(self.no_answer(timeout)),
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

    fn older(&self, found: i64) -> Error {
        Error::SchemaOlder {
            place: self.place.clone(),
            found,
            known: known_version(),
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

/// What is known of a database after one connection attempt.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DatabaseReport {
    /// Host and database, without user or password.
    pub place: String,
    /// The server's version, such as `15.18`.
    pub server_version: String,
    /// The version of the engine's schema found there; absent where there is none.
    pub schema_version: Option<i64>,
    /// The version that this build knows.
    pub known_schema_version: i64,
    /// Is true where abaci's own tables are there.
    pub has_own_tables: bool,
    /// Is true where this user may make tables.
    pub may_make_tables: bool,
    /// One round trip, in milliseconds.
    pub round_trip_ms: f64,
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

/// Connects and reports what is there, changing nothing.
///
/// # Errors
/// [`Error::Url`], [`Error::Unreachable`], [`Error::Refused`] or [`Error::Unsuitable`].
pub async fn inspect(url: &str, timeout: Duration) -> Result<DatabaseReport, Error> {
    let address = Address::parse(url)?;
    let mut connection = address.connect(timeout).await?;
    let asked = Instant::now();
    let server_version = sqlx::query_scalar("select split_part(current_setting('server_version'), ' ', 1)")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| address.failure("asking for the version", &error))?;
    let round_trip_ms = asked.elapsed().as_secs_f64() * 1e3;
    address.check_writable(&mut connection).await?;
    address.check_sessions().await?;
    let schema_version = schema_version(&mut connection, &address).await?;
    let (has_own_tables, may_make_tables) = sqlx::query_as(
        "select to_regclass('abaci.presence') is not null, \
         has_database_privilege(current_database(), 'CREATE')",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(|error| address.failure("looking for our tables", &error))?;
    Ok(DatabaseReport {
        place: address.place,
        server_version,
        schema_version,
        has_own_tables,
        may_make_tables,
        known_schema_version: known_version(),
        round_trip_ms,
    })
}

/// Makes or updates the tables, under a lock, unless they are as they should be or must stay as they are.
async fn prepare(mut connection: PgConnection, address: &Address, tables: Tables) -> Result<(), Error> {
    if tables != Tables::Expect {
        address.check_writable(&mut connection).await?;
    }
    let found = Schemas::find(&mut connection, address).await?;
    if tables == Tables::Expect && !found.has_own {
        return Err(Error::NoTables {
            place: address.place.clone(),
        });
    }
    if let (Tables::Expect, Some(version)) = (tables, found.version.filter(|found| *found < known_version()))
    {
        return Err(address.older(version));
    }
    if !found.is_current {
        make_tables(&mut connection, address, tables).await?;
    }
    // The lock goes with the connection; a failure to say goodbye changes nothing.
    let _ = connection.close().await;
    Ok(())
}

async fn make_tables(connection: &mut PgConnection, address: &Address, tables: Tables) -> Result<(), Error> {
    let failed = |error: sqlx::Error| address.failure("making the tables", &error);
    lock_migrations(connection).await.map_err(failed)?;
    // Only now: another process may have been making them, whose half-made ones look like somebody else's.
    let found = Schemas::find(connection, address).await?;
    if let (Tables::Make, Some(version)) = (tables, found.version_of_another()) {
        return Err(address.older(version));
    }
    // Before the engine's, so that a start that is killed half-way leaves what is known for ours.
    sqlx::raw_sql("create schema if not exists abaci")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect_lazy_with(address.options.clone());
    runner::run(&pool, DEFAULT_SCHEMA, true)
        .await
        .map_err(|error| address.migration_failure("making the engine's tables", &error))?;
    pool.close().await;
    sqlx::raw_sql(OWN_SCHEMA)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

/// The version of the engine's schema that this build knows.
fn known_version() -> i64 {
    i64::from(SHARED_MIGRATIONS)
}

/// Takes the lock of the migration, however long another process has it.
///
/// It asks again and again instead of waiting in the server: a waiting statement holds a snapshot, and the engine builds
/// some of its indexes concurrently, which waits for every older snapshot to go.
async fn lock_migrations(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let ask = || sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(MIGRATION_LOCK);
    while !ask().fetch_one(&mut *connection).await? {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Describes what there is of both schemas.
struct Schemas {
    /// The version of the engine's; absent where there is none.
    version: Option<i64>,
    /// Whether ours was begun.
    is_begun: bool,
    /// Whether some of our tables are there.
    has_own: bool,
    /// Whether all is there, at the versions that this build knows.
    is_current: bool,
}

impl Schemas {
    /// Looks for both schemas.
    ///
    /// # Errors
    /// [`Error::SchemaNewer`], or what a failing question says.
    async fn find(connection: &mut PgConnection, address: &Address) -> Result<Self, Error> {
        let known = known_version();
        let version = schema_version(connection, address).await?;
        if let Some(found) = version.filter(|found| *found > known) {
            return Err(Error::SchemaNewer { found, known });
        }
        let (is_begun, has_own, all): (bool, bool, bool) = sqlx::query_as(OWN_TABLES)
            .fetch_one(connection)
            .await
            .map_err(|error| address.failure("looking for our tables", &error))?;
        Ok(Self {
            version,
            is_begun,
            has_own,
            is_current: version == Some(known) && all,
        })
    }

    /// The version of tables that another application has made, if it is older than ours.
    fn version_of_another(&self) -> Option<i64> {
        self.version
            .filter(|version| !self.is_begun && *version < known_version())
    }
}

async fn schema_version(connection: &mut PgConnection, address: &Address) -> Result<Option<i64>, Error> {
    let failed = |error: sqlx::Error| address.failure("reading the schema's version", &error);
    let exists: bool = sqlx::query_scalar("select to_regclass('dbos.dbos_migrations') is not null")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar("select max(version)::bigint from dbos.dbos_migrations")
        .fetch_one(connection)
        .await
        .map_err(failed)
}

/// How our own use of the engine's statements waits out a hiccup; callers bound the whole.
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

/// An error of either driver as text, where a question mixes both.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
