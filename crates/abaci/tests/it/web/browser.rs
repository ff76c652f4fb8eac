//! Scenarios in a real Chromium: programs of `browser/`, run by Node.js with the packages in `target/browser`.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{Deadline, Process, TempDir};

use crate::rig::code;

/// Longer than the deadline of a scenario itself, which ends with all that it saw.
const LONGEST: Duration = Duration::from_mins(3);

/// A running scenario.
pub(super) struct Scenario {
    process: Process,
    /// The home of the browser, with its profile.
    _home: TempDir,
}

impl Scenario {
    /// Starts a scenario with these variables in its environment.
    pub(super) fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let home = TempDir::new();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/web/browser");
        let mut command = Command::new("node");
        command
            .arg(here.join(format!("{name}.mjs")))
            .env_clear()
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .envs(["PATH", "ABACI_CHROMIUM"].into_iter().filter_map(from_outside))
            .envs(variables.iter().copied());
        Self {
            process: Process::spawn(command).with_deadline(Deadline::after(LONGEST)),
            _home: home,
        }
    }

    /// Waits until the scenario asks this.
    #[track_caller]
    pub(super) fn asks(&self, question: &str) {
        self.process.wait_for_line(&format!("? {question}"));
    }

    /// Answers the question that the scenario asked.
    #[track_caller]
    pub(super) fn answer(&mut self, answer: &str) {
        self.process.write_line(answer);
    }

    /// Waits for the end of the scenario.
    ///
    /// # Panics
    /// When it failed, with what it saw.
    #[track_caller]
    pub(super) fn passes(self) {
        let output = self.process.finish();
        assert_eq!(code(&output), 0, "{}", output.stderr.join("\n"));
    }
}

fn from_outside(name: &'static str) -> Option<(&'static str, OsString)> {
    Some((name, std::env::var_os(name)?))
}
