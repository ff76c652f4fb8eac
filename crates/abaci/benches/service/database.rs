//! A quiet PostgreSQL, a client in this process, and a client of another kind.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use durable_jobs::client::{ClientSettings, SubmitOptions, WaitEvent};
use durable_jobs::{Client, JobId};
use fibonacci_jobs::{Algorithm, DEFAULT_QUEUE, Request, VERSION};
use local_postgres::Programs;
use testkit::PrivateServer;
use tokio::runtime::Runtime;

const NAME: &str = "bench";

/// A PostgreSQL of our own with one database; it ends with the value.
pub(crate) struct Database {
    postgres: PrivateServer,
    pub(crate) url: String,
}

impl Database {
    /// Starts it; commits wait for the disk, as they must for a promise to be durable.
    pub(crate) fn start() -> Self {
        let postgres = PrivateServer::on_disk();
        let url = postgres.create_database(NAME);
        let settings = postgres.psql(NAME, "show fsync; show synchronous_commit");
        assert_eq!(settings, "on\non", "commits do not wait for the disk");
        Self { postgres, url }
    }

    /// Makes the database anew, without any table.
    pub(crate) fn clear(&self) {
        self.postgres
            .psql("postgres", &format!("drop database {NAME} with (force)"));
        self.postgres.create_database(NAME);
    }

    /// The processes that PostgreSQL runs for its clients.
    pub(crate) fn backends(&self) -> Vec<u32> {
        let rows = self.postgres.psql(
            NAME,
            "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
        );
        rows.lines()
            .map(|pid| pid.parse().expect("it is a process id"))
            .collect()
    }

    /// Runs statements.
    pub(crate) fn run(&self, statements: &str) {
        self.postgres.psql(NAME, statements);
    }

    /// Asks for one number.
    pub(crate) fn number(&self, select: &str) -> f64 {
        let answer = self.postgres.psql(NAME, select);
        answer.trim().parse().expect("it is a number")
    }

    /// Connects a client of ours and returns it with the runtime that it lives in.
    pub(crate) fn client(&self) -> (Runtime, Client) {
        let runtime = Runtime::new().expect("threads can be started");
        let client = runtime
            .block_on(Client::connect(ClientSettings {
                queue: fibonacci_jobs::DEFAULT_QUEUE.to_owned(),
                ..ClientSettings::new(
                    &self.url,
                    fibonacci_jobs::client_types(fibonacci_jobs::Limits::default()),
                )
            }))
            .expect("the database answers");
        (runtime, client)
    }
}

/// Waits until every job succeeded.
///
/// # Panics
/// When one did not.
pub(crate) async fn all_succeed(client: &Client, ids: Vec<JobId>) {
    let mut waiter = client.wait(ids);
    while let Some(event) = waiter.next().await {
        match event {
            WaitEvent::Finished(outcome) => drop(outcome.result.expect("small jobs succeed")),
            WaitEvent::Progress { .. } => {}
            trouble => panic!("{trouble:?}; workers: {:?}", client.workers().await),
        }
    }
}

/// Seconds for some indices by the naive recursion, from before their submission until the last result.
pub(crate) fn recursive_jobs(database: &Database, indices: impl IntoIterator<Item = u64>) -> f64 {
    let (runtime, client) = database.client();
    let jobs: Vec<_> = indices
        .into_iter()
        .map(|n| (JobId::fresh(), Request::with(n, Algorithm::Recursive)))
        .collect();
    let ids = jobs.iter().map(|(id, _)| id.clone()).collect();
    let wall = timed(|| {
        runtime.block_on(async {
            let submitted = client
                .submit_all(&fibonacci_jobs::new_jobs(&jobs), SubmitOptions::default())
                .await;
            submitted.expect("the database answers");
            all_succeed(&client, ids).await;
        });
    });
    wall.as_secs_f64()
}

/// A client that writes rows by SQL over one connection and announces nothing, as those of other languages do.
pub(crate) struct ForeignClient {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl ForeignClient {
    pub(crate) fn connect(database: &Database) -> Self {
        let programs = Programs::find(None).expect("PostgreSQL's programs are here");
        let mut psql = programs
            .command("psql")
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &database.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql can be started");
        let input = psql.stdin.take().expect("it is a pipe");
        let output = BufReader::new(psql.stdout.take().expect("it is a pipe"));
        Self { psql, input, output }
    }

    /// Enqueues F(30) and returns once that is committed.
    pub(crate) fn submit(&mut self) -> JobId {
        let id = JobId::fresh();
        writeln!(
            self.input,
            "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
             application_version, created_at, updated_at, priority, recovery_attempts) \
             values ('{id}', 'ENQUEUED', 'fibonacci_workflow', '30', 'portable_json', '{DEFAULT_QUEUE}', \
             '{VERSION}', extract(epoch from now()) * 1000, extract(epoch from now()) * 1000, 0, 0) \
             returning workflow_uuid;"
        )
        .expect("psql reads");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("psql writes text");
        assert_eq!(answer.trim_end(), id.as_str(), "the row was not written");
        id
    }
}

impl Drop for ForeignClient {
    fn drop(&mut self) {
        // It has nothing left to say.
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

/// Runs something and says how long it took.
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
