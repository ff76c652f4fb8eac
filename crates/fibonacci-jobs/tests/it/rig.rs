//! The start of every test here: a database, a directory, workers and a client on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use durable_jobs::artifact::{self, BucketAccess};
use durable_jobs::client::{ClientSettings, Outcome, WaitEvent};
use durable_jobs::record::{ArtifactRecord, Details};
use durable_jobs::worker::WorkerSettings;
use durable_jobs::{Client, Error, Failure, JobId, State, Worker};
use fibonacci_jobs::{Algorithm, DEFAULT_QUEUE, JobResult, Limits, client_types, server_types};
use testkit::{Process, TempDir, TestDatabase};

/// Longer than anything takes here; a test that reaches it found a job that hangs.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

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
        let mut settings = worker_settings(self.database.url(), "test-host", self.artifacts.path());
        settings.poll_interval = Duration::from_millis(5);
        settings
    }

    /// The content of the place of the database's artifacts.
    pub(crate) fn artifact_files(&self) -> Vec<PathBuf> {
        let entries = |path: &Path| {
            std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
        };
        let places = entries(self.artifacts.path());
        places
            .flat_map(|place| entries(&place).collect::<Vec<_>>())
            .collect()
    }

    pub(crate) async fn worker(&self) -> Worker {
        Worker::start(self.settings()).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(client_settings(self.database.url()))
            .await
            .unwrap()
    }

    /// Writes a row into the queue as a foreign client would.
    pub(crate) fn enqueue_foreign(&self, id: &str, name: &str, input: &str) {
        let (name, input) = (format!("'{name}'"), format!("'{input}'"));
        self.insert(id, &[("name", &name), ("inputs", &input)]);
    }

    /// Writes a row that asks for F(10), but for the columns given, as SQL expressions.
    pub(crate) fn insert(&self, id: &str, columns: &[(&str, &str)]) {
        let id = format!("'{id}'");
        let usual = [
            ("workflow_uuid", &*id),
            ("status", "'ENQUEUED'"),
            ("name", "'fibonacci_workflow'"),
            ("inputs", "'10'"),
            ("serialization", "'portable_json'"),
            ("queue_name", "'fibonacci'"),
            ("application_version", "'abaci-1'"),
            ("created_at", "extract(epoch from now()) * 1000"),
            ("updated_at", "0"),
            ("priority", "0"),
            ("recovery_attempts", "0"),
        ];
        self.database.insert("dbos.workflow_status", &usual, columns);
    }
}

/// Settings of a worker of Fibonacci jobs.
pub(crate) fn worker_settings(
    url: impl Into<String>,
    host: impl Into<String>,
    artifacts: impl Into<PathBuf>,
) -> WorkerSettings {
    let types = server_types(Limits::default(), false);
    WorkerSettings {
        queue: DEFAULT_QUEUE.to_owned(),
        ..WorkerSettings::new(url, host, artifacts, types)
    }
}

/// Settings of a client of Fibonacci jobs.
pub(crate) fn client_settings(url: impl Into<String>) -> ClientSettings {
    ClientSettings {
        queue: DEFAULT_QUEUE.to_owned(),
        ..ClientSettings::new(url, client_types(Limits::default()))
    }
}

/// The index that a job asks for.
pub(crate) fn n_of(details: &Details) -> Option<u64> {
    details.get("n")?.as_u64()
}

/// The algorithm that a job asks for.
pub(crate) fn algorithm_of(details: &Details) -> Option<Algorithm> {
    details.get("algorithm")?.as_str()?.parse().ok()
}

/// The end of a job, with its value read.
#[derive(Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) id: JobId,
    pub(crate) state: State,
    pub(crate) result: Result<Box<JobResult>, Failure>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self {
            id: outcome.id,
            state: outcome.state,
            result: outcome.result.and_then(|output| output.read()),
        }
    }
}

/// A worker in a process of its own, which lasts until it is killed.
pub(crate) fn play_worker() {
    let variable = |name| std::env::var(name).unwrap();
    let settings = worker_settings(
        variable("TEST_URL"),
        variable("TEST_HOST"),
        variable("TEST_ARTIFACTS"),
    );
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let worker = Worker::start(settings).await.unwrap();
        eprintln!("ready {}", worker.executor_id());
        eprintln!("lost {}", worker.lost().await);
    });
}

impl Rig {
    /// Starts a worker in a process of its own that takes itself to be on `host`.
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

/// The outcomes of all of `ids`, in the order in which they ended.
pub(crate) async fn outcomes(client: &Client, ids: impl IntoIterator<Item = JobId>) -> Vec<Ended> {
    let mut waiter = client.wait(ids);
    let mut outcomes = Vec::new();
    let collect = async {
        while let Some(event) = waiter.next().await {
            match event {
                WaitEvent::Finished(outcome) => outcomes.push(outcome.into()),
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
pub(crate) async fn outcome(client: &Client, id: &JobId) -> Ended {
    outcomes(client, [id.clone()]).await.remove(0)
}

/// The digits of an artifact, if they are what was stored.
pub(crate) fn digits_of(record: &ArtifactRecord) -> Result<String, Error> {
    let mut bytes = Vec::new();
    artifact::read(record, &BucketAccess::default(), |piece| {
        bytes.extend_from_slice(piece);
    })?;
    Ok(String::from_utf8(bytes).unwrap())
}
