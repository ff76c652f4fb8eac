//! `abaci serve` as a child process that cannot outlive this one.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use abaci_testkit::TempDir;

/// A running server; dropping it drains it.
pub(crate) struct Server {
    child: Child,
    log: Option<JoinHandle<String>>,
    _home: TempDir,
    /// From the start of the process to its line `ready`.
    pub(crate) start: Duration,
}

impl Server {
    /// Starts a server on a database and returns once it is ready.
    pub(crate) fn start(database_url: &str, arguments: &[&str]) -> Self {
        let home = TempDir::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_abaci"));
        command
            .args(["serve", "--until-stdin-closes"])
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("ABACI_DATA_DIR", home.path().join("data"))
            .env("ABACI_DATABASE_URL", database_url)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().expect("the program can be started");
        let mut log = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let start = wait_until_ready(&mut log, begun);
        // It would wait if nobody read.
        let log = thread::spawn(move || {
            let mut rest = String::new();
            let _ = log.read_to_string(&mut rest);
            rest
        });
        Self {
            child,
            log: Some(log),
            _home: home,
            start,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        if let Some(Ok(log)) = self.log.take().map(JoinHandle::join)
            && thread::panicking()
        {
            let trouble: Vec<&str> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
            eprintln!("besides its jobs the server said {trouble:#?}");
        }
    }
}

fn wait_until_ready(log: &mut impl BufRead, begun: Instant) -> Duration {
    let mut said = String::new();
    loop {
        let before = said.len();
        let count = log.read_line(&mut said).expect("the log is text");
        assert!(count > 0, "the server ended before it was ready: {said}");
        if said[before..].contains(" ready ") {
            return begun.elapsed();
        }
    }
}
