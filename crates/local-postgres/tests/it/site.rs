//! A data directory of a test, the users of its server, and what must be gone at the end.

use std::env;
use std::fs;
use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use local_postgres::{Force, KeeperSettings, Lease, Programs, Running, Settings, Status};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Process, TempDir, child, eventually};

const DATA_DIR: &str = "TEST_DATA_DIR";
const LINGER_MS: &str = "TEST_LINGER_MS";

/// Long enough that no test sees its end; tests of the end choose a shorter one.
const LINGER: Duration = Duration::from_secs(100);

/// A data directory; its server is stopped, and its processes must be gone, when the value goes.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) data_dir: PathBuf,
    linger: Duration,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::lingering(LINGER)
    }

    pub(crate) fn lingering(linger: Duration) -> Self {
        let dir = TempDir::new();
        let data_dir = dir.path().join("data");
        Self {
            dir,
            data_dir,
            linger,
        }
    }

    /// Chooses another data directory in the temporary one.
    pub(crate) fn at(mut self, data_dir: impl AsRef<Path>) -> Self {
        self.data_dir = self.dir.path().join(data_dir);
        self
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&self.data_dir, self.linger)
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease::acquire(&self.settings()).unwrap_or_else(|error| panic!("no lease: {error}"))
    }

    pub(crate) fn joined(&self) -> Lease {
        Lease::join(&self.settings()).unwrap_or_else(|error| panic!("no joined lease: {error}"))
    }

    pub(crate) fn user_command(&self) -> Command {
        user_command(&self.data_dir, self.linger)
    }

    /// Starts a user process without waiting for it.
    pub(crate) fn start_user(&self) -> Process {
        Process::spawn(self.user_command())
    }

    /// Starts a user process that has its lease.
    pub(crate) fn user(&self) -> Process {
        let user = self.start_user();
        user.wait_for_line("ready");
        user
    }

    pub(crate) fn status(&self) -> Status {
        local_postgres::status(&self.data_dir).unwrap()
    }

    #[track_caller]
    pub(crate) fn running(&self) -> Running {
        match self.status() {
            Status::Running(running) => running,
            other => panic!("expected a running server, found {other:?}"),
        }
    }

    /// Waits for a keeper whose server runs, and returns the keeper's pid.
    pub(crate) fn keeper_pid(&self) -> u32 {
        eventually("a keeper", || match self.status() {
            Status::Running(Running {
                keeper_pid: Some(pid),
                ..
            }) => Ok(pid),
            other => Err(other),
        })
    }

    pub(crate) fn psql(&self, statements: &str) -> String {
        let lease = self.lease();
        psql(&url(&lease), statements)
    }

    /// Waits until no process of this server is left.
    pub(crate) fn wait_until_nothing_runs(&self) {
        eventually("the end of every process of the server", || {
            let left = self.processes();
            if left.is_empty() {
                Ok(())
            } else {
                Err((left, self.log()))
            }
        });
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data_dir.join("server.log")).unwrap_or_default()
    }

    /// Lists the server, its keeper and their children, with their command lines: all that name the directory in
    /// their arguments or their environment and are not this test or a user of it.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let dir = self.dir.path().to_str().unwrap().to_owned() + "/";
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: u32| {
            let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let (arguments, environment) = (read("cmdline"), read("environ"));
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let is_keeper = environment.contains("ABACI_TESTKIT_ROLE=keeper") && environment.contains(&dir);
            (arguments.contains(&dir) || is_keeper).then_some((pid, arguments))
        })
        .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = local_postgres::stop(&self.data_dir, Force::Yes) {
            eprintln!("cannot stop the server of {}: {error}", self.data_dir.display());
        }
        // A failed test has said enough.
        if !std::thread::panicking() {
            self.wait_until_nothing_runs();
        }
    }
}

/// The command of a user process: it takes a lease, says `ready` on standard error and obeys its standard input.
pub(crate) fn user_command(data_dir: &Path, linger: Duration) -> Command {
    let mut command = child::command("user");
    command
        .env(DATA_DIR, data_dir)
        .env(LINGER_MS, linger.as_millis().to_string());
    command
}

pub(crate) fn settings(data_dir: &Path, linger: Duration) -> Settings {
    let keeper = KeeperSettings {
        data_dir: data_dir.to_path_buf(),
        bin_dir: None,
        linger,
    };
    Settings::new(data_dir, child::keeper(&keeper))
}

pub(crate) fn url(lease: &Lease) -> String {
    lease.url("postgres")
}

/// Runs statements and returns the rows; panics with psql's words.
#[track_caller]
pub(crate) fn psql(url: &str, statements: &str) -> String {
    let mut command = psql_command(url);
    let output = command.args(["-c", statements]).output().unwrap();
    assert!(
        output.status.success(),
        "psql: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub(crate) fn psql_command(url: &str) -> Command {
    let mut command = Programs::find(None).unwrap().command("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
    command
}

/// Kills any process with SIGKILL; one that has just ended is no error.
pub(crate) fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
}

/// The uid under which a process runs.
pub(crate) fn uid_of(pid: u32) -> u32 {
    fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

/// Says whether this test runs as root, which PostgreSQL refuses.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The role of a user: reads commands, one a line, until its input ends.
pub(crate) fn play_user() {
    let data_dir = PathBuf::from(env::var_os(DATA_DIR).unwrap());
    let linger = Duration::from_millis(env::var(LINGER_MS).unwrap().parse().unwrap());
    let mut lease = match Lease::acquire(&settings(&data_dir, linger)) {
        Ok(lease) => Some(lease),
        Err(error) => {
            eprintln!("refused: {error}");
            std::process::exit(3);
        }
    };
    eprintln!("ready {}", lease.as_ref().map(url).unwrap());
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "ensure" => {
                lease.as_ref().unwrap().ensure_running().unwrap();
                eprintln!("ensured");
            }
            "release" => {
                lease = None;
                eprintln!("released");
            }
            other => panic!("unknown command {other:?}"),
        }
    }
}
