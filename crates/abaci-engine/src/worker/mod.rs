//! A worker: what claims jobs and runs them, with a start and a stop that mean it.
//!
//! [`Worker::start`] returns once jobs are being claimed; [`Worker::drain`] returns once nothing of this worker runs and
//! nothing is left behind that another could do.

mod activity;
mod admission;
mod claim;
mod deadline;
mod discard;
mod drain;
mod host;
mod jobs;
mod log;
mod loss;
mod report;
mod row;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dbos::{Config, DBOS};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

pub(crate) use activity::{Activity, Gauge, Meter, StepGuard};
pub(crate) use admission::{record_failure, settle_claims, undo_claims};
pub use drain::DrainReport;
pub use host::HostTrouble;
pub(crate) use jobs::Jobs;
pub(crate) use log::JobLog;
pub use loss::Loss;
pub use report::{DatabaseContact, RunningJob, WorkerObserver, WorkerReport};
pub(crate) use row::ClaimedRow;

use self::admission::{Admission, Body};
use self::claim::{Claimer, Workflow, Workflows};
use self::host::Host;
use crate::artifact::{Artifacts, Place};
use crate::database::{Address, Connections, Database, Tables};
use crate::failover::Failover;
use crate::gc::Retention;
use crate::isolation::{Children, Isolation};
use crate::janitor::Janitor;
use crate::presence::{Registration, own_sessions};
use crate::record::{Limits, WorkflowName};
use crate::workflow;
use crate::{APPLICATION, APPLICATION_VERSION, DEFAULT_QUEUE, Error};

/// How soon a running step learns that its job was cancelled, and an adopted outcome is seen.
const OUTCOME_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Bounds the connection to the database at the start, and each wait for a free one later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The fewest connections to the database that a worker can work with.
pub const FEWEST_CONNECTIONS: u32 = Connections::FEWEST;

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
    /// Where values of over 10,000 digits and states of long computations are kept.
    pub artifacts: Place,
    /// Jobs that ended longer ago are deleted with their artifacts; absent to keep all.
    pub retention: Option<Duration>,
    /// This machine's name, the first half of the executor id.
    pub host: String,
    /// Which of the executor ids of this machine it takes.
    pub slot: Slot,
    /// Whether faults strike that jobs ask for; the worker dies of most of them.
    pub enable_faults: bool,
    /// How heavy computations run in processes of their own; absent for threads of this one.
    pub isolation: Option<Isolation>,
    /// What may be done about tables that are not there.
    pub tables: Tables,
    /// The most connections that it opens; absent for two, and two more for each job at once.
    pub max_connections: Option<u32>,
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
            artifacts: Place::directory(artifacts),
            retention: None,
            host: host.into(),
            slot: Slot::Lowest,
            enable_faults: false,
            isolation: None,
            tables: Tables::Make,
            max_connections: None,
        }
    }

    /// How many connections it opens where nothing else limits it.
    #[must_use]
    pub fn connections(&self) -> u32 {
        let wanted = Connections::wanted(self.concurrency);
        self.max_connections.map_or(wanted, |most| wanted.min(most))
    }
}

/// A running worker.
pub struct Worker {
    dbos: DBOS,
    database: Database,
    jobs: Jobs,
    registration: Registration,
    claiming: JoinHandle<()>,
    claim_failure: watch::Receiver<Option<String>>,
    host: Host,
    stop_claiming: CancellationToken,
    /// Cancelled to drop the tasks that wait for the jobs in hand.
    discarded: CancellationToken,
    housekeeping: JoinSet<()>,
    children: Children,
}

impl Worker {
    /// Starts a worker and returns once it claims jobs.
    ///
    /// Jobs that a former holder of the same executor id left behind go back to their queue first.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unreachable`], [`Error::Refused`], [`Error::Unsuitable`], [`Error::SchemaNewer`],
    /// [`Error::SchemaOlder`], [`Error::ExecutorTaken`] or [`Error::Artifacts`].
    pub async fn start(settings: WorkerSettings) -> Result<Self, Error> {
        Self::start_with(settings, workflow::run).await
    }

