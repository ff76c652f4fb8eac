//! The tables: which are there, which may be made, and at which versions of the engine's this program works.

use std::time::{Duration, Instant};

use dbos::sysdb::DEFAULT_SCHEMA;
use dbos::sysdb::migrations::{SHARED_MIGRATIONS, runner};
use sqlx::postgres::PgConnection;

use super::{Address, DatabaseClock, now_ms};
use crate::Error;

/// Our own tables. Statements are idempotent; a change is appended, never edited.
const OWN_SCHEMA: &str = include_str!("workflow_rows/schema.sql");

/// Asks whether the schema is there, and the first table, and all of them with the columns that came later and what acts on the
/// engine's own; and what time it is.
// An addition to the schema has to be looked for here, too: otherwise tables that are there count as
// current, and the addition is never made.
const OWN_TABLES: &str = concat!(
    "select ",
    now_ms!(),
    ", \
     to_regnamespace('abaci') is not null, to_regclass('abaci.presence') is not null, \
     to_regclass('abaci.presence') is not null and to_regclass('abaci.deaths') is not null and to_regclass('abaci.allowances') is not null \
     and to_regclass('abaci.names') is not null and to_regclass('abaci.former_queues') is not null \
     and to_regclass('dbos.abaci_changed_otherwise') is not null \
     and 2 = (select count(*) from pg_proc where pronamespace = to_regnamespace('abaci') \
         and proname in ('input_of', 'forget_payloads')) \
     and to_regclass('abaci.attempts') is not null \
     and 5 = (select count(*) from pg_trigger where tgrelid = to_regclass('dbos.workflow_status') \
         and tgname in ('abaci_remember_queue', 'abaci_keep_resumed', 'abaci_keep_forked', 'abaci_note_attempt', 'abaci_forget_attempts')) \
     and 7 = (select count(*) from pg_attribute where attrelid = to_regclass('abaci.presence') \
         and attname in ('running', 'clock_offset_ms', 'pid_space', 'workflows', 'last_pid', 'last_exit', 'last_exit_at') and not attisdropped)"
);

/// The advisory lock under which tables are made, so that two first starts do not race: `abaci` in ASCII, then 1.
const MIGRATION_LOCK: i64 = 0x6162_6163_6901;

/// The connections that the engine makes its tables over, beside the one that has the lock.
const MIGRATION_CONNECTIONS: u32 = 2;

/// The longest that those connections may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The newest version of the engine's schema, as later releases of DBOS leave it, that the tests work with.
///
/// What has come since the version that this build knows: inputs and outputs of their own clients in tables beside the
/// rows, no key between a job and its steps, other indexes. All that we use is still there.
pub(super) const NEWEST_TESTED_SCHEMA: i64 = 125;

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

impl Address {
    fn older(&self, found: i64) -> Error {
        Error::SchemaOlder {
            place: self.place.clone(),
            found,
            known: known_version(),
        }
    }
}

/// Makes or updates the tables, under a lock that goes with the connection, unless they are as they should be or must stay as
/// they are, and reads the clock.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    address: &Address,
    tables: Tables,
) -> Result<DatabaseClock, Error> {
    if tables != Tables::Expect {
        address.check_writable(connection).await?;
    }
    let found = Schemas::find(connection, address).await?;
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
        make_tables(connection, address, tables).await?;
    }
    Ok(found.clock)
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
    if found.version.is_none_or(|version| version < known_version()) {
        let pool = address.pool(MIGRATION_CONNECTIONS);
        address.fill(&pool, MIGRATION_TIMEOUT).await?;
        runner::run(&pool, DEFAULT_SCHEMA, true)
            .await
            .map_err(|error| address.migration_failure("making the engine's tables", &error))?;
        // Its places are given back before the caller opens a pool of its own.
        pool.close().await;
    }
    sqlx::raw_sql(OWN_SCHEMA)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

/// The version of the engine's schema that this build knows.
pub(super) fn known_version() -> i64 {
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
    /// True if ours was begun.
    is_begun: bool,
    /// True if some of our tables are there.
    has_own: bool,
    /// True if all is there, at versions that this build works with.
    is_current: bool,
    clock: DatabaseClock,
}

impl Schemas {
    /// Looks for both schemas.
    ///
    /// # Errors
    /// [`Error::SchemaNewer`], or what a failing question says.
    async fn find(connection: &mut PgConnection, address: &Address) -> Result<Self, Error> {
        // First, so that nothing is read of a schema that is too new to be known.
        let version = schema_version(connection, address).await?;
        if let Some(found) = version.filter(|found| *found > NEWEST_TESTED_SCHEMA) {
            return Err(Error::SchemaNewer {
                place: address.place.clone(),
                found,
                newest: NEWEST_TESTED_SCHEMA,
            });
        }
        let asked = Instant::now();
        let (now_ms, is_begun, has_own, all): (i64, bool, bool, bool) = sqlx::query_as(OWN_TABLES)
            .fetch_one(connection)
            .await
            .map_err(|error| address.failure("looking for our tables", &error))?;
        Ok(Self {
            version,
            is_begun,
            has_own,
            is_current: version.is_some_and(|version| version >= known_version()) && all,
            clock: DatabaseClock::read(now_ms, asked),
        })
    }

    /// The version of tables that another application has made, if it is older than ours.
    fn version_of_another(&self) -> Option<i64> {
        self.version
            .filter(|version| !self.is_begun && *version < known_version())
    }
}

pub(super) async fn schema_version(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<Option<i64>, Error> {
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
