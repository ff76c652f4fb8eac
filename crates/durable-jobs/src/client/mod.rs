//! Submits jobs, waits for them and manages them.
//!
//! A client has one connection and needs no server to be running: a job it submitted is in the database, and
//! whoever knows its id can wait for it, from any process, later.
//! Every call but a wait is bounded by [`ClientSettings::timeout`] and answers [`Error::Unreachable`] when it passes; a
//! wait goes on through outages and says so.

mod already_queued;
mod attempts;
mod bulk;
mod cancel;
mod changes;
mod find;
mod fork;
mod gc;
mod job_row;
mod listeners;
mod new_job;
mod pages;
mod probe;
mod progress;
mod queue_control;
mod queue_standing;
mod resume;
mod show;
mod submit;
mod submit_once;
mod throughput;
mod wait;
mod wait_event;
mod waiting;

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgRow;

pub use crate::gc::{Collected, GcMode, GcOptions, GcReport};
pub use crate::record::{Limit, Rate};
pub use bulk::{BulkAction, BulkChange, BulkOutcome, BulkPreview, BulkReport};
pub use cancel::CancelOutcome;
pub use changes::{Changes, Moment, MomentError};
pub use find::{Found, MOST_BEGINNINGS};
pub use fork::{Forked, StepName};
pub use listeners::QueueVersion;
pub use new_job::{Delay, NewJob, Priority, SubmitOptions};
pub use pages::{JobCount, Pages};
pub use probe::{PriorityWait, QueueProbe, QueueStatus};
pub use queue_control::QueueInfo;
pub use resume::{ResumeOptions, ResumeOutcome};
pub use show::QueueCounts;
pub use submit_once::Submitted;
pub use throughput::{Ended, Overview, Throughput};
pub use wait::Waiter;
pub use wait_event::{Others, Outcome, WaitEvent};
pub use waiting::Waiting;

use changes::Followed;

use crate::database::{Address, ConnectionLimit, Database, DatabaseClock, TableAccess, Tables, text};
use crate::job::JobTypes;
use crate::presence::{self, Presence};
use crate::record::DEFAULT_QUEUE;
use crate::{Error, Reply};

/// The settings of a client.
#[derive(Clone)]
pub struct ClientSettings {
    /// Where the database is; it may hold a password and is never printed.
    pub database_url: String,
    /// The queue that jobs are submitted to, and resumed on where nobody knows theirs any more.
    pub queue: String,
    /// The types of its jobs; what they do not admit is refused before it is queued.
    pub job_types: JobTypes,
    /// The permission to make tables that are not there.
    pub tables: Tables,
    /// The longest that one call may take, waits excepted.
    pub timeout: Duration,
    /// The longest that it waits to connect where the server has no connection left.
    pub patience: Duration,
    /// This machine's name as its workers give it, so that their processes can be looked for; absent to look for none.
    pub host: Option<String>,
}

impl ClientSettings {
    /// The queue `default`, a timeout of 10 s, and tables that are made where there are none.
    #[must_use]
    pub fn new(database_url: impl Into<String>, job_types: JobTypes) -> Self {
        Self {
            database_url: database_url.into(),
            queue: DEFAULT_QUEUE.to_owned(),
            job_types,
            tables: Tables::Make,
            timeout: Duration::from_secs(10),
            patience: Duration::from_mins(1),
            host: None,
        }
    }
}

/// A client of the jobs in one database.
#[derive(Clone)]
pub struct Client {
    database: Database,
    queue: String,
    job_types: JobTypes,
    timeout: Duration,
    host: Option<String>,
    followed: Followed,
}

impl Client {
    /// Connects, and makes tables where it may, so that a job can be queued before any worker started.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unreachable`], [`Error::Refused`], [`Error::Unsuitable`], [`Error::SchemaNewer`],
    /// [`Error::SchemaOlder`], [`Error::NoTables`], [`Error::Full`] or [`Error::Database`].
    pub fn connect(settings: ClientSettings) -> Reply<'static, Self> {
        Box::pin(async move {
            let ClientSettings {
                database_url,
                queue,
                job_types,
                tables,
                timeout,
                patience,
                host,
            } = settings;
            let address = Address::parse(&database_url)?;
            let access = TableAccess {
                tables,
                scope: job_types.scope(),
            };
            let database = Database::open(address, access, timeout, patience).await?;
            Ok(Self {
                database,
                queue,
                job_types,
                timeout,
                host,
                followed: Followed::default(),
            })
        })
    }

    /// The queue that jobs are submitted to.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The types of its jobs.
    #[must_use]
    pub fn job_types(&self) -> &JobTypes {
        &self.job_types
    }

    /// Lists every worker that keeps a presence row, living or not, whatever its queue.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn workers(&self) -> Reply<'_, Vec<Presence>> {
        Box::pin(async move {
            let rows = sqlx::query(presence::SELECT).fetch_all(&self.database.pool);
            let rows = self
                .database
                .bounded("listing workers", self.timeout, rows)
                .await?;
            self.workers_in(&rows)
        })
    }

    fn workers_in(&self, rows: &[PgRow]) -> Result<Vec<Presence>, Error> {
        let workers: Result<Vec<_>, _> = rows.iter().map(Presence::from_row).collect();
        let workers = workers.map_err(|error| unreadable(&error))?;
        Ok(match &self.host {
            Some(host) => workers.into_iter().map(|worker| worker.seen_from(host)).collect(),
            None => workers,
        })
    }

    /// Finds the limit that leaves this user the fewest connections.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn tightest_limit(&self) -> Reply<'_, ConnectionLimit> {
        Box::pin(async move {
            let asked = async {
                // Over the connection that is there: another one would need a place itself.
                let mut connection = self.database.pool.acquire().await.map_err(text)?;
                let limit = self.database.address.tightest_limit(&mut connection).await;
                limit.map_err(text)
            };
            self.database
                .bounded("counting connections", self.timeout, asked)
                .await
        })
    }

    /// The database's clock, as it was read when this client connected.
    #[must_use]
    pub fn clock(&self) -> DatabaseClock {
        self.database.clock
    }

    /// Closes the connections; what was submitted stays.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.database.close().await;
        })
    }
}

/// A row that is there and does not look as it should.
fn unreadable(error: &sqlx::Error) -> Error {
    Error::Database {
        operation: "reading a row",
        reason: error.to_string(),
    }
}
