//! `abaci status`: the workers, what they do, how long the queue is.
//!
//! The fleet on this data directory is asked over its socket, and the database for the queue and for the workers that are
//! elsewhere. Either may be away without keeping the other from being shown.
//! Looking starts nothing: a private database that does not run stays as it is. One that runs is used while it is asked, so
//! `--watch` keeps it running.

mod draw;
mod wait;

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use durable_jobs::client::{QueueProbe, QueueStatus};
use durable_jobs::database::{ClockOffset, ConnectionLimit};
use durable_jobs::presence::Presence;
use fibonacci_jobs::VERSION;
use serde::Serialize;
use tokio::time::timeout;
use worker_fleet::signals::Signals;
use worker_fleet::snapshot::{Snapshot, WorkerSnapshot};
use worker_fleet::supervisor;

use crate::clocks::{WrongClock, wrong_clocks};
use crate::config::Config;
use crate::database_access::{DatabaseAccess, on_blocking_thread};
use crate::exit::{self, Exit};
use crate::flags::{QueueFlags, ReadinessFlags};
use crate::output::{self, Format};

/// The longest time for an answer of the database.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Interval at which `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Show the workers, what they do and how long the queue is.
///
/// Exit code 0: jobs are taken, with --wait by all workers of the fleet here; 1: they are not; 3: the database cannot be
/// reached.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    _queue: QueueFlags,
    /// Look again every second until interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    readiness: ReadinessFlags,
    /// Print one JSON object, or one per look
    #[arg(long)]
    json: bool,
}

/// Everything that is known.
#[derive(Debug, Serialize)]
struct StatusReport {
    /// The directory of the fleet of this data directory.
    fleet_directory: String,
    /// The fleet of this data directory, if one runs.
    fleet: Option<Snapshot>,
    /// The reason why a fleet that runs does not answer.
    fleet_reason: Option<String>,
    database: QueueReport,
    /// Clocks that differ from the database's by over a second.
    wrong_clocks: Vec<WrongClock>,
    /// Workers that are not of this fleet: other hosts', and those of `abaci serve`.
    other_workers: Vec<Presence>,
}

#[derive(Debug, Serialize)]
struct QueueReport {
    /// The queue that was asked for.
    name: String,
    /// The state of the queue; absent when the database does not answer.
    queue: Option<QueueStatus>,
    /// The limit that leaves the fewest connections; absent when the database does not answer.
    connections: Option<ConnectionLimit>,
    /// The reason why the database does not answer.
    reason: Option<String>,
}

impl StatusArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let format = Format::of_flag(self.json);
        if let Some(limit) = self.readiness.limit(config) {
            return wait::run(config, limit, format).await;
        }
        if !self.watch {
            let report = look(config).await?;
            report.print(format)?;
            return Ok(report.verdict());
        }
        let mut signals = Signals::listen()?;
        let watching = async {
            loop {
                let report = look(config).await?;
                match format {
                    Format::Json => output::json(&report)?,
                    Format::Human => output::screen(&draw::lines(&report, output::columns()))?,
                }
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
        };
        signals
            .unless_any(watching)
            .await
            .unwrap_or(Ok(Exit::Interrupted))
    }
}

impl StatusReport {
    fn print(&self, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Json => output::json(self),
            Format::Human => draw::lines(self, output::columns())
                .iter()
                .try_for_each(output::line),
        }
    }

    fn verdict(&self) -> Exit {
        match (self.database.queue.is_some(), self.is_taken()) {
            (false, _) => Exit::Unreachable,
            (true, true) => Exit::Done,
            (true, false) => Exit::No,
        }
    }

    /// Says that a worker takes the jobs that are submitted now.
    fn is_taken(&self) -> bool {
        let is_taker = |worker: &Presence| worker.takes(&self.database.name, VERSION);
        self.is_taken_by_fleet() || self.other_workers.iter().any(is_taker)
    }

    /// Says that a worker of the queue is at work, of whatever version.
    fn is_listened(&self) -> bool {
        let is_listener = |worker: &Presence| worker.is_live() && worker.queue == self.database.name;
        self.is_taken_by_fleet() || self.other_workers.iter().any(is_listener)
    }

    fn is_taken_by_fleet(&self) -> bool {
        let mut workers = self.fleet_of_queue().into_iter().flat_map(|fleet| &fleet.workers);
        workers.any(WorkerSnapshot::takes_jobs)
    }

    /// The fleet, if the queue is its own.
    fn fleet_of_queue(&self) -> Option<&Snapshot> {
        self.fleet
            .as_ref()
            .filter(|fleet| fleet.queue == self.database.name)
    }
}

async fn look(config: &Config) -> anyhow::Result<StatusReport> {
    let directory = supervisor::directory_in(&config.data_dir.value)?;
    let (fleet, fleet_reason) = match supervisor::look(&directory).await {
        Ok(fleet) => (fleet, None),
        Err(error) => (None, Some(exit::one_line(&error.into()))),
    };
    let is_elsewhere = fleet
        .as_ref()
        .is_some_and(|fleet| fleet.private_database.is_none());
    let asked = timeout(TIMEOUT, Box::pin(ask_database(config, is_elsewhere))).await;
    let asked = asked.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", TIMEOUT.as_secs())));
    let (answer, reason) = match asked {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(exit::one_line(&error))),
    };
    let own_offset = answer.as_ref().map(|answer| answer.offset);
    let (queue, connections, workers) = answer.map_or_else(Default::default, |answer| {
        (Some(answer.queue), Some(answer.connections), answer.workers)
    });
    // Of all workers, before those of the fleet are taken out.
    let wrong_clocks = wrong_clocks(own_offset, &workers);
    let is_of_fleet = |worker: &Presence| {
        let views = fleet.iter().flat_map(|fleet| &fleet.workers);
        views
            .filter_map(|view| view.executor_id.as_deref())
            .any(|id| id == worker.executor_id)
    };
    let (_, other_workers) = workers.into_iter().partition(is_of_fleet);
    Ok(StatusReport {
        fleet_directory: directory.display().to_string(),
        fleet,
        fleet_reason,
        database: QueueReport {
            name: config.queue.value.clone(),
            queue,
            connections,
            reason,
        },
        wrong_clocks,
        other_workers,
    })
}

/// The answers of the database.
struct DatabaseAnswer {
    queue: QueueStatus,
    connections: ConnectionLimit,
    workers: Vec<Presence>,
    /// The lead of this machine's clock over the database's.
    offset: ClockOffset,
}

/// Asks the database; `is_elsewhere` means that the fleet, if one runs, does not use the private one.
async fn ask_database(config: &Config, is_elsewhere: bool) -> anyhow::Result<DatabaseAnswer> {
    if config.database_url.value.is_none() {
        if is_elsewhere {
            bail!("the fleet has another database than the private one; give the same --database-url");
        }
        let directory = config.postgres_dir();
        let status = on_blocking_thread(move || local_postgres::status(&directory)).await??;
        if !matches!(status, local_postgres::Status::Running(_)) {
            bail!(
                "the private PostgreSQL in {} does not run",
                config.postgres_dir().display()
            );
        }
    }
    let access = DatabaseAccess::open(config).await?;
    let queue = QueueProbe::new(access.url(), &config.queue.value, VERSION)?
        .ask(TIMEOUT)
        .await?;
    // The tables are there, or the question would have failed: connecting makes none.
    let client = access.client(config).await?;
    let workers = client.workers().await?;
    let connections = client.tightest_limit().await?;
    client.close().await;
    Ok(DatabaseAnswer {
        queue,
        connections,
        workers,
        offset: client.clock().offset(),
    })
}
