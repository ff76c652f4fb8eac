//! The start of every test here: a database, a directory, workers and a client on it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::postgres::{PostgresSystemDatabase, Settings};
use dbos::sysdb::types::{NewWorkflow, Submission};
use durable_jobs::client::{ClientSettings, NewJob, Outcome, QueueVersion, WaitEvent, Waiter};
use durable_jobs::process::{Isolation, TaskKind, compute_for_worker};
use durable_jobs::worker::WorkerSettings;
use durable_jobs::{Client, JobId, Worker};
use sqlx::{Connection, PgConnection, PgPool};
use testkit::{Process, TempDir, TestDatabase, eventually};
use tokio::signal::unix::{SignalKind, signal};

use crate::types::{Busy, Done, Echoes, Keeps, Lasts, Renamed, Spin, Spins, Text, all_types, types_of};

/// Longer than anything takes here; a test that reaches it found a job that hangs.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The milliseconds of a job that somebody ends before it does so itself.
pub(crate) const ENDLESS: u64 = 600_000;

/// The memory of a computing process.
const MEMORY_BYTES: u64 = 64 << 20;

pub(crate) struct Rig {
    pub(crate) database: TestDatabase,
    pub(crate) artifacts: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            database: TestDatabase::create(),
            artifacts: TempDir::new(),
        }
    }

    pub(crate) fn settings(&self) -> WorkerSettings {
        worker_settings(self.database.url(), "test-host", self.artifacts.path())
    }

    /// Starts a worker of all types in this process.
    pub(crate) async fn worker(&self) -> Worker {
        Worker::start(self.settings()).await.unwrap()
    }

    /// Starts a worker that takes jobs from this queue.
    pub(crate) async fn worker_on(&self, queue: &str) -> Worker {
        let mut settings = self.settings();
        queue.clone_into(&mut settings.queue);
        Worker::start(settings).await.unwrap()
    }

    /// A client that knows all types.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(client_settings(self.database.url()))
            .await
            .unwrap()
    }

    /// Holds the lock on an executor id, as the session of its worker does, until it is dropped.
    pub(crate) async fn session_of(&self, executor_id: &str) -> PgConnection {
        let mut session = PgConnection::connect(self.database.url()).await.unwrap();
        sqlx::query("select pg_advisory_lock(hashtextextended('abaci executor ' || $1, 0))")
            .bind(executor_id)
            .execute(&mut session)
            .await
            .unwrap();
        session
    }

    /// Counts the rows of a table, and of those the ones of a condition that may follow its name.
    pub(crate) fn count(&self, from: &str) -> u64 {
        let count = self.database.psql(&format!("select count(*) from {from}"));
        count.trim().parse().unwrap()
    }

    /// Counts the sessions in this database whose names match a pattern: `abaci` for clients, `abaci %` for workers.
    pub(crate) fn sessions(&self, pattern: &str) -> u64 {
        self.count(&format!(
            "pg_stat_activity where datname = current_database() and application_name like '{pattern}'"
        ))
    }
}

/// Rows as other programs write them.
impl Rig {
    /// Writes a row into the queue as a foreign client would.
    pub(crate) fn enqueue_foreign(&self, id: &str, workflow: &str, input: &str) {
        let (name, input) = (format!("'{workflow}'"), format!("'{input}'"));
        self.insert(id, &[("name", &name), ("inputs", &input)]);
    }

    /// Submits a row as the engine itself writes it.
    pub(crate) async fn submit_by_engine(&self, row: &NewWorkflow<'_>) {
        let pool = PgPool::connect(self.database.url()).await.unwrap();
        let settings = Settings {
            application_name: Some("abaci"),
            ..Settings::default()
        };
        let engine = PostgresSystemDatabase::from_pool(pool, &settings);
        let submitted = engine.init_workflow(row, None, Submission::Fresh, None).await;
        submitted.unwrap();
        engine.close().await;
    }

    /// Writes a row that `executor_id` claimed twenty seconds ago.
    pub(crate) fn enqueue_claimed(&self, id: &str, workflow: &str, executor_id: &str) {
        let columns = [
            ("name", &*format!("'{workflow}'")),
            ("executor_id", &*format!("'{executor_id}'")),
            ("status", "'PENDING'"),
            ("recovery_attempts", "1"),
            ("started_at_epoch_ms", "(extract(epoch from now()) - 20) * 1000"),
        ];
        self.insert(id, &columns);
    }

    /// Writes a row that asks for an echo of 10, but for the columns given, as SQL expressions.
    pub(crate) fn insert(&self, id: &str, columns: &[(&str, &str)]) {
        let id = format!("'{id}'");
        let usual = [
            ("workflow_uuid", &*id),
            ("status", "'ENQUEUED'"),
            ("name", "'test_echoes'"),
            ("inputs", "'10'"),
            ("serialization", "'portable_json'"),
            ("queue_name", "'default'"),
            ("application_version", "'test-1'"),
            ("created_at", "extract(epoch from now()) * 1000"),
            ("updated_at", "0"),
            ("priority", "0"),
            ("recovery_attempts", "0"),
        ];
        self.database.insert("dbos.workflow_status", &usual, columns);
    }
}

/// Settings of a worker of all types.
pub(crate) fn worker_settings(
    url: impl Into<String>,
    host: impl Into<String>,
    artifacts: impl Into<PathBuf>,
) -> WorkerSettings {
    WorkerSettings {
        poll_interval: Duration::from_millis(5),
        ..WorkerSettings::new(url, host, artifacts, all_types())
    }
}

