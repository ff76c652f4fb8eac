//! Who plays: a fleet of two workers.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use worker_fleet::snapshot::{Snapshot, WorkerView};
use worker_fleet::supervisor::{self, FleetAnswer, FleetRequest};

use super::stage::Stage;
use crate::config::Environment;
use crate::database::Access;

/// How many workers the fleet has.
pub(super) const WORKERS: u32 = 2;

/// How long a fleet may take until all its workers take jobs.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a fleet may take to end when asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How often a process is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The end of a fleet's log that is shown when it does not start.
const LOG_LINES: usize = 5;

/// The fleet of the demo; it ends with the value, and by itself when the demo is killed.
pub(super) struct Fleet {
    process: Child,
    log: PathBuf,
    directory: PathBuf,
}

impl Fleet {
    /// Starts a fleet and returns, with how it stands, once all its workers take jobs.
    pub(super) async fn start(stage: &Stage, access: &Access) -> anyhow::Result<(Self, Snapshot)> {
        let log = stage.directory().join("fleet.log");
        let process = command(stage, access, &log)?
            .spawn()
            .context("starting the fleet")?;
        let directory = supervisor::directory_in(stage.directory())?;
        let mut fleet = Self {
            process,
            log,
            directory,
        };
        let snapshot = fleet.wait_until_it_is_ready().await?;
        Ok((fleet, snapshot))
    }

    /// The supervisor's process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How the fleet stands; nothing while it does not answer.
    pub(super) async fn look(&self) -> anyhow::Result<Option<Snapshot>> {
        Ok(
            match supervisor::ask(&self.directory, FleetRequest::Status).await? {
                Some(FleetAnswer::Status { snapshot }) => Some(*snapshot),
                _ => None,
            },
        )
    }

    /// The worker with an executor id that has a process.
    pub(super) async fn worker(&self, executor_id: &str) -> anyhow::Result<Option<WorkerView>> {
        let snapshot = self.look().await?;
        let workers = snapshot.into_iter().flat_map(|snapshot| snapshot.workers);
        let mut found = workers.filter(|worker| worker.executor_id.as_deref() == Some(executor_id));
        Ok(found.next())
    }

    /// Asks the fleet to end and waits for it.
    pub(super) fn stop(mut self) {
        self.end();
    }

    /// Waits for the end of the fleet once it was asked to; an impolite one is killed.
    fn end(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_PATIENCE {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    async fn wait_until_it_is_ready(&mut self) -> anyhow::Result<Snapshot> {
        let started = Instant::now();
        while started.elapsed() < START_PATIENCE {
            if let Some(status) = self.process.try_wait().context("looking at the fleet")? {
                bail!(
                    "the fleet ended early ({status}); its log ends with:\n{}",
                    tail(&self.log)
                );
            }
            let is_ready = |snapshot: &Snapshot| {
                let ready = snapshot.workers.iter().filter(|worker| worker.state.is_ready());
                ready.count() == WORKERS as usize
            };
            if let Some(snapshot) = self.look().await?.filter(is_ready) {
                return Ok(snapshot);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        bail!(
            "the fleet is not ready after {START_PATIENCE:?}; its log ends with:\n{}",
            tail(&self.log)
        )
    }
}

impl Drop for Fleet {
    /// Blocks until nothing of it is left; twice is once too often, and harmless.
    fn drop(&mut self) {
        self.end();
    }
}

/// The user's settings stay out of it; the address goes through the environment, as everywhere.
fn command(stage: &Stage, access: &Access, log: &Path) -> anyhow::Result<Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .context("opening the fleet's log")?;
    let mut command = Command::new(std::env::current_exe().context("finding the path of this program")?);
    for variable in Environment::SETTINGS {
        command.env_remove(variable);
    }
    command
        .args(["fleet", "--until-stdin-closes", "--health-addr", "127.0.0.1:0"])
        // Whatever way it ends, no job that is left is waited for.
        .args(["--grace", "0s"])
        .args(["--workers", &WORKERS.to_string()])
        .env("ABACI_CONFIG", "/dev/null")
        .env("ABACI_DATABASE_URL", access.url())
        .env("ABACI_DATA_DIR", stage.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log);
    // Ctrl-C is for the demo, which then ends its fleet.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
