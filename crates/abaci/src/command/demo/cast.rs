//! Who plays: server processes, one at a time.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abaci_engine::Client;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::stage::Stage;
use crate::config::Environment;
use crate::database::Access;

/// How long a server may take until it takes jobs.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may take to end when asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How often a process or a row is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The end of a server's log that is shown when it does not start.
const LOG_LINES: usize = 5;

/// A server process of the demo; it is killed on drop, and ends by itself when the demo is killed.
pub(super) struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server and returns once it takes jobs.
    pub(super) async fn start(stage: &Stage, access: &Access, client: &Client) -> anyhow::Result<Self> {
        let log = stage.directory().join("server.log");
        let process = command(stage, access, &log)?
            .spawn()
            .context("starting a server process")?;
        let mut server = Self { process, log };
        server.wait_until_it_listens(client).await?;
        Ok(server)
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process the way a crash does, and returns when it is gone.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().context("killing the server")?;
        self.process.wait().context("waiting for the end of the server")?;
        Ok(())
    }

    /// Asks the process to end and waits for it; an impolite one is killed on drop.
    pub(super) async fn stop(mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn wait_until_it_listens(&mut self, client: &Client) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_PATIENCE {
            if let Some(status) = self.process.try_wait().context("looking at the server")? {
                bail!(
                    "the server ended early ({status}); its log ends with:\n{}",
                    tail(&self.log)
                );
            }
            let workers = client.workers().await?;
            if workers
                .iter()
                .any(|worker| worker.pid == self.pid() && worker.is_live())
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        bail!(
            "the server takes no jobs after {START_PATIENCE:?}; its log ends with:\n{}",
            tail(&self.log)
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The user's settings stay out of it; the address goes through the environment, as everywhere.
fn command(stage: &Stage, access: &Access, log: &Path) -> anyhow::Result<Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .context("opening the server's log")?;
    let mut command = Command::new(std::env::current_exe().context("finding the path of this program")?);
    for variable in Environment::SETTINGS {
        command.env_remove(variable);
    }
    command
        .args(["serve", "--slot", "0", "--until-stdin-closes"])
        .env("ABACI_CONFIG", "/dev/null")
        .env("ABACI_DATABASE_URL", access.url())
        .env("ABACI_DATA_DIR", stage.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log);
    // Ctrl-C is for the demo, which then ends its servers.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
