//! The DBOS client libraries of Python, as the original's `client.py` uses them, against our worker.
//!
//! `./check` installs them; without them the tests fail and say how, since a skipped promise is a broken one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::Process;

use crate::rig::Rig;

/// The library whose schema is the one that abaci makes.
const SAME_AGE: &str = "python-client";

/// The newest library whose schema was tried.
const NEWER: &str = "python-client-newer";

/// A client's view of its jobs.
const SAID: [&str; 5] = [
    "F(100) = 354224848179261915075",
    "F(10) = 55 by iterative",
    "PortableWorkflowError InvalidRequest: n is -1, which is not a non-negative integer; give one such as 100",
    "PortableWorkflowError UnreadableInput: the input is a Python pickle, which only Python can read",
    "nonsense is ENQUEUED",
];

/// A program of an environment that `./check` makes.
fn program(environment: &str, name: &str) -> PathBuf {
    let environments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let program = environments.join(environment).join("bin").join(name);
    assert!(
        program.exists(),
        "{} is missing; ./check installs the Python clients there",
        program.display()
    );
    program
}

/// Lets a client of an environment's library enqueue what our worker does, and what nobody can do.
async fn serve(rig: &Rig, environment: &str) {
    let worker = rig.worker().await;
    let mut client = Command::new(program(environment, "python"));
    client
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python_client.py"))
        .env("ABACI_DATABASE_URL", rig.database.url());
    let output = Process::spawn(client).finish();
    assert!(output.status.success(), "{output:#?}");
    for text in SAID {
        assert!(
            output.stdout.iter().any(|line| line == text),
            "no {text:?} in {output:#?}"
        );
    }
    worker.drain(Duration::from_secs(5)).await;
}

/// Brings the tables to the schema of the newer library.
fn migrate(rig: &Rig) {
    let mut migrate = Command::new(program(NEWER, "dbos"));
    migrate.args(["migrate", "--sys-db-url", rig.database.url()]);
    let output = Process::spawn(migrate).finish();
    assert!(output.status.success(), "{output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_enqueues_and_reads_results_and_errors() {
    serve(&Rig::new(), SAME_AGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_python_client_is_served_in_its_own_tables() {
    let rig = Rig::new();
    migrate(&rig);
    serve(&rig, NEWER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_of_the_page_of_other_languages_runs() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/other-languages.md");
    let text = fs::read_to_string(page).unwrap();
    let (_, from) = text.split_once("```python\n").unwrap();
    let (code, _) = from.split_once("```").unwrap();
    let rig = Rig::new();
    let worker = rig.worker().await;
    let address = "postgres:///abaci?host=…";
    assert!(code.contains(address), "{code}");
    for environment in [SAME_AGE, NEWER] {
        if environment == NEWER {
            migrate(&rig);
        }
        let mut client = Command::new(program(environment, "python"));
        client.args(["-c", &code.replace(address, rig.database.url())]);
        let output = Process::spawn(client).finish();
        assert_eq!(
            output.stdout,
            ["354224848179261915075"],
            "{environment}: {output:#?}"
        );
    }
    worker.drain(Duration::from_secs(5)).await;
}
