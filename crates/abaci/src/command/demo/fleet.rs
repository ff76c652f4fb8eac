//! The demo's fleet of two workers.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abaci_web::Kill;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use worker_fleet::snapshot::{Snapshot, WorkerSnapshot};
use worker_fleet::supervisor;

use super::sandbox::DemoSandbox;
use crate::config::{self, Environment, Layer};
use crate::database_access::DatabaseAccess;
use crate::this_process;

/// Number of workers of the fleet.
const WORKERS: u32 = 2;

/// The longest time until all workers of a fleet take jobs.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The longest time until a fleet has ended that was asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Interval at which a process is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The end of a fleet's log that is shown when it does not start.
const LOG_LINES: usize = 5;

/// The fleet of the demo; it ends with the value, and by itself when the demo is killed.
pub(super) struct DemoFleet {
    process: Child,
    log: PathBuf,
    directory: PathBuf,
}

impl DemoFleet {
    /// Starts a fleet and returns it with its state once all its workers take jobs.
    pub(super) async fn start(
        sandbox: &DemoSandbox,
        access: &DatabaseAccess,
    ) -> anyhow::Result<(Self, Snapshot)> {
        let log = sandbox.directory.join("fleet.log");
        let process = command(sandbox, access, &log)?
            .spawn()
            .context("starting the fleet")?;
        let directory = supervisor::directory_in(&sandbox.directory)?;
        // Made before the wait, so that a fleet that does not come up is ended when this is dropped.
        let mut fleet = Self {
            process,
            log,
            directory,
        };
        let snapshot = fleet.wait_until_it_is_ready().await?;
        Ok((fleet, snapshot))
    }

    /// Returns the supervisor's process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Finds the worker of an executor id, if it has a process.
    pub(super) async fn worker(&self, executor_id: &str) -> anyhow::Result<Option<WorkerSnapshot>> {
        worker_in(&self.directory, executor_id).await
    }

    /// Returns what kills the worker of an executor id, the way a crash does; an error says why it could not.
    pub(super) fn killer(&self) -> Kill {
        let directory = self.directory.clone();
        Box::new(move |executor_id| {
            let directory = directory.clone();
            Box::pin(async move {
                let killed = kill_in(&directory, &executor_id).await;
                killed.map_err(|error| format!("worker {executor_id:?}: {error:#}"))
            })
        })
    }

    /// Asks the fleet to end and waits for it; one that does not end in time is killed.
    fn end(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_PATIENCE {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        // The kernel kills its workers with it, and the health process sees the end of its channel.
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
            // Until it has taken the lock of its directory there is no fleet, which is no error.
            if let Some(snapshot) = supervisor::look(&self.directory).await?.filter(is_ready) {
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

impl Drop for DemoFleet {
    /// Blocks until nothing of it is left; a second call does nothing.
    fn drop(&mut self) {
        self.end();
    }
}

async fn worker_in(directory: &Path, executor_id: &str) -> anyhow::Result<Option<WorkerSnapshot>> {
    let snapshot = supervisor::look(directory).await?;
    let workers = snapshot.into_iter().flat_map(|snapshot| snapshot.workers);
    let mut found = workers.filter(|worker| worker.executor_id.as_deref() == Some(executor_id));
    Ok(found.next())
}

async fn kill_in(directory: &Path, executor_id: &str) -> anyhow::Result<()> {
    let worker = worker_in(directory, executor_id).await?;
    let process = worker
        .and_then(|worker| i32::try_from(worker.pid?).ok())
        .and_then(Pid::from_raw)
        .context("it has no process now")?;
    kill_process(process, Signal::KILL).context("kill")
}

/// Builds the command of the fleet, without the user's settings; the address goes through the environment, as everywhere.
fn command(sandbox: &DemoSandbox, access: &DatabaseAccess, log: &Path) -> anyhow::Result<Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .context("opening the fleet's log")?;
    let mut command = Command::new(this_process::path()?);
    for variable in Environment::settings() {
        command.env_remove(variable);
    }
    let settings = Layer {
        database_url: Some(access.url().to_owned()),
        data_dir: Some(sandbox.directory.clone()),
        ..Layer::default()
    };
    command
        .args([
            "fleet",
            "--until-stdin-closes",
            "--health-addr",
            "127.0.0.1:0",
            "--web-addr",
            "none",
        ])
        // Whatever way it ends, no job that is left is waited for.
        .args(["--grace", "0s"])
        .args(["--workers", &WORKERS.to_string()])
        .env(config::FILE, "/dev/null")
        .envs(settings.to_environment())
        // The fleet ends when this pipe closes, even if the demo is killed.
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
