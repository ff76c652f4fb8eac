//! The DBOS client library of Python, as the original's `client.py` uses it, against our worker.
//!
//! `./check` installs it; without it the test fails and says how, since a skipped promise is a broken one.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use abaci_testkit::Process;

use crate::rig::Rig;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python_client.py");

/// The interpreter of the environment that `./check` makes, unless another is named.
fn python() -> PathBuf {
    let made = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/python-client/bin/python"
    );
    let python = std::env::var_os("ABACI_TEST_PYTHON").map_or_else(|| PathBuf::from(made), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing; ./check installs the Python client there",
        python.display()
    );
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_enqueues_and_reads_results_and_errors() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    let mut command = Command::new(python());
    command.arg(SCRIPT).env("ABACI_DATABASE_URL", rig.database.url());
    let output = Process::spawn(command).finish();
    assert!(
        output.status.success(),
        "{}\n{}",
        output.stdout.join("\n"),
        output.stderr.join("\n")
    );
    let said = |text: &str| {
        assert!(
            output.stdout.iter().any(|line| line == text),
            "no {text:?} in {:?}",
            output.stdout
        );
    };
    said("F(100) = 354224848179261915075");
    said("F(10) = 55 by iterative");
    said(
        "PortableWorkflowError InvalidRequest: n is -1, which is not a non-negative integer; give one such as 100",
    );
    said("PortableWorkflowError UnreadableInput: the input is a Python pickle, which only Python can read");
    said("PortableWorkflowError UnknownWorkflow: workflow \"nonsense\" does not exist here");
    worker.drain(Duration::from_secs(5)).await;
}
