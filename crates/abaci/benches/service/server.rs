//! `abaci serve` or `abaci fleet` as a child process that cannot outlive this one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use testkit::TempDir;

/// The longest wait for a line of the log.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server; dropping it drains it.
pub(crate) struct Server {
    child: Child,
    log: Receiver<(Instant, String)>,
    _home: TempDir,
    /// Where a fleet answers for its health.
    health_address: Option<String>,
    /// Where its page is.
    web_address: Option<String>,
    /// From the start of the process to its being ready.
    pub(crate) start: Duration,
}

impl Server {
    /// Starts `abaci serve` on a database and returns once it is ready.
    pub(crate) fn start(database_url: &str, arguments: &[&str]) -> Self {
        let (mut server, begun) = Self::launch(database_url, "serve", arguments);
        server.start = server.wait_for(&[" ready "]).0 - begun;
        server
    }

    /// Starts `abaci fleet` on a database and returns once all its workers are ready.
    pub(crate) fn fleet(database_url: &str, workers: u32, arguments: &[&str]) -> Self {
        let workers = workers.to_string();
        let usual = [
            "--workers",
            &workers,
            "--health-addr",
            "127.0.0.1:0",
            "--web-addr",
            "none",
        ];
        let all: Vec<&str> = usual.iter().chain(arguments).copied().collect();
        let (mut server, begun) = Self::launch(database_url, "fleet", &all);
        let (_, line) = server.wait_for(&["health process started"]);
        server.health_address = address_in(&line);
        server.start = server.wait_for(&[" fleet ready "]).0 - begun;
        server
    }

    /// Starts `abaci web` on a database and returns once it answers.
    pub(crate) fn web(database_url: &str) -> Self {
        let (mut server, begun) = Self::launch(database_url, "web", &["--web-addr", "127.0.0.1:0"]);
        let (at, line) = server.wait_for(&[" web ", "address="]);
        server.web_address = address_in(&line);
        server.start = at - begun;
        server
    }

    /// Starts the program and returns it with the moment before that.
    fn launch(database_url: &str, command: &str, arguments: &[&str]) -> (Self, Instant) {
        let home = TempDir::new();
        let mut process = Command::new(env!("CARGO_BIN_EXE_abaci"));
        process
            .args([command, "--until-stdin-closes"])
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("ABACI_DATA_DIR", home.path().join("data"))
            .env("ABACI_DATABASE_URL", database_url)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = process.spawn().expect("the program can be started");
        let log = collect(BufReader::new(child.stderr.take().expect("it is a pipe")));
        let server = Self {
            child,
            log,
            _home: home,
            health_address: None,
            web_address: None,
            start: Duration::ZERO,
        };
        (server, begun)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it answers for its health.
    ///
    /// # Panics
    /// When it is no fleet.
    pub(crate) fn health_address(&self) -> &str {
        self.health_address.as_deref().expect("it is a fleet")
    }

    /// Where its page is.
    ///
    /// # Panics
    /// When it is no web process.
    pub(crate) fn web_address(&self) -> &str {
        self.web_address.as_deref().expect("it is a web process")
    }

    /// Waits for the next line of the log that has all of these words, and returns when it came, and the line.
    pub(crate) fn wait_for(&self, words: &[&str]) -> (Instant, String) {
        let mut said = Vec::new();
        loop {
            let Ok((at, line)) = self.log.recv_timeout(PATIENCE) else {
                panic!("{words:?} did not come; the log says {said:#?}");
            };
            if words.iter().all(|word| line.contains(word)) {
                return (at, line);
            }
            said.push(line);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        if thread::panicking() {
            let rest: Vec<String> = self.log.try_iter().map(|(_, line)| line).collect();
            let trouble: Vec<_> = rest.iter().filter(|line| !line.contains(" INFO ")).collect();
            eprintln!("besides its jobs the server said {trouble:#?}");
        }
    }
}

fn address_in(line: &str) -> Option<String> {
    let address = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("address="));
    address.map(|address| address.trim_matches('"').to_owned())
}

/// Reads the log as it comes: a server would wait if nobody did.
fn collect(log: impl BufRead + Send + 'static) -> Receiver<(Instant, String)> {
    let (heard, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            // Nobody reads any more once the server is dropped; it may go on talking.
            let _ = heard.send((Instant::now(), line));
        }
    });
    lines
}