    /// Starts a worker whose workflow has another body; a seam for tests of what surrounds the body.
    async fn start_with(settings: WorkerSettings, body: Body) -> Result<Self, Error> {
        let incarnation = Uuid::now_v7().to_string();
        let address = Address::parse(&settings.database_url)?.named(&own_sessions(&incarnation));
        address.check_sessions().await?;
        let wanted = settings.connections();
        let (database, connections) =
            Database::open_for_worker(address, settings.tables, wanted, TIMEOUT).await?;
        let offset = database.clock.offset();
        if offset.is_notable() {
            warn!(%offset, "this machine's clock differs from the database's");
        }
        let artifacts = artifacts(&settings.artifacts, database.name().await?).await?;
        let jobs = Jobs::default();
        let in_hand = jobs.clone();
        let running = Box::new(move || in_hand.running());
        let registration = Registration::begin(&database.address, &settings, incarnation, running).await?;
        let children = Children::new(settings.isolation.clone());
        let setup = Setup {
            host: Host::new(registration.executor_id(), children.clone(), artifacts.clone()),
            children,
            settings,
            database,
            engine_connections: connections.engine,
            artifacts,
            registration,
            jobs,
        };
        match setup.launch(body).await {
            Ok((dbos, workflows)) => Ok(setup.into_worker(dbos, workflows)),
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
            claim_failure: self.claim_failure.clone(),
            host: self.host.clone(),
            draining: self.stop_claiming.clone(),
        }
    }

    /// Completes, with the reason, when the worker must not go on.
    pub async fn lost(&self) -> Loss {
        let mut claims = self.claim_failure.clone();
        // Closed by the end of the loop, which before a drain is a panic.
        let broken_off = async { while claims.changed().await.is_ok() {} };
        tokio::select! {
            reason = self.registration.lost() => Loss::ExecutorId(reason),
            () = broken_off => Loss::Claims,
        }
    }

    /// Ends a worker that has lost its executor id, and with it its jobs; returns once nothing of it can write any more.
    ///
    /// Nothing is finished, recorded or given back. The process may start another worker then.
    ///
    /// # Errors
    /// [`Error::NotDiscarded`] when something of it cannot be ended: then the process has to end.
    pub async fn discard(self) -> Result<(), Error> {
        discard::discard(self).await
    }

    /// Stops claiming, lets what runs finish within `grace`, hands the rest back to the queue and stops.
    pub async fn drain(self, grace: Duration) -> DrainReport {
        self.drain_until(grace, std::future::pending()).await
    }

    /// Drains like [`Worker::drain`] until `hurry` completes, and then hands back at once whatever still runs.
    ///
    /// It returns half a second after that at the latest, whether the database answers or not. Jobs that could not be handed
    /// back by then count as those of a worker that died.
    pub async fn drain_until(self, grace: Duration, hurry: impl Future<Output = ()>) -> DrainReport {
        drain::drain(self, grace, hurry).await
    }
}

/// Prepares the place of the artifacts, off the async loop, which beats meanwhile: the disk may be slow.
async fn artifacts(place: &Place, database: String) -> Result<Artifacts, Error> {
    let here = place.clone();
    let artifacts = tokio::task::spawn_blocking(move || Artifacts::open(&here, &database))
        .await
        .unwrap_or_else(|panic| {
            Err(Error::Artifacts {
                place: place.directory.display().to_string(),
                reason: panic.to_string(),
            })
        })?;
    artifacts.check().await?;
    artifacts.sweep().await;
    Ok(artifacts)
}

/// What a worker has before its engine is launched.
struct Setup {
    settings: WorkerSettings,
    database: Database,
    engine_connections: u32,
    artifacts: Artifacts,
    registration: Registration,
    jobs: Jobs,
    children: Children,
    host: Host,
}

