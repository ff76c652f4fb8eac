//! The DBOS client library of Python, as the original's `client.py` uses it, against our worker.
//!
//! `./check` installs it; without it the test fails and says how, since a skipped promise is a broken one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::Process;

use crate::rig::Rig;

/// The library whose schema is the one that abaci makes.
pub(crate) const SAME_AGE: &str = "python-client";

/// A program of an environment that `./check` makes.
pub(crate) fn program(environment: &str, name: &str) -> PathBuf {
    let environments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let program = environments.join(environment).join("bin").join(name);
    assert!(
        program.exists(),
        "{} is missing; ./check installs the Python clients there",
        program.display()
    );
    program
}

impl Rig {
    /// Runs one of the scripts here with the library of an environment, and returns what it printed.
    pub(crate) fn run_python(&self, environment: &str, script: &str) -> Vec<String> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
        let mut command = Command::new(program(environment, "python"));
        command
            .arg(scripts.join(script))
            .env("ABACI_DATABASE_URL", self.database.url());
        let output = Process::spawn(command).finish();
        assert!(output.status.success(), "{output:#?}");
        output.stdout
    }

    /// Lets a client of an environment's library enqueue what our worker does, and what nobody can do.
    pub(crate) fn serve_python(&self, environment: &str) {
        let lines = self.run_python(environment, "python_client.py");
        for text in SAID {
            assert!(lines.iter().any(|line| line == text), "no {text:?} in {lines:?}");
        }
    }
}

/// A client's view of its jobs.
const SAID: [&str; 5] = [
    "F(100) = 354224848179261915075",
    "F(10) = 55 by iterative",
    "PortableWorkflowError InvalidRequest: n is -1, which is not a non-negative integer; give one such as 100",
    "PortableWorkflowError UnreadableInput: the input is a Python pickle, which only Python can read",
    "nonsense is ENQUEUED",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_enqueues_and_reads_results_and_errors() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    rig.serve_python(SAME_AGE);
    worker.drain(Duration::from_secs(5)).await;
}
