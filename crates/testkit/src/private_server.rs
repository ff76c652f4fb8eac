//! A server of the test's own, which nobody restarts: for tests that take the database away.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use local_postgres::Account;
use rustix::process::{Pid, Signal, kill_process};

use crate::psql::{self, PROGRAMS};
use crate::temp_dir::TempDir;
use crate::wait::{Deadline, eventually};

/// Ends the server and removes its directory when the test process is gone, which is when its input ends.
const WATCHDOG: &str = r#"
    read -r end
    kill -QUIT "$1"
    while kill -0 "$1"; do sleep 0.1; done
    rm -rf "$2"
"#;

/// A running server in a temporary directory, without a keeper; it ends with the value.
#[derive(Debug)]
pub struct PrivateServer {
    // Before the directory, which is removed after the server has ended.
    running: Option<RunningServer>,
    // Before the directory, too: one that is mounted on cannot be removed.
    small_disk: Option<SmallDisk>,
    account: Account,
    dir: TempDir,
}

#[derive(Debug)]
struct RunningServer {
    server: Child,
    watchdog: Child,
}

impl RunningServer {
    /// Ends the watchdog of a server that has ended: at our end it would signal a pid that is nobody's by now.
    fn end_watch(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

impl PrivateServer {
    /// Makes a cluster and starts its server; about 1 s.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "starting a server is no default value")]
    pub fn new() -> Self {
        Self::empty(TempDir::for_cluster()).with_cluster()
    }

    /// Does the same where commits wait for a disk: for measurements.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn on_disk() -> Self {
        Self::empty(TempDir::new()).with_cluster()
    }

    fn with_cluster(self) -> Self {
        let mut initdb = PROGRAMS.command("initdb");
        initdb.args([
            // This spares the flushes of the making only: the server flushes its commits.
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
            "-A",
            "trust",
            "-U",
            "postgres",
            "-D",
        ]);
        self.filled_by(initdb)
    }

    /// Copies this server to a standby, which follows it, and starts that.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn standby(&self) -> Self {
        let server = Self::empty(TempDir::for_cluster());
        let mut copy = PROGRAMS.command("pg_basebackup");
        // `-c fast`: otherwise the copy waits for a checkpoint that takes its time.
        copy.args(["-R", "-c", "fast", "-p", "5432", "-U", "postgres", "-h"]);
        copy.arg(self.socket_dir()).arg("-D");
        server.filled_by(copy)
    }

    /// Makes a standby the server that is written to.
    ///
    /// # Panics
    /// When it is none.
    pub fn promote(&self) {
        self.psql("postgres", "select pg_promote()");
    }

    /// Directories for a server.
    fn empty(dir: TempDir) -> Self {
        // Before the directory is there: for root, its owner would decide, and PostgreSQL refuses root.
        let account = Account::for_cluster(&dir.path().join("data")).expect("an account can run PostgreSQL");
        for name in ["data", "socket"] {
            let path = dir.path().join(name);
            DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .expect("the directory is ours");
            account.give(&path).expect("the directory is ours");
        }
        Self {
            running: None,
            small_disk: None,
            account,
            dir,
        }
    }

    /// Lets a program, whose last argument is the data directory, fill that, and starts the server.
    fn filled_by(mut self, mut program: Command) -> Self {
        program.arg(self.data_dir());
        let output = self.account.run(&mut program).output();
        let output = output.expect("a program of PostgreSQL can be started");
        assert!(
            output.status.success(),
            "{program:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.start();
        self
    }

    /// Starts the server, if it does not run, and waits until it answers.
    ///
    /// # Panics
    /// When it does not, with its log.
    pub fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let deadline = Deadline::default();
        // Watched from its beginning: a test may be killed, or panic, while it waits here.
        deadline.eventually("a server that answers", || {
            // After a SIGKILL it refuses to start while the killed server's backends still end.
            let is_there = self.running.as_mut().is_some_and(|running| {
                let ended = running.server.try_wait();
                ended.expect("the server is our child").is_none()
            });
            if !is_there {
                if let Some(mut ended) = self.running.take() {
                    ended.end_watch();
                }
                self.running = Some(self.spawn());
            }
            psql::try_run(&self.url("postgres"), "select 1").map_err(|error| (error, self.log()))
        });
    }

    /// Stops the server as `pg_ctl stop -m immediate` does: connections break, the next start recovers.
    pub fn stop_immediate(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Stops the server in order, breaking connections.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Returns the URL of a database; it does not create it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?host={}&port=5432&user=postgres",
            self.socket_dir().display()
        )
    }

    /// Creates a database and returns its URL.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn create_database(&self, name: &str) -> String {
        self.psql("postgres", &format!("create database \"{name}\""));
        self.url(name)
    }

    /// Mounts a file system of so many megabytes and creates a database on it; `false` where this process may mount none.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn create_small_database(&mut self, name: &str, megabytes: u32) -> bool {
        let Some(disk) = SmallDisk::mount(&self.dir.path().join("small"), megabytes) else {
            return false;
        };
        let place = disk.path.join("space");
        fs::create_dir(&place).expect("the disk is empty");
        self.account.give(&place).expect("the directory is ours");
        let place = place.display();
        self.psql("postgres", &format!("create tablespace small location '{place}'"));
        self.psql(
            "postgres",
            &format!("create database \"{name}\" tablespace small"),
        );
        self.small_disk = Some(disk);
        true
    }

    /// Fills the disk of the small database to the last page.
    ///
    /// # Panics
    /// When there is none.
    pub fn fill_disk(&self) {
        let disk = self.small_disk.as_ref().expect("there is a small database");
        let mut file = File::create(disk.filler()).expect("the disk is ours");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Frees what [`PrivateServer::fill_disk`] took.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn empty_disk(&self) {
        let disk = self.small_disk.as_ref().expect("there is a small database");
        fs::remove_file(disk.filler()).expect("the disk was filled");
    }

    /// Runs statements in a database and returns their rows, one a line, columns separated by `|`.
    ///
    /// # Panics
    /// With psql's standard error when a statement fails.
    #[track_caller]
    pub fn psql(&self, database: &str, statements: &str) -> String {
        psql::run(&self.url(database), statements)
    }

    /// Returns the path of the data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn spawn(&self) -> RunningServer {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_path())
            .expect("the directory is ours");
        let log_too = log.try_clone().expect("a file can be shared");
        let mut command = PROGRAMS.command("postgres");
        command
            .arg("-D")
            .arg(self.data_dir())
            .arg("-k")
            .arg(self.socket_dir());
        command
            .args(["-p", "5432", "-c", "listen_addresses="])
            .stdout(log)
            .stderr(log_too);
        let started = self.account.run(&mut command).spawn();
        let server = started.expect("postgres can be started");
        let watchdog = self.watch(&server);
        RunningServer { server, watchdog }
    }

    fn watch(&self, server: &Child) -> Child {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "watchdog", &server.id().to_string()])
            .arg(self.dir.path());
        // A group of its own, since a runner that kills a test kills its group.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("a shell can be started")
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        // A failure means that it has ended by itself.
        let _ = kill_process(Pid::from_child(&running.server), signal);
        eventually("the end of the server", || {
            running.server.try_wait().expect("the server is our child")
        });
        running.end_watch();
    }

    fn socket_dir(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string::<&Path>(&self.log_path()).unwrap_or_default()
    }
}

/// A file system in memory, unmounted with the value.
#[derive(Debug)]
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir(path).expect("the directory is ours");
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path);
        let mounted = mount.stderr(Stdio::null()).status();
        let path = path.to_owned();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self { path })
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a backend may still be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.end(Signal::QUIT);
    }
}
