//! A worker: what claims jobs and runs them, with a start and a stop that mean it.
//!
//! [`Worker::start`] returns once jobs are being claimed; [`Worker::drain`] returns once nothing of this worker runs and
//! nothing is left behind that another could do.

mod activity;
mod admission;
mod claim;
mod drain;
mod jobs;
mod log;
mod report;
mod row;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dbos::{Config, DBOS};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use activity::Activity;
pub(crate) use admission::{record_failure, undo_claims};
pub(crate) use claim::CHANNEL;
pub use drain::DrainReport;
pub(crate) use jobs::Jobs;
pub(crate) use log::JobLog;
pub use report::{DatabaseContact, RunningJob, WorkerObserver, WorkerReport};
pub(crate) use row::ClaimedRow;

use self::admission::{Admission, Body};
use self::claim::{Claimer, Workflow};
use crate::artifact::{self, Artifacts};
use crate::database::Database;
use crate::failover::Failover;
use crate::janitor::Janitor;
use crate::presence::Registration;
use crate::record::Limits;
use crate::workflow;
use crate::{APPLICATION, APPLICATION_VERSION, DEFAULT_QUEUE, Error, FIBONACCI_WORKFLOW};

/// How soon a running step learns that its job was cancelled, and an adopted outcome is seen.
const OUTCOME_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Bounds the connection to the database at the start, and each wait for a free one later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Connections for claiming, listening, admission, janitor and failover.
const HOUSEKEEPING_CONNECTIONS: u32 = 6;

/// More connections of the engine than this would not make jobs faster.
const MAX_ENGINE_CONNECTIONS: u32 = 20;

/// How a worker works.
#[derive(Clone)]
pub struct WorkerSettings {
    /// Where the database is; it may hold a password and is never printed.
    pub database_url: String,
    /// The queue it takes jobs from.
    pub queue: String,
    /// How many jobs it runs at once.
    pub concurrency: u32,
    /// How often it asks for jobs of clients that do not announce them.
    pub poll_interval: Duration,
    /// What it is willing to compute.
    pub limits: Limits,
    /// Where values of over 10,000 digits are stored.
    pub artifacts: PathBuf,
    /// This machine's name, the first half of the executor id.
    pub host: String,
    /// Which of the executor ids of this machine it takes.
    pub slot: Slot,
}

/// Which executor id of a machine a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The lowest one that no live process holds.
    Lowest,
    /// This one, or the start is refused.
    Number(u32),
}

impl WorkerSettings {
    /// One job at a time from the default queue, asking every 50 ms.
    #[must_use]
    pub fn new(
        database_url: impl Into<String>,
        host: impl Into<String>,
        artifacts: impl Into<PathBuf>,
    ) -> Self {
        Self {
            database_url: database_url.into(),
            queue: DEFAULT_QUEUE.to_owned(),
            concurrency: 1,
            poll_interval: Duration::from_millis(50),
            limits: Limits::default(),
            artifacts: artifacts.into(),
            host: host.into(),
            slot: Slot::Lowest,
        }
    }
}

/// A running worker.
pub struct Worker {
    dbos: DBOS,
    database: Database,
    jobs: Jobs,
    registration: Registration,
    claiming: JoinHandle<()>,
    stop_claiming: CancellationToken,
    housekeeping: JoinSet<()>,
}

impl Worker {
    /// Starts a worker and returns once it claims jobs.
    ///
    /// Jobs that a former holder of the same executor id left behind go back to their queue first.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unreachable`], [`Error::Refused`], [`Error::SchemaNewer`], [`Error::ExecutorTaken`] or
    /// [`Error::Artifacts`].
    pub async fn start(settings: WorkerSettings) -> Result<Self, Error> {
        Self::start_with(settings, |job, request| {
            Box::pin(workflow::fibonacci(job, request))
        })
        .await
    }

    /// Starts a worker whose workflow has another body; a seam for tests of what surrounds the body.
    async fn start_with(settings: WorkerSettings, body: Body) -> Result<Self, Error> {
        artifact::check_directory(&settings.artifacts)?;
        let database = Database::open(&settings.database_url, HOUSEKEEPING_CONNECTIONS, TIMEOUT).await?;
        let registration = Registration::begin(&database.address, &settings).await?;
        let setup = Setup {
            settings,
            database,
            registration,
            jobs: Jobs::default(),
        };
        match setup.launch(body).await {
            Ok((dbos, workflow)) => Ok(setup.into_worker(dbos, workflow)),
            Err(error) => {
                setup.registration.end().await;
                Err(error)
            }
        }
    }

