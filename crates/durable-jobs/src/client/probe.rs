//! A bounded question that says whether the database answers and how its queue stands.
//!
//! It is for who must know within a second or two and must not disturb: it makes no tables, holds no lock between two
//! questions and one connection at most, which is opened when somebody asks and kept while it works. Who asks while
//! another's question is under way waits for that one, and then for one question that all who waited share.
//!
//! The answer is one statement, exact, in proportion to the waiting jobs: 10 to 20 ms for 50,000, under half of one for two
//! hundred. It reads the waiting rows by the index that claims use, and none of those that ended, however many they are;
//! no index has the version or the delay of a row, so each waiting row is looked at.
//!
//! It does not promise that the numbers are still true when they arrive.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, PgExecutor, Row};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::queue_control::limits_in;
use crate::database::Address;
use crate::database::workflow_rows::QUEUE_STATUS;
use crate::presence::is_live;
use crate::record::Limit;
use crate::{Error, Reply};

const OPERATION: &str = "asking how the queue stands";

/// The state of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Jobs that wait, delayed ones included.
    pub queued: u64,
    /// Jobs that a worker has claimed.
    pub running: u64,
    /// The wait of the oldest job that could have been started at once; absent when none waits.
    ///
    /// By the database's clock, since the submission, or since the delay passed, or since a worker gave the job back.
    pub oldest_waiting_seconds: Option<f64>,
    /// The waits by priority, in the order of claims: of the ten priorities at most that are claimed last and have due jobs.
    #[serde(default)]
    pub priorities: Vec<PriorityWait>,
    /// True if the queue is paused, so that none of them starts.
    #[serde(default)]
    pub paused: bool,
    /// The limit of the queue's starts; absent where it has none.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Waiting jobs of a version or a type that no live worker of the queue runs; all of them while there is none.
    pub stranded: u64,
}

/// The due jobs of one priority, of which an old one may starve behind those that come first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriorityWait {
    /// The priority; a lower number is claimed sooner.
    pub priority: i32,
    /// Jobs of it that could have been started at once.
    pub due: u64,
    /// The wait of the oldest of them.
    pub oldest_waiting_seconds: f64,
}

/// Asks one queue how it stands, over at most one connection that is made when it is first needed.
///
/// Clones share the connection.
#[derive(Clone)]
pub struct QueueProbe(Arc<SharedProbe>);

struct SharedProbe {
    address: Address,
    queue: String,
    version: String,
    line: Mutex<ProbeTurn>,
}

/// The parts of one question at a time.
#[derive(Default)]
struct ProbeTurn {
    connection: Option<PgConnection>,
    last: Option<ProbeAnswer>,
}

/// An answer, and when its question was sent.
struct ProbeAnswer {
    asked: Instant,
    status: QueueStatus,
}

impl QueueProbe {
    /// Settles where to ask; no connection is made.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn new(database_url: &str, queue: &str, version: &str) -> Result<Self, Error> {
        Ok(Self(Arc::new(SharedProbe {
            address: Address::parse(database_url)?,
            queue: queue.to_owned(),
            version: version.to_owned(),
            line: Mutex::default(),
        })))
    }

    /// Asks once, and gives up after `timeout`, which includes the wait for other questions.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when nobody answers in time; [`Error::Refused`]; [`Error::Database`] when the statement
    /// fails, as it does in a database that no worker and no client has used yet.
    pub fn ask(&self, timeout: Duration) -> Reply<'_, QueueStatus> {
        Box::pin(async move {
            match tokio::time::timeout(timeout, self.0.ask(timeout)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.0.address.no_answer(timeout)),
            }
        })
    }
}

impl SharedProbe {
    async fn ask(&self, timeout: Duration) -> Result<QueueStatus, Error> {
        let came = Instant::now();
        let mut line = self.line.lock().await;
        // An answer counts if its question was sent after this caller came; an older one is of the past.
        if let Some(answer) = line.last.as_ref().filter(|answer| answer.asked >= came) {
            return Ok(answer.status.clone());
        }
        // Before the question is sent: whoever comes while it is under way needs a later one.
        let asked = Instant::now();
        let status = self.ask_over(&mut line.connection, timeout).await?;
        line.last = Some(ProbeAnswer {
            asked,
            status: status.clone(),
        });
        Ok(status)
    }

