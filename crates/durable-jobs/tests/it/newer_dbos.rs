//! A newer DBOS beside us: its library takes the tables to a schema that this program's engine does not know.
//!
//! `./check` installs the library; without it the tests fail and say how, since a skipped promise is a broken one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use durable_jobs::JobFilter;
use durable_jobs::artifact::ArtifactPlace;
use durable_jobs::client::{CancelOutcome, GcMode, GcOptions, ResumeOptions, ResumeOutcome};
use durable_jobs::record::Details;
use durable_jobs::{JobId, JobType, State};
use testkit::{Process, eventually};

use crate::rig::{DEADLINE, Rig, done, echo, keeping, outcome};
use crate::types::Echoes;

/// A client's view of its jobs.
const SAID: [&str; 4] = [
    "echo of 100",
    "PortableWorkflowError InvalidRequest: the number is 2000000, over the limit of 1000000",
    "PortableWorkflowError UnreadableInput: the input is a Python pickle, which only Python can read",
    "nonsense is ENQUEUED",
];

/// A program of the newest library whose schema was tried.
fn program(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let program = target.join("python-client-newer/bin").join(name);
    assert!(
        program.exists(),
        "{} is missing; ./check installs the Python clients there",
        program.display()
    );
    program
}

impl Rig {
    /// Lets the newer library bring the engine's tables to its own schema.
    fn migrate_newer(&self) {
        let mut migrate = Command::new(program("dbos"));
        migrate.args(["migrate", "--sys-db-url", self.database.url()]);
        let output = Process::spawn(migrate).finish();
        assert!(output.status.success(), "{output:#?}");
    }

    /// Runs one of the scripts here with the newer library, and returns what it printed.
    fn run_python(&self, script: &str) -> Vec<String> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
        let mut command = Command::new(program("python"));
        command
            .arg(scripts.join(script))
            .env("ABACI_DATABASE_URL", self.database.url());
        let output = Process::spawn(command).finish();
        assert!(output.status.success(), "{output:#?}");
        output.stdout
    }

    fn schema_version(&self) -> String {
        let version = self.database.psql("select version from dbos.dbos_migrations");
        version.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_on_when_a_newer_dbos_takes_the_tables_over() {
    let rig = Rig::new();
    let (worker, before) = (rig.worker().await, rig.client().await);
    let old = before.submit_job(echo(100)).await.unwrap();
    done(outcome(&before, &old).await);
    rig.migrate_newer();
    assert_eq!(rig.schema_version(), "125");

    // Those that were running then, and those that come after.
    let client = rig.client().await;
    for client in [&before, &client] {
        let id = client.submit_job(keeping(1)).await.unwrap();
        outcome(client, &id).await.result.unwrap();
    }
    assert_eq!(rig.run_python("enqueueing_client.py"), SAID);
    worker.drain(Duration::ZERO).await;
    let worker = rig.worker().await;
    rig.enqueue_claimed("orphan", Echoes::WORKFLOW, "elsewhere/0");
    outcome(&client, &JobId::new("orphan")).await.result.unwrap();
    worker.drain(Duration::ZERO).await;

    let waiting = client.submit_job(echo(7)).await.unwrap();
    assert_eq!(client.cancel(&waiting).await.unwrap(), CancelOutcome::Cancelled);
    let resumed = client.resume(&waiting, ResumeOptions::default()).await.unwrap();
    assert_eq!(resumed, ResumeOutcome::Resumed);
    let worker = rig.worker().await;
    outcome(&client, &waiting).await.result.unwrap();
    assert_eq!(rig.schema_version(), "125");
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_newer_dbos_made_gets_our_tables_only() {
    let rig = Rig::new();
    rig.migrate_newer();
    // The one of ours goes by our name.
    let indexes = "select string_agg(indexname, ' ' order by indexname) from pg_indexes \
        where schemaname = 'dbos' and not starts_with(indexname, 'abaci_')";
    let before = rig.database.psql(indexes);
    let (client, worker) = (rig.client().await, rig.worker().await);
    assert_eq!(rig.run_python("enqueueing_client.py"), SAID);
    assert_eq!(
        (rig.schema_version().as_str(), rig.database.psql(indexes)),
        ("125", before)
    );

    // What the newer client enqueued is shown with what it asks for, and goes with all that was its own.
    let jobs = client.list(&JobFilter::default()).await.unwrap();
    let number = Details::default().with("number", 100);
    let asked = jobs
        .iter()
        .find(|job| job.details == number)
        .expect("its input is not seen");
    let shown = client.show(&asked.workflow_id).await.unwrap();
    assert_eq!((shown.job.state, shown.job.details), (State::Succeeded, number));
    worker.drain(Duration::ZERO).await;
    let options = GcOptions {
        keep_jobs: Some(Duration::ZERO),
        ..GcOptions::new(GcMode::Delete)
    };
    let place = ArtifactPlace::directory(rig.artifacts.path());
    client.collect_garbage(&place, options).await.unwrap();
    // The one of a workflow that is not ours is not ours to delete.
    for (table, left) in [
        ("dbos.workflow_status", 1),
        ("dbos.operation_outputs", 0),
        ("dbos.workflow_input", 1),
    ] {
        assert_eq!(rig.count(table), left, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_newer_client_resumes_or_forks_has_its_input() {
    let rig = Rig::new();
    rig.migrate_newer();
    rig.client().await.close().await;
    let newer = std::thread::scope(|scope| {
        let script = scope.spawn(|| rig.run_python("resuming_client.py"));
        let moved = "select count(*) = 2 from dbos.workflow_status where queue_name = 'default' and status = 'ENQUEUED' \
                     and (was_forked_from or forked_from is not null)";
        eventually("two jobs on their own queue", || {
            rig.database.psql(moved).trim() == "t"
        });
        let runtime = tokio::runtime::Handle::current();
        let worker = tokio::task::block_in_place(|| runtime.block_on(rig.worker()));
        let lines = script.join().unwrap();
        tokio::task::block_in_place(|| runtime.block_on(worker.drain(DEADLINE)));
        lines
    });
    assert_eq!(newer, ["echo of 30", "echo of 30"]);
}
