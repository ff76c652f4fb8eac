//! The schema of a run: whose it is, and how it goes.
//!
//! A run holds a lock on the name of its schema, in a session of its own, from before the schema is made until the run
//! ends; the database server frees the lock when the process is gone, however it went. A run that loses that session ends.
//! So a schema whose lock is free belongs to no living run, and whoever comes next drops it: the next run, or `abaci gc`.
//!
//! It does not promise that a schema goes at the first try: one that a process still uses is left to the next try.

use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::BoxFuture;
use serde::Serialize;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{AssertSqlSafe, Connection};

/// The longest that a look for leftovers may take, with all that it drops.
const REMOVAL_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest that dropping one schema may wait for who uses it.
pub(crate) const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// The schemas of runs that this database role may drop; the names are those of [`name`].
const SCHEMAS: &str = "select nspname::text from pg_namespace \
     where nspname ~ '^lab_ex[0-9]+_[0-9a-f]{32}$' and pg_has_role(nspowner, 'USAGE') order by nspname";

const OWN: &str = "select pg_advisory_lock(hashtextextended('abaci lab ' || $1, 0))";

/// Takes the lock until the end of the transaction, if no run has it.
const TRY_OWN: &str = "select pg_try_advisory_xact_lock(hashtextextended('abaci lab ' || $1, 0))";

const SIZE: &str = "select coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint from pg_class \
     join pg_namespace on pg_namespace.oid = relnamespace where nspname = $1 and relkind = 'r'";

/// Decides about the schemas that no living run owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// They are dropped.
    Drop,
    /// They are only listed.
    Report,
}

/// A schema that no living run owns.
#[derive(Debug, Clone, Serialize)]
pub struct Leftover {
    /// Its name.
    pub schema: String,
    /// The size of its tables.
    pub bytes: u64,
}

/// The ownership of a run's schema, which lasts as long as the database session that it is held by.
pub(crate) struct Ownership {
    session: PgListener,
}

impl Ownership {
    /// Takes the ownership of a schema that is not there yet.
    pub(crate) async fn take(database_url: &str, schema: &str) -> anyhow::Result<Self> {
        let taken = async {
            let mut session = PgListener::connect(database_url).await?;
            // A new session would not hold the lock, so the loss has to be seen.
            session.eager_reconnect(false);
            sqlx::query(OWN).bind(schema).execute(&mut session).await?;
            Ok::<_, sqlx::Error>(session)
        };
        let session = taken.await.context("connecting to the database")?;
        Ok(Self { session })
    }

    /// Completes when the session has ended, and with it the ownership.
    pub(crate) async fn lost(&mut self) -> anyhow::Error {
        let reason = loop {
            // Nobody notifies this session: whatever comes is its end.
            match self.session.try_recv().await {
                Ok(Some(_)) => {}
                Ok(None) => break "the connection broke".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        anyhow!("the database session of this run has ended ({reason}); run it again")
    }
}

/// Returns a name for the schema of a run that no other run has.
pub(crate) fn name(experiment: &str) -> String {
    format!("lab_{experiment}_{}", uuid::Uuid::now_v7().simple())
}

/// Drops the schemas that dead runs have left, or only lists them; one of a living run is left alone.
///
/// Repeating it is harmless, and so is doing it twice at a time.
///
/// # Errors
/// When the database does not answer within a minute, or refuses; what was dropped before stays so.
#[expect(
    clippy::must_use_candidate,
    reason = "a future that nobody awaits is warned of by itself"
)]
pub fn remove_leftovers(
    database_url: &str,
    removal: Removal,
) -> BoxFuture<'_, anyhow::Result<Vec<Leftover>>> {
    Box::pin(async move {
        let removed = tokio::time::timeout(REMOVAL_TIMEOUT, remove_all(database_url, removal)).await;
        removed.context("the database did not answer within a minute")?
    })
}

async fn remove_all(database_url: &str, removal: Removal) -> anyhow::Result<Vec<Leftover>> {
    let mut connection = PgConnection::connect(database_url)
        .await
        .context("connecting to the database")?;
    let schemas: Vec<String> = sqlx::query_scalar(SCHEMAS)
        .fetch_all(&mut connection)
        .await
        .context("looking for schemas of earlier runs")?;
    let mut leftovers = Vec::new();
    for schema in schemas {
        let removed = remove(&mut connection, schema, removal).await;
        leftovers.extend(removed.context("dropping the schema of an earlier run")?);
    }
    // A session that cannot say so ends all the same.
    let _ = connection.close().await;
    Ok(leftovers)
}

/// Removes one schema, unless a living run owns it or a process still uses it.
async fn remove(
    connection: &mut PgConnection,
    schema: String,
    removal: Removal,
) -> Result<Option<Leftover>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let is_free = sqlx::query_scalar(TRY_OWN).bind(&schema);
    if !is_free.fetch_one(&mut *transaction).await? {
        return Ok(None);
    }
    let size = sqlx::query_scalar::<_, i64>(SIZE).bind(&schema);
    let bytes = size.fetch_one(&mut *transaction).await?.unsigned_abs();
    if removal == Removal::Drop {
        match drop_schema(&mut transaction, &schema).await {
            Ok(()) => transaction.commit().await?,
            Err(error) if is_in_use(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Leftover { schema, bytes }))
}

/// Drops a schema with all that is in it, or gives up after [`DROP_TIMEOUT`].
pub(crate) async fn drop_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let milliseconds = DROP_TIMEOUT.as_millis();
    let statements = format!("set lock_timeout = {milliseconds}; drop schema if exists {schema} cascade");
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns whether a schema could not be dropped because somebody uses one of its tables.
fn is_in_use(error: &sqlx::Error) -> bool {
    has_code(error, "55P03") || is_deadlock(error)
}

/// Returns whether a drop and a statement of somebody else waited for each other's locks.
pub(crate) fn is_deadlock(error: &sqlx::Error) -> bool {
    has_code(error, "40P01")
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    let given = error.as_database_error().and_then(DatabaseError::code);
    given.is_some_and(|given| given == code)
}