    /// Asks over the connection that is there, or else, and when that one fails, over a fresh one.
    ///
    /// The connection is taken out while it is used, so that one whose answer was not awaited is never used again.
    async fn ask_over(
        &self,
        connection: &mut Option<PgConnection>,
        timeout: Duration,
    ) -> Result<QueueStatus, Error> {
        // Why the old connection failed is of no interest: a fresh one finds out how it is now.
        if let Some(mut kept) = connection.take()
            && let Ok(status) = status(&mut kept, &self.queue, &self.version).await
        {
            *connection = Some(kept);
            return Ok(status);
        }
        let mut fresh = self.address.connect(timeout).await?;
        let answer = match set_up(&mut fresh, timeout).await {
            Ok(()) => status(&mut fresh, &self.queue, &self.version).await,
            Err(error) => Err(error),
        };
        let status = answer.map_err(|error| self.failure(&error, timeout))?;
        *connection = Some(fresh);
        Ok(status)
    }

    fn failure(&self, error: &sqlx::Error, timeout: Duration) -> Error {
        let code = error.as_database_error().and_then(DatabaseError::code);
        match code.as_deref() {
            // The server's own bound, which is ours, was a moment faster.
            Some("57014") => self.address.no_answer(timeout),
            // No such table.
            Some("42P01") => Error::Database {
                operation: OPERATION,
                reason: "the tables are not there yet; the first worker or client makes them".to_owned(),
            },
            _ => self.address.failure(OPERATION, error),
        }
    }
}

/// Reads how `queue` stands, with one statement.
pub(super) async fn status(
    executor: impl PgExecutor<'_>,
    queue: &str,
    version: &str,
) -> Result<QueueStatus, sqlx::Error> {
    let [before, after] = QUEUE_STATUS;
    let row = sqlx::query(AssertSqlSafe(format!("{before}{}{after}", is_live!())))
        .bind(queue)
        .bind(version)
        .fetch_one(executor)
        .await?;
    QueueStatus::from_row(&row)
}

/// Makes a connection one that is only asked how the queue stands.
///
/// The server ends a statement that nobody awaits any more, behind a lock say, instead of collecting such sessions. It
/// goes by the index whatever it believes of the table's size, which it does not know of a queue that has just grown.
async fn set_up(connection: &mut PgConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    let timeout_ms = timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    let settings = format!(
        "set statement_timeout = {timeout_ms}; set enable_seqscan = off; set enable_bitmapscan = off; set jit = off; \
         set max_parallel_workers_per_gather = 0"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings))
        .execute(connection)
        .await
        .map(drop)
}

impl QueueStatus {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        let oldest: Option<f64> = row.try_get("oldest")?;
        let limits = limits_in(row)?;
        Ok(Self {
            queued: count("queued")?,
            running: count("running")?,
            // A client's clock may be ahead of the database's.
            oldest_waiting_seconds: oldest.map(|seconds| seconds.max(0.0)),
            priorities: PriorityWait::all_in(row)?,
            paused: limits.paused,
            limit: limits.limit(),
            stranded: count("stranded")?,
        })
    }
}

impl PriorityWait {
    fn all_in(row: &PgRow) -> Result<Vec<Self>, sqlx::Error> {
        let priorities: Vec<i32> = row.try_get("ranks")?;
        let due: Vec<i64> = row.try_get("due_of_ranks")?;
        let oldest: Vec<f64> = row.try_get("oldest_of_ranks")?;
        let waits = priorities.into_iter().zip(due).zip(oldest);
        Ok(waits
            .map(|((priority, due), oldest)| Self {
                priority,
                due: due.unsigned_abs(),
                oldest_waiting_seconds: oldest.max(0.0),
            })
            .collect())
    }
}
