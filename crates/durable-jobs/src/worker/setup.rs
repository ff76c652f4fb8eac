//! The start of a worker, from its settings to the tasks that it consists of.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dbos::{Config, DBOS};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::claim::{Claimer, Workflow, Workflows};
use super::claimed_row::RowHolder;
use super::execute::JobExecutor;
use super::host::Host;
use super::maintenance::{Failover, Janitor, Retention};
use super::queue_limits::QueueLimits;
use super::{Jobs, Worker, WorkerSettings, settle_claims};
use crate::Error;
use crate::artifact::{ArtifactPlace, Artifacts};
use crate::database::workflow_rows::REGISTER_QUEUE;
use crate::database::{Address, Database, TableAccess};
use crate::presence::{Registration, Role, own_sessions};
use crate::process::Children;
use crate::record::APPLICATION;

/// The time after which a running step learns that its job was cancelled, and an adopted outcome is seen.
const OUTCOME_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Bounds the connection to the database at the start, and each wait for a free one later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The engine waits half a minute for a connection, and does not say why it gets none.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause between two looks for a connection that the server refused.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Prepares the place of the artifacts, off the async loop: the disk may be slow.
async fn artifacts(place: &ArtifactPlace, database: String) -> Result<Artifacts, Error> {
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

/// A worker's description of itself.
fn role(settings: &WorkerSettings) -> Role {
    Role {
        host: settings.host.clone(),
        slot: settings.slot,
        queue: settings.queue.clone(),
        concurrency: settings.concurrency,
        job_types: settings.job_types.scope(),
    }
}

/// The parts of a worker before its engine is launched.
pub(super) struct Setup {
    settings: WorkerSettings,
    database: Database,
    engine_connections: u32,
    artifacts: Artifacts,
    pub(super) registration: Registration,
    jobs: Jobs,
    children: Children,
    host: Host,
}

impl Setup {
    /// Connects, takes an executor id and begins to beat.
    pub(super) async fn begin(settings: WorkerSettings) -> Result<Self, Error> {
        // Before the first connection, whose name has it: others end the sessions of a dead worker by that.
        let incarnation = Uuid::now_v7().to_string();
        let address = Address::parse(&settings.database_url)?.named(&own_sessions(&incarnation));
        // Before anything is locked: a pooler in transaction mode would lose the lock without an error.
        address.check_sessions().await?;
        let wanted = settings.connections();
        let access = TableAccess {
            tables: settings.tables,
            scope: settings.job_types.scope(),
        };
        let (database, connections) = Database::open_for_worker(address, access, wanted, TIMEOUT).await?;
        let offset = database.clock.offset();
        if offset.is_notable() {
            warn!(%offset, "this machine's clock differs from the database's");
        }
        let artifacts = artifacts(&settings.artifacts, database.name().await?).await?;
        let jobs = Jobs::default();
        let in_hand = jobs.clone();
        // A function, since `presence` may not import from the worker: it stands below in the layout.
        let running = Box::new(move || in_hand.running());
        let registration =
            Registration::begin(&database.address, role(&settings), incarnation, running).await?;
        let children = Children::new(settings.isolation.clone(), settings.advice);
        Ok(Self {
            host: Host::new(registration.executor_id(), children.clone(), artifacts.clone()),
            children,
            settings,
            database,
            engine_connections: connections.engine,
            artifacts,
            registration,
            jobs,
        })
    }

    /// Launches the engine under our executor id with our workflows.
    pub(super) async fn launch(&self) -> Result<(DBOS, Workflows), Error> {
        let address = &self.database.address;
        let failed = |error: dbos::Error| address.engine_failure("starting the engine", &error);
        let sessions = self.registration.engine_sessions();
        let dbos = DBOS::new(Config {
            app_version: Some(self.settings.job_types.version().to_owned()),
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
        let executor = Arc::new(self.executor());
        let register = |workflow: &'static str| -> Result<(&'static str, Workflow), Error> {
            let executor = Arc::clone(&executor);
            let run = move |input| Arc::clone(&executor).run(workflow, input);
            let registered = dbos.register_workflow(workflow, run).map_err(failed)?;
            Ok((workflow, registered))
        };
        // Before the launch, from which on the engine takes no further workflow.
        let workflows = self.settings.job_types.workflows();
        let workflows = workflows.into_iter().map(register).collect::<Result<_, _>>()?;
        // The engine's launch requeues what the last holder of our id left.
        let settled = settle_claims(&self.database, self.registration.executor_id());
        address
            .ask("settling the claims of the last holder", TIMEOUT, settled)
            .await?;
        address
            .ask("registering the queue", TIMEOUT, self.register_queue())
            .await?;
        if let Err(error) = self.start(&dbos).await {
            // What was launched works under our id until it is shut down.
            let _ = timeout(TIMEOUT, dbos.shutdown()).await;
            return Err(error);
        }
        Ok((dbos, workflows))
    }

    /// Puts the queue into the engine's table, where consoles look for it and where it can be paused.
    async fn register_queue(&self) -> Result<(), sqlx::Error> {
        sqlx::query(REGISTER_QUEUE)
            .bind(&self.settings.queue)
            .bind(self.settings.poll_interval.as_secs_f64())
            .bind(APPLICATION)
            .execute(&self.database.pool)
            .await
            .map(drop)
    }

    /// Lets the engine begin, with all its connections.
    async fn start(&self, dbos: &DBOS) -> Result<(), Error> {
        let address = &self.database.address;
        // Kept while the reason is looked for: it is what has the places.
        let mut launch = pin!(dbos.launch());
        match timeout(LAUNCH_TIMEOUT, &mut launch).await {
            Ok(Ok(())) => self.fill_engine(dbos).await,
            Ok(Err(error)) => Err(address.engine_failure("starting the engine", &error)),
            Err(_) => Err(address.silence(LAUNCH_TIMEOUT).await),
        }
    }

    /// Opens all connections of the engine, which would open them one by one when there may be no place for them any more.
    async fn fill_engine(&self, dbos: &DBOS) -> Result<(), Error> {
        let (address, sessions) = (&self.database.address, self.registration.engine_sessions());
        // It reads no row: each question under way takes a connection of its own.
        let question = || async { dbos.list_workflow_steps("").await.map(drop) }.boxed();
        let all = async {
            // One more at a time: of two that are opened at once for one place, the server refuses both.
            let mut open = 0;
            while open < self.engine_connections {
                let asked = open + 1;
                try_join_all((0..asked).map(|_| question()))
                    .await
                    .map_err(|error| address.engine_failure("opening the engine's connections", &error))?;
                let count = sessions.count(&self.database.pool);
                open = address
                    .ask("counting the engine's connections", TIMEOUT, count)
                    .await?;
                // One that was refused a new connection took that of another, and goes on trying for it.
                if open < asked {
                    sleep(LOOK_INTERVAL).await;
                }
            }
            Ok(())
        };
        // Kept while the reason is looked for, as above.
        let mut all = pin!(all);
        match timeout(TIMEOUT, &mut all).await {
            Ok(opened) => opened,
            Err(_) => Err(address.silence(TIMEOUT).await),
        }
    }

    fn executor(&self) -> JobExecutor {
        JobExecutor {
            database: self.database.clone(),
            jobs: self.jobs.clone(),
            job_types: self.settings.job_types.clone(),
            artifacts: self.artifacts.clone(),
            executor_id: self.registration.executor_id().to_owned(),
            queue: self.settings.queue.clone(),
            children: self.children.clone(),
            advice: self.settings.advice,
            host: self.host.clone(),
        }
    }

    /// Starts claiming and keeping house.
    pub(super) fn into_worker(self, dbos: DBOS, workflows: Workflows) -> Worker {
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
            claims_until_dropped: stop_claiming.clone().drop_guard(),
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
            limits: QueueLimits::default(),
            concurrency: self.settings.concurrency as usize,
            poll_interval: self.settings.poll_interval,
            jobs: self.jobs.clone(),
            workflows,
            job_types: self.settings.job_types.clone(),
            contact: self.registration.contact(),
            submissions: self.registration.submissions(),
            // The launch has just requeued what this id held in this version, so there are none.
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
            holder: RowHolder {
                executor_id,
                queue: self.settings.queue.clone(),
            },
            job_types: self.settings.job_types.clone(),
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
