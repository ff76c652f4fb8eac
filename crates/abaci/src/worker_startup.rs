//! One worker from its start to its end, as `abaci serve` and each worker of a fleet run it.
//!
//! A database that is not there yet is waited for; one that goes away later is the engine's to outlast.
//! A worker whose jobs were given to others meanwhile has nothing to go on with: another one begins in its place.

use std::num::NonZero;
use std::time::{Duration, Instant};

use anyhow::Context;
use durable_jobs::process::Isolation;
use durable_jobs::worker::{FEWEST_CONNECTIONS, Slot, WorkerSettings};
use durable_jobs::{Advice, Worker};
use fibonacci_jobs::server_types;
use tracing::{info, warn};

use crate::config::{Config, a_pause, at_least_one};
use crate::database_access::DatabaseAccess;
use crate::flags::ComputeFlags;
use crate::this_process::{self, host_name};

/// The first pause between two attempts to reach the database; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause, which is also how often a database that is not there is mentioned at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Longer than anyone waits for a server to stop, and no clock overflows by it.
const LONGEST_GRACE: Duration = Duration::from_hours(30 * 24);

/// A job that is deleted sooner is gone before its client has seen the result.
const SHORTEST_RETENTION: Duration = Duration::from_secs(1);

/// The ends of recorded messages, for those who work with this program.
const ADVICE: Advice = Advice {
    memory: "raise --job-memory of the server, or of this job by: abaci resume --job-memory",
    cpu_time: "raise --job-cpu-time of the server",
    wall_time: "raise --job-time of the server",
    parked: "see: abaci resume",
};

/// Refuses settings that no worker can work with.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    at_least_one(&config.concurrency)?;
    if let Some(threads) = config.job_threads.given() {
        at_least_one(&threads)?;
    }
    let connections = config.max_connections.given();
    if let Some(few) = connections.filter(|most| most.value < FEWEST_CONNECTIONS) {
        let way_out = format!("give {FEWEST_CONNECTIONS} or more");
        return Err(few.refused(way_out).into());
    }
    // Its value is not needed here: a place that makes no sense is refused before anything starts.
    config.artifact_place()?;
    let retention = config.retention.given();
    if let Some(keep) = retention.filter(|keep| keep.value.0 < SHORTEST_RETENTION) {
        return Err(keep.refused("give 1s or more").into());
    }
    a_pause(&config.poll_interval)?;
    if config.grace.value.0 > LONGEST_GRACE {
        return Err(config.grace.refused("give at most 30days").into());
    }
    Ok(())
}

/// Starts a worker as soon as the database answers.
pub(crate) async fn start(access: &DatabaseAccess, config: &Config, slot: Slot) -> anyhow::Result<Worker> {
    let settings = settings(access, config, slot)?;
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let error = match Worker::start(settings.clone()).await {
            Ok(worker) => return Ok(worker),
            Err(error) => error,
        };
        let is_passing = matches!(
            error,
            durable_jobs::Error::Unreachable { .. }
                | durable_jobs::Error::Full { .. }
                | durable_jobs::Error::BucketUnreachable { .. }
        );
        // Looked at after the attempt, so that there is one also where the time to wait is zero.
        let patience = config.wait_for_database.value.0.saturating_sub(begun.elapsed());
        if !is_passing || patience.is_zero() {
            return Err(error.into());
        }
        let patience_seconds = patience.as_secs();
        if matches!(error, durable_jobs::Error::BucketUnreachable { .. }) {
            warn!(reason = %error, patience_seconds, "waiting for the bucket");
        } else {
            warn!(reason = %error, patience_seconds, "waiting for the database");
        }
        // Not past the end of the patience, at which there is one last attempt.
        tokio::time::sleep(pause.min(patience)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ends a worker that has lost its executor id, and starts another one as soon as the database answers.
pub(crate) async fn start_anew(
    lost: Worker,
    access: &DatabaseAccess,
    config: &Config,
    slot: Slot,
) -> anyhow::Result<Worker> {
    // An error ends the process: what of the old worker could not be ended must not write beside a new one.
    lost.discard().await?;
    start(access, config, slot).await
}

fn settings(access: &DatabaseAccess, config: &Config, slot: Slot) -> anyhow::Result<WorkerSettings> {
    let place = config.artifact_place()?;
    let job_types = server_types(config.limits(), config.enable_faults.value);
    Ok(WorkerSettings {
        artifacts: place.clone(),
        retention: config.retention.value.map(|period| period.0),
        queue: config.queue.value.clone(),
        concurrency: config.concurrency.value,
        poll_interval: config.poll_interval.value.0,
        slot,
        tables: config.tables(),
        max_connections: config.max_connections.value,
        isolation: Some(isolation(config)?),
        advice: ADVICE,
        ..WorkerSettings::new(access.url(), host_name(), place.directory, job_types)
    })
}

/// Heavy computations run in this program under its hidden subcommand, with nothing of this process's environment.
fn isolation(config: &Config) -> anyhow::Result<Isolation> {
    Ok(Isolation {
        program: this_process::running().context("finding the path of this program")?,
        name: this_process::name(),
        arguments: ComputeFlags::arguments(),
        environment: Vec::new(),
        threads: config
            .job_threads
            .value
            .and_then(|count| NonZero::new(count as usize))
            .unwrap_or_else(|| share_of_processors(config.concurrency.value)),
        memory_bytes: config.job_memory.value.0,
        cpu_time: config.job_cpu_time.value.map(|period| period.0),
        wall_time: config.job_time.value.map(|period| period.0),
    })
}

/// Returns the number of threads that each of so many computations at once may use.
pub(crate) fn share_of_processors(jobs_at_once: u32) -> NonZero<usize> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    NonZero::new(processors / jobs_at_once.max(1) as usize).unwrap_or(NonZero::<usize>::MIN)
}

/// Logs that a worker takes jobs; health and systemd come first.
pub(crate) fn announce(worker: &Worker, access: &DatabaseAccess, config: &Config) {
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