impl Setup {
    /// Launches the engine under our executor id with our workflows.
    async fn launch(&self, body: Body) -> Result<(DBOS, Workflows), Error> {
        let address = &self.database.address;
        let failed = |error: dbos::Error| address.engine_failure("starting the engine", &error);
        let sessions = self.registration.engine_sessions();
        let dbos = DBOS::new(Config {
            app_version: Some(APPLICATION_VERSION.to_owned()),
            executor_id: Some(self.registration.executor_id().to_owned()),
            max_connections: self.engine_connections,
            // No workflow of ours waits for messages, and a listener would take a connection.
            use_listen_notify: false,
            outcome_poll_interval: Some(OUTCOME_POLL_INTERVAL),
            // None but its internal one: the claim loop is ours.
            listen_queues: Some(Vec::new()),
            migrate: false,
            ..Config::new(APPLICATION, sessions.name_in(&self.database.address.url))
        });
        let admission = Arc::new(self.admission(body));
        let register = |workflow: WorkflowName| -> Result<Workflow, Error> {
            let admission = Arc::clone(&admission);
            dbos.register_workflow(workflow.name(), move |input| {
                Arc::clone(&admission).run(workflow, input)
            })
            .map_err(failed)
        };
        let workflows = Workflows {
            fibonacci: register(WorkflowName::Fibonacci)?,
            stepwise: register(WorkflowName::Stepwise)?,
            giant: register(WorkflowName::Giant)?,
        };
        // The engine's launch requeues what the last holder of our id left.
        let settled = settle_claims(&self.database, self.registration.executor_id());
        address
            .ask("settling the claims of the last holder", TIMEOUT, settled)
            .await?;
        dbos.launch().await.map_err(failed)?;
        self.fill_engine(&dbos).await?;
        Ok((dbos, workflows))
    }

    /// Opens all connections of the engine, which would open them one by one when there may be no place for them any more.
    async fn fill_engine(&self, dbos: &DBOS) -> Result<(), Error> {
        let address = &self.database.address;
        // All begin before the first is answered, so each takes a connection of its own.
        let question = || async { dbos.list_workflow_steps("").await.map(drop) }.boxed();
        let questions = (0..self.engine_connections).map(|_| question());
        match timeout(TIMEOUT, try_join_all(questions)).await {
            Ok(answers) => answers
                .map(drop)
                .map_err(|error| address.engine_failure("opening the engine's connections", &error)),
            Err(_) => Err(address.silence(TIMEOUT).await),
        }
    }

    fn admission(&self, body: Body) -> Admission {
        Admission {
            database: self.database.clone(),
            jobs: self.jobs.clone(),
            limits: self.settings.limits,
            enable_faults: self.settings.enable_faults,
            artifacts: self.artifacts.clone(),
            executor_id: self.registration.executor_id().to_owned(),
            queue: self.settings.queue.clone(),
            children: self.children.clone(),
            host: self.host.clone(),
            body,
        }
    }

    /// Starts claiming and keeping house.
    fn into_worker(self, dbos: DBOS, workflows: Workflows) -> Worker {
        let (stop_claiming, discarded) = (CancellationToken::new(), CancellationToken::new());
        let (failure, claim_failure) = watch::channel(None);
        let claimer = self.claimer(workflows, failure, discarded.clone());
        let claiming = tokio::spawn(claimer.run(stop_claiming.clone()));
        let housekeeping = self.keep_house();
        let Self {
            database,
            registration,
            jobs,
            children,
            host,
            ..
        } = self;
        Worker {
            dbos,
            database,
            jobs,
            registration,
            claiming,
            claim_failure,
            host,
            stop_claiming,
            discarded,
            housekeeping,
            children,
        }
    }

    fn claimer(
        &self,
        workflows: Workflows,
        failure: watch::Sender<Option<String>>,
        discarded: CancellationToken,
    ) -> Claimer {
        Claimer {
            database: self.database.clone(),
            executor_id: self.registration.executor_id().to_owned(),
            queue: self.settings.queue.clone(),
            concurrency: self.settings.concurrency as usize,
            poll_interval: self.settings.poll_interval,
            jobs: self.jobs.clone(),
            workflows,
            contact: self.registration.contact(),
            submissions: self.registration.submissions(),
            has_strays: AtomicBool::new(false),
            failure,
            host: self.host.clone(),
            discarded,
        }
    }

    fn collection(&self, keep: Duration) -> Retention {
        Retention {
            database: self.database.clone(),
            artifacts: self.artifacts.clone(),
            host: self.settings.host.clone(),
            keep,
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
        if let Some(keep) = self.settings.retention {
            tasks.spawn(self.collection(keep).run());
        }
        tasks
    }
}
