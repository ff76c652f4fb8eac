//! `abaci serve`: one server, which takes jobs from the queue until it is told to stop.
//!
//! The first SIGINT or SIGTERM drains: nothing new is started, what runs may finish within the grace time, the rest goes
//! back to the queue for others. A second signal ends the process at once with 130.
//! A database that is not there yet is waited for; one that goes away later is the engine's to outlast.

use std::io;
use std::time::{Duration, Instant};

use abaci_engine::Worker;
use abaci_engine::worker::{Slot, WorkerSettings};
use anyhow::Context;
use clap::Args;
use tracing::{info, warn};

use crate::cli::{LimitFlags, QueueFlags, WorkFlags};
use crate::config::{Config, Layer, a_pause, at_least_one};
use crate::database::Access;
use crate::exit::{Exit, Failed};
use crate::signals::Signals;

/// The first pause between two attempts to reach the database; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause, which is also how often a database that is not there is mentioned at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Run a server that takes jobs from the queue.
///
/// The first SIGINT or SIGTERM lets running jobs finish and hands the rest back to the queue; the second ends at once.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    queue: QueueFlags,
    #[command(flatten)]
    work: WorkFlags,
    /// Number of the executor id on this machine [default: the lowest free]
    #[arg(long, value_name = "NUMBER")]
    slot: Option<u32>,
    #[command(flatten)]
    limits: LimitFlags,
    /// Drain when stdin is closed, so that a server never outlives the process that started it
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl Serve {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        self.queue.fill(layer);
        self.work.fill(layer);
        self.limits.fill(layer);
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let concurrency = at_least_one("concurrency", &config.concurrency)?;
        a_pause("poll_interval", &config.poll_interval)?;
        let mut signals = Signals::listen()?;
        let start = async {
            let access = Access::open(config).await?;
            let worker = self.start_worker(&access, config, concurrency).await?;
            anyhow::Ok((access, worker))
        };
        let (access, worker) = tokio::select! {
            started = start => started?,
            signal = signals.next() => {
                info!(signal, "stopped before it was ready");
                return Ok(Exit::Interrupted);
            }
        };
        let _kept = access.keep_running();
        announce(&worker, &access, config);
        let starter_left = async {
            if self.until_stdin_closes {
                stdin_closed().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        work_until_told(worker, config, &mut signals, starter_left).await
    }

    /// Starts the worker as soon as the database answers.
    async fn start_worker(
        &self,
        access: &Access,
        config: &Config,
        concurrency: u32,
    ) -> anyhow::Result<Worker> {
        let settings = self.worker_settings(access, config, concurrency)?;
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match Worker::start(settings.clone()).await {
                Ok(worker) => return Ok(worker),
                Err(error) => error,
            };
            let is_passing = matches!(error, abaci_engine::Error::Unreachable { .. });
            let patience = config.wait_for_database.value.0.saturating_sub(begun.elapsed());
            if !is_passing || patience.is_zero() {
                return Err(error.into());
            }
            warn!(reason = %error, patience_seconds = patience.as_secs(), "waiting for the database");
            tokio::time::sleep(pause.min(patience)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn worker_settings(
        &self,
        access: &Access,
        config: &Config,
        concurrency: u32,
    ) -> anyhow::Result<WorkerSettings> {
        let artifacts = std::path::absolute(config.artifacts_dir()).context("finding the data directory")?;
        Ok(WorkerSettings {
            queue: config.queue.value.clone(),
            concurrency,
            poll_interval: config.poll_interval.value.0,
            limits: config.limits(),
            slot: self.slot.map_or(Slot::Lowest, Slot::Number),
            ..WorkerSettings::new(access.url(), host_name(), artifacts)
        })
    }
}

fn announce(worker: &Worker, access: &Access, config: &Config) {
    info!(
        executor_id = worker.executor_id(),
        pid = std::process::id(),
        ppid = rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid),
        queue = config.queue.value,
        concurrency = config.concurrency.value,
        database = access.place(),
        "ready"
    );
}

async fn work_until_told(
    worker: Worker,
    config: &Config,
    signals: &mut Signals,
    starter_left: impl Future<Output = ()>,
) -> anyhow::Result<Exit> {
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = starter_left => "stdin closed",
        reason = worker.lost() => return Err(Failed::unreachable(reason).into()),
    };
    let grace = config.grace.value;
    info!(signal, %grace, "asked to stop; a second signal ends it at once");
    tokio::select! {
        report = worker.drain(grace.0) => {
            info!(finished = report.finished, handed_back = report.handed_back, "drained");
            Ok(Exit::Done)
        }
        signal = signals.next() => {
            warn!(signal, "ended at once; what ran is taken up again by the next server");
            Ok(Exit::Interrupted)
        }
    }
}

/// Completes when stdin is closed.
async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own, since nothing interrupts a read of stdin; it ends with the process.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(closed);
    });
    let _ = wait.await;
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