/// Settings of a client of all types.
pub(crate) fn client_settings(url: impl Into<String>) -> ClientSettings {
    ClientSettings::new(url, all_types())
}

/// A job that returns this number at once.
pub(crate) fn echo(number: u64) -> NewJob {
    echo_as(JobId::fresh(), number)
}

/// The same under this id.
pub(crate) fn echo_as(id: JobId, number: u64) -> NewJob {
    NewJob::of::<Echoes>(id, &number).unwrap()
}

/// A job that takes so many milliseconds.
pub(crate) fn lasting(ms: u64) -> NewJob {
    NewJob::of::<Lasts>(JobId::fresh(), &ms).unwrap()
}

/// A job that keeps the text of this number as an artifact.
pub(crate) fn keeping(number: u64) -> NewJob {
    NewJob::of::<Keeps>(JobId::fresh(), &number).unwrap()
}

/// Submits a job that is busy in so many steps.
pub(crate) async fn submit_busy(client: &Client, steps: u32, step: Spin) -> JobId {
    let job = NewJob::of::<Spins>(JobId::fresh(), &Busy { steps, step }).unwrap();
    client.submit_job(job).await.unwrap()
}

/// Submits a job and returns once `worker` computes it.
pub(crate) async fn submit_to(worker: &Worker, client: &Client, job: NewJob) -> JobId {
    let id = client.submit_job(job).await.unwrap();
    let observer = worker.observer();
    eventually("the computation", || {
        let mut running = observer.report().running.into_iter();
        running.any(|job| job.workflow_id == id.as_str() && job.progress.is_some())
    });
    id
}

/// The outcomes of all of `ids`, in the order in which they ended.
pub(crate) async fn outcomes(client: &Client, ids: impl IntoIterator<Item = JobId>) -> Vec<Outcome> {
    let mut waiter = client.wait(ids);
    let mut outcomes = Vec::new();
    let collect = async {
        while let Some(event) = waiter.next().await {
            match event {
                WaitEvent::Finished(outcome) => outcomes.push(outcome),
                WaitEvent::Missing(id) => panic!("job {id} is missing"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, collect)
        .await
        .expect("the jobs did not end in time");
    outcomes
}

/// The outcome of one job.
pub(crate) async fn outcome(client: &Client, id: &JobId) -> Outcome {
    outcomes(client, [id.clone()]).await.remove(0)
}

/// Waits until nobody takes a job, and returns what nobody listens to and for how long.
pub(crate) async fn unlistened(waiter: &mut Waiter) -> (QueueVersion, Duration) {
    let event = async {
        loop {
            if let Some(WaitEvent::NoWorker { of, since, .. }) = waiter.next().await {
                return (of, since);
            }
        }
    };
    tokio::time::timeout(DEADLINE, event)
        .await
        .expect("a silent hang")
}

/// Reads the output of a job of [`Echoes`] or [`Lasts`].
#[track_caller]
pub(crate) fn done(outcome: Outcome) -> Done {
    let output = outcome.result.and_then(|output| output.read());
    output.unwrap_or_else(|failure| panic!("{}: {failure}", outcome.id))
}

impl Rig {
    /// Starts a worker of these workflows in a process of its own, and returns once it takes jobs.
    pub(crate) fn worker_of_types(&self, workflows: &[&str]) -> Process {
        let mut command = self.worker_command("test-host", self.database.url());
        command.env("TEST_TYPES", workflows.join(","));
        Process::ready(command)
    }

    /// Starts a worker of all types in a process of its own that takes itself to be on `host`.
    pub(crate) fn worker_process(&self, host: &str) -> Process {
        Process::ready(self.worker_command(host, self.database.url()))
    }

    /// The command of such a worker, which reaches the database at `url`.
    pub(crate) fn worker_command(&self, host: &str, url: &str) -> Command {
        let mut command = testkit::child::command("worker");
        command
            .env("TEST_URL", url)
            .env("TEST_HOST", host)
            .env("TEST_ARTIFACTS", self.artifacts.path());
        command
    }
}

/// A worker in a process of its own, which drains when it is told to end.
pub(crate) fn play_worker() {
    let variable = |name| std::env::var(name).unwrap();
    let (url, host) = (variable("TEST_URL"), variable("TEST_HOST"));
    let mut settings = worker_settings(url, host, variable("TEST_ARTIFACTS"));
    if let Ok(names) = std::env::var("TEST_TYPES") {
        settings.job_types = types_of(&names);
    }
    settings.isolation = Some(isolation());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut told = signal(SignalKind::terminate()).unwrap();
        let worker = Worker::start(settings).await.unwrap();
        eprintln!("ready {}", worker.executor_id());
        let report = worker.run_until(told.recv(), Duration::ZERO).await.unwrap();
        eprintln!("handed back {}", report.handed_back);
    });
}

/// Children that are this test binary in another role.
fn isolation() -> Isolation {
    let child: Command = testkit::child::command("compute");
    let environment = child
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    Isolation {
        program: child.get_program().into(),
        environment: environment.collect(),
        memory_bytes: MEMORY_BYTES,
        ..Isolation::of_this_program(child.get_args().map(|argument| argument.to_str().unwrap())).unwrap()
    }
}

/// The computing process of such a worker.
pub(crate) fn play_child() {
    // The test harness has begun a line of its own.
    println!();
    compute_for_worker(&[
        TaskKind::of::<Spin>(),
        TaskKind::of::<Text>(),
        TaskKind::of::<Renamed>(),
    ])
    .unwrap();
}