    /// `<host>/<slot>`.
    #[must_use]
    pub fn executor_id(&self) -> &str {
        self.registration.executor_id()
    }

    /// The ids of the jobs that this process has in hand.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.jobs.ids()
    }

    /// What reads this worker's reports, also while it drains and after.
    #[must_use]
    pub fn observer(&self) -> WorkerObserver {
        WorkerObserver {
            executor_id: self.executor_id().to_owned(),
            jobs: self.jobs.clone(),
            contact: self.registration.contact(),
            draining: self.stop_claiming.clone(),
        }
    }

    /// Completes, with the reason, when the worker must not go on: its executor id went to another.
    pub async fn lost(&self) -> String {
        self.registration.lost().await
    }

    /// Stops claiming, lets what runs finish within `grace`, hands the rest back to the queue and stops.
    pub async fn drain(self, grace: Duration) -> DrainReport {
        drain::drain(self, grace).await
    }
}

/// What a worker has before its engine is launched.
struct Setup {
    settings: WorkerSettings,
    database: Database,
    registration: Registration,
    jobs: Jobs,
}

impl Setup {
    /// Launches the engine under our executor id with our workflow.
    async fn launch(&self, body: Body) -> Result<(DBOS, Workflow), Error> {
        let failed = |error: dbos::Error| Error::Database {
            operation: "starting the engine",
            reason: error.to_string(),
        };
        let sessions = self.registration.engine_sessions();
        let dbos = DBOS::new(Config {
            app_version: Some(APPLICATION_VERSION.to_owned()),
            executor_id: Some(self.registration.executor_id().to_owned()),
            max_connections: (4 + self.settings.concurrency).min(MAX_ENGINE_CONNECTIONS),
            outcome_poll_interval: Some(OUTCOME_POLL_INTERVAL),
            // None but its internal one: the claim loop is ours.
            listen_queues: Some(Vec::new()),
            migrate: false,
            ..Config::new(APPLICATION, sessions.name_in(&self.settings.database_url))
        });
        let admission = Arc::new(self.admission(body));
        let workflow = dbos
            .register_workflow(FIBONACCI_WORKFLOW, move |input| Arc::clone(&admission).run(input))
            .map_err(failed)?;
        dbos.launch().await.map_err(failed)?;
        Ok((dbos, workflow))
    }

    fn admission(&self, body: Body) -> Admission {
        Admission {
            database: self.database.clone(),
            jobs: self.jobs.clone(),
            limits: self.settings.limits,
            artifacts: Artifacts::new(&self.settings.artifacts),
            executor_id: self.registration.executor_id().to_owned(),
            body,
        }
    }

    /// Starts claiming and keeping house.
    fn into_worker(self, dbos: DBOS, workflow: Workflow) -> Worker {
        let stop_claiming = CancellationToken::new();
        let claiming = tokio::spawn(self.claimer(workflow).run(stop_claiming.clone()));
        let housekeeping = self.keep_house();
        let Self {
            database,
            registration,
            jobs,
            ..
        } = self;
        Worker {
            dbos,
            database,
            jobs,
            registration,
            claiming,
            stop_claiming,
            housekeeping,
        }
    }

    fn claimer(&self, workflow: Workflow) -> Claimer {
        Claimer {
            database: self.database.clone(),
            executor_id: self.registration.executor_id().to_owned(),
            queue: self.settings.queue.clone(),
            concurrency: self.settings.concurrency as usize,
            poll_interval: self.settings.poll_interval,
            jobs: self.jobs.clone(),
            workflow,
            contact: self.registration.contact(),
        }
    }

    fn keep_house(&self) -> JoinSet<()> {
        let (database, executor_id) = (self.database.clone(), self.registration.executor_id().to_owned());
        let failover = Failover::new(
            database.clone(),
            executor_id.clone(),
            self.settings.host.clone(),
            self.registration.contact(),
        );
        let janitor = Janitor {
            database,
            executor_id,
            jobs: self.jobs.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(janitor.run());
        tasks.spawn(failover.run());
        tasks
    }
}
