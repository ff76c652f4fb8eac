//! The job types of these tests, and workers of them in processes of their own.

use std::process::Command;
use std::time::{Duration, Instant};

use durable_jobs::client::{ClientSettings, NewJob, SubmitOptions};
use durable_jobs::compute::{Task, TaskRun};
use durable_jobs::process::{Isolation, TaskKind, compute_for_worker};
use durable_jobs::worker::WorkerSettings;
use durable_jobs::{Client, Failure, JobContext, JobId, JobType, JobTypes, Worker};
use serde::{Deserialize, Serialize};
use testkit::{Database, Process, TempDir};
use tokio::signal::unix::{SignalKind, signal};

/// The memory of a computing process.
const MEMORY_BYTES: u64 = 64 << 20;

/// Keeps a processor busy in so many steps.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Busy {
    pub(crate) steps: u32,
    pub(crate) step: Spin,
}

/// Needs so much memory and so much time.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spin {
    pub(crate) bytes: usize,
    pub(crate) ms: u64,
}

/// Returns the processes that computed its steps.
pub(crate) struct Spins;

impl JobType for Spins {
    const WORKFLOW: &'static str = "test_spins";
    type Input = Busy;
    type Output = Vec<u32>;

    fn admit(&self, busy: &Busy, _: Option<u64>) -> Result<(), Failure> {
        match busy.steps {
            0 => Err(Failure::invalid_request("steps is 0; give one at least")),
            _ => Ok(()),
        }
    }

    async fn run(&self, job: &JobContext, busy: Busy) -> Result<Vec<u32>, Failure> {
        let mut pids = Vec::new();
        for _ in 0..busy.steps {
            pids.push(job.step("spin", || job.compute(busy.step)).await?);
        }
        Ok(pids)
    }
}

impl Task for Spin {
    const NAME: &'static str = "spin";
    type Output = u32;

    fn run(&self, run: &TaskRun<'_, u32>) -> Result<u32, Failure> {
        let began = Instant::now();
        let memory = std::hint::black_box(vec![1_u8; self.bytes]);
        while began.elapsed() < Duration::from_millis(self.ms) {
            run.progress(began.elapsed().as_millis().try_into().unwrap(), self.ms)?;
        }
        drop(memory);
        Ok(std::process::id())
    }
}

/// Greets somebody.
pub(crate) struct Greets;

impl JobType for Greets {
    const WORKFLOW: &'static str = "test_greets";
    type Input = String;
    type Output = String;

    async fn run(&self, job: &JobContext, name: String) -> Result<String, Failure> {
        job.step("greet", || async { Ok(format!("hello {name}")) }).await
    }
}

/// Takes its worker with it in every start.
pub(crate) struct Kills;

impl JobType for Kills {
    const WORKFLOW: &'static str = "test_kills";
    type Input = ();
    type Output = ();

    async fn run(&self, job: &JobContext, (): ()) -> Result<(), Failure> {
        job.step("kill", || async { std::process::abort() }).await
    }
}

/// Returns so many characters from its computing process, which knows no other task.
pub(crate) struct Returns;

impl JobType for Returns {
    const WORKFLOW: &'static str = "test_returns";
    type Input = usize;
    type Output = String;

    async fn run(&self, job: &JobContext, characters: usize) -> Result<String, Failure> {
        match characters {
            0 => job.step("return", || job.compute(Unlisted)).await,
            characters => job.step("return", || job.compute(Text(characters))).await,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Text(usize);

impl Task for Text {
    const NAME: &'static str = "text";
    type Output = String;

    fn run(&self, run: &TaskRun<'_, String>) -> Result<String, Failure> {
        run.send("this is not the last one".to_owned());
        Ok("x".repeat(self.0))
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Unlisted;

impl Task for Unlisted {
    const NAME: &'static str = "unlisted";
    type Output = String;

    fn run(&self, _: &TaskRun<'_, String>) -> Result<String, Failure> {
        Ok(String::new())
    }
}

/// The types whose workflows are named.
fn types_of(names: &str) -> JobTypes {
    names
        .split(',')
        .fold(JobTypes::new("test-1"), |types, name| match name {
            Spins::WORKFLOW => types.with(Spins),
            Greets::WORKFLOW => types.with(Greets),
            Kills::WORKFLOW => types.with(Kills),
            Returns::WORKFLOW => types.with(Returns),
            name => panic!("there is no type {name}"),
        })
}

fn all_types() -> JobTypes {
    JobTypes::new("test-1")
        .with(Spins)
        .with(Greets)
        .with(Kills)
        .with(Returns)
}

pub(crate) struct Rig {
    pub(crate) database: Database,
    artifacts: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            database: Database::create(),
            artifacts: TempDir::new(),
        }
    }

    /// Starts a worker of these workflows in a process of its own, and returns once it takes jobs.
    pub(crate) fn worker(&self, workflows: &[&str]) -> Process {
        let mut command = testkit::child::command("worker");
        command
            .env("TEST_URL", self.database.url())
            .env("TEST_ARTIFACTS", self.artifacts.path())
            .env("TEST_TYPES", workflows.join(","));
        let process = Process::spawn(command);
        process.wait_for_line("ready");
        process
    }

    /// A client that knows all types.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(ClientSettings::new(self.database.url(), all_types()))
            .await
            .unwrap()
    }

    /// Counts the recorded steps of all jobs.
    pub(crate) fn recorded_steps(&self) -> usize {
        let count = self.database.psql("select count(*) from dbos.operation_outputs");
        count.trim().parse().unwrap()
    }

    /// Writes a row into the queue as a foreign client would.
    pub(crate) fn enqueue_foreign(&self, id: &str, workflow: &str, input: &str) {
        self.database.psql(&format!(
            "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
             application_version, created_at, updated_at, priority, recovery_attempts) \
             values ('{id}', 'ENQUEUED', '{workflow}', '{input}', 'portable_json', 'default', 'test-1', \
             extract(epoch from now()) * 1000, 0, 0, 0)"
        ));
    }
}

/// Submits a job that is busy in so many steps.
pub(crate) async fn submit_busy(client: &Client, steps: u32, step: Spin) -> JobId {
    let job = NewJob::of::<Spins>(JobId::fresh(), &Busy { steps, step }).unwrap();
    let id = job.id.clone();
    client.submit_all(&[job], SubmitOptions::default()).await.unwrap();
    id
}

/// A worker in a process of its own, which drains when it is told to end.
pub(crate) fn play_worker() {
    let variable = |name| std::env::var(name).unwrap();
    let mut settings = WorkerSettings::new(
        variable("TEST_URL"),
        "test-host",
        variable("TEST_ARTIFACTS"),
        types_of(&variable("TEST_TYPES")),
    );
    settings.poll_interval = Duration::from_millis(5);
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
    compute_for_worker(&[TaskKind::of::<Spin>(), TaskKind::of::<Text>()]).unwrap();
}
