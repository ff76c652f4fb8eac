//! What the tests share: the program in an environment of its own, with a database of its own.

use std::ffi::OsStr;
use std::process::Command;

use serde_json::Value;
use testkit::{Output, Process, TempDir, TestDatabase};

/// The program in an environment of its own.
pub(crate) trait Program: Sync {
    /// The program with these arguments.
    fn command(&self, arguments: &[&str]) -> Command;
}

/// A home and a data directory for the program, whose database is its private one.
impl Program for TempDir {
    fn command(&self, arguments: &[&str]) -> Command {
        bare(self, arguments)
    }
}

impl Program for Rig {
    fn command(&self, arguments: &[&str]) -> Command {
        self.abaci(arguments)
    }
}

/// A home, a data directory and a database for the program.
pub(crate) struct Rig {
    pub(crate) directory: TempDir,
    pub(crate) database: TestDatabase,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::new(),
            database: TestDatabase::create(),
        }
    }

    /// The program with these arguments, on this rig's database.
    pub(crate) fn abaci<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = bare(&self.directory, arguments);
        command.env("ABACI_DATABASE_URL", self.database.url());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        run(self.abaci(arguments))
    }

    /// Starts a server and returns once it takes jobs.
    pub(crate) fn server(&self, arguments: &[&str]) -> Process {
        let all = ["serve", "--poll-interval", "5ms"].iter().chain(arguments);
        Process::ready(self.abaci(all))
    }

    /// Submits jobs without waiting and returns their ids.
    pub(crate) fn submit(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.run(["submit", "--detach"].iter().chain(arguments));
        assert_eq!(code(&output), 0, "{output:#?}");
        output.stdout
    }
}

/// The program with nothing in its environment but a home, a data directory and a search path.
pub(crate) fn bare<A: AsRef<OsStr>>(home: &TempDir, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_abaci"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .env("ABACI_DATA_DIR", home.path().join("data"))
        // Fleets of many tests run at once; those about the page name an address.
        .env("ABACI_WEB_ADDR", "none");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Output {
    Process::spawn(command).finish()
}

/// The exit code; a signal counts as none of them.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Each line of stdout as JSON.
pub(crate) fn objects(output: &Output) -> Vec<Value> {
    output
        .stdout
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asserts that the program refused with one line on stderr that has all of `words`, and nothing on stdout.
#[track_caller]
pub(crate) fn assert_refused(output: &Output, exit: i32, words: &[&str]) {
    assert_eq!(code(output), exit, "{output:#?}");
    assert!(output.stdout.is_empty(), "a refusal printed data: {output:#?}");
    let [line] = output.stderr.as_slice() else {
        panic!("not one line: {output:#?}")
    };
    assert!(line.starts_with("abaci: "), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}
