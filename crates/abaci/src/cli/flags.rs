//! Groups of flags that several commands share.

use clap::Args;
use worker_fleet::signals::stdin_closed;

use crate::config::{Bytes, Config, HealthAddr, Layer, Period};

/// Which queue.
#[derive(Debug, Args)]
pub struct QueueFlags {
    /// Queue of the jobs [env: ABACI_QUEUE] [default: fibonacci]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

impl QueueFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.queue.clone_from(&self.queue);
    }
}

/// What may be asked for.
#[derive(Debug, Args)]
pub struct LimitFlags {
    /// Largest n of doubling and giant [env: ABACI_MAX_N] [default: 2000000000]
    #[arg(long, value_name = "N")]
    max_n: Option<u64>,
    /// Memory that one job may need, by estimate, and use [env: ABACI_JOB_MEMORY] [default: 8GiB]
    #[arg(long, value_name = "SIZE")]
    job_memory: Option<Bytes>,
}

impl LimitFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.max_n = self.max_n;
        layer.job_memory = self.job_memory;
    }
}

/// How long a client is patient.
#[derive(Debug, Args)]
pub struct PatienceFlags {
    /// How long to wait while no server listens [env: ABACI_WAIT_FOR_SERVER] [default: 30s]
    #[arg(long, value_name = "TIME")]
    wait_for_server: Option<Period>,
    /// How long to wait while the database is gone [env: ABACI_WAIT_FOR_DATABASE] [default: 1m]
    #[arg(long, value_name = "TIME")]
    wait_for_database: Option<Period>,
}

impl PatienceFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.wait_for_server = self.wait_for_server;
        layer.wait_for_database = self.wait_for_database;
    }
}

/// A wait until jobs are taken.
#[derive(Debug, Args)]
pub struct ReadinessFlags {
    /// Wait until all workers of the fleet here take jobs, or else any worker of the queue, for at most TIME [env:
    /// ABACI_WAIT_FOR_SERVER] [default: 30s]
    #[arg(long, value_name = "TIME", conflicts_with = "watch")]
    #[expect(
        clippy::option_option,
        reason = "absent, bare or with a time, as clap tells it"
    )]
    wait: Option<Option<Period>>,
}

impl ReadinessFlags {
    /// Returns the longest time to wait, if there is to be a wait.
    pub(crate) fn limit(&self, config: &Config) -> Option<Period> {
        self.wait.map(|time| time.unwrap_or(config.wait_for_server.value))
    }
}

/// How a server works and ends.
#[derive(Debug, Args)]
pub struct WorkFlags {
    /// Jobs that run at once [env: ABACI_CONCURRENCY] [default: 1]
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
    /// How often the queue is asked for jobs [env: ABACI_POLL_INTERVAL] [default: 50ms; in a fleet of N workers N times that,
    /// at most 200ms]
    #[arg(long, value_name = "TIME")]
    poll_interval: Option<Period>,
    /// How long running jobs may finish after a signal [env: ABACI_GRACE] [default: 30s]
    #[arg(long, value_name = "TIME")]
    grace: Option<Period>,
    /// Processor time of one job's computation [env: ABACI_JOB_CPU_TIME] [default: unlimited]
    #[arg(long, value_name = "TIME")]
    job_cpu_time: Option<Period>,
    /// Time of one job's computation by the clock [env: ABACI_JOB_TIME] [default: unlimited]
    #[arg(long, value_name = "TIME")]
    job_time: Option<Period>,
    /// Threads of one job's computation [env: ABACI_JOB_THREADS] [default: the processors divided by the jobs at once]
    #[arg(long, value_name = "COUNT")]
    job_threads: Option<u32>,
    /// Connections to the database of one worker, 4 or more [env: ABACI_MAX_CONNECTIONS] [default: 2, and 2 for each job at
    /// once, at most 24]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<u32>,
    /// How long jobs that ended, also parked ones, are kept before they are deleted with their values [env: ABACI_RETENTION]
    /// [default: for ever]
    #[arg(long, value_name = "TIME")]
    retention: Option<Period>,
    /// How long to wait for the database at the start [env: ABACI_WAIT_FOR_DATABASE] [default: 1m]
    #[arg(long, value_name = "TIME")]
    wait_for_database: Option<Period>,
    /// Let the faults strike that jobs ask for, to watch how they are survived [env: ABACI_ENABLE_FAULTS]
    #[arg(long)]
    enable_faults: bool,
}

impl WorkFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.concurrency = self.concurrency;
        layer.poll_interval = self.poll_interval;
        layer.grace = self.grace;
        layer.job_cpu_time = self.job_cpu_time;
        layer.job_time = self.job_time;
        layer.job_threads = self.job_threads;
        layer.max_connections = self.max_connections;
        layer.retention = self.retention;
        layer.wait_for_database = self.wait_for_database;
        layer.enable_faults = self.enable_faults.then_some(true);
    }
}

/// What may be done to the database of another application.
#[derive(Debug, Args)]
pub struct TableFlags {
    /// Update the tables of another DBOS application that uses this database with an older version; needed once
    /// [env: ABACI_MIGRATE]
    #[arg(long)]
    migrate: bool,
}

impl TableFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.migrate = self.migrate.then_some(true);
    }
}

/// Where health is answered.
#[derive(Debug, Args)]
pub struct HealthFlags {
    /// Address of /livez, /readyz, /health and /metrics, or none [env: ABACI_HEALTH_ADDR] [default: 127.0.0.1:8080 for
    /// fleet, none for serve]
    #[arg(long, value_name = "ADDRESS")]
    health_addr: Option<HealthAddr>,
}

impl HealthFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.health_addr = self.health_addr;
    }
}

/// How a fleet is made up and looked after.
#[derive(Debug, Args)]
pub struct FleetFlags {
    /// Worker processes [env: ABACI_WORKERS] [default: one per processor]
    #[arg(long, value_name = "COUNT")]
    workers: Option<u32>,
    /// Number of the first worker's executor id on this machine [env: ABACI_FIRST_SLOT] [default: 0]
    #[arg(long, value_name = "NUMBER")]
    first_slot: Option<u32>,
    /// Age of a worker's heartbeat at which the worker is killed [env: ABACI_WATCHDOG] [default: 10s]
    #[arg(long, value_name = "TIME")]
    watchdog: Option<Period>,
    /// Runs of a worker that get nowhere, within the restart window, after which it counts as crash-looping
    /// [env: ABACI_MAX_RESTARTS] [default: 5]
    #[arg(long, value_name = "COUNT")]
    max_restarts: Option<u32>,
    /// Time in which runs that get nowhere are counted [env: ABACI_RESTART_WINDOW] [default: 1m]
    #[arg(long, value_name = "TIME")]
    restart_window: Option<Period>,
}

impl FleetFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.workers = self.workers;
        layer.first_slot = self.first_slot;
        layer.watchdog = self.watchdog;
        layer.max_restarts = self.max_restarts;
        layer.restart_window = self.restart_window;
    }
}

/// Whether the process that started this one matters.
#[derive(Debug, Clone, Copy, Args)]
pub struct StarterFlags {
    /// Stop when stdin is closed, so that nothing outlives the process that started it
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl StarterFlags {
    /// Completes, with a reason to stop, when the process that started this one is gone and that is to matter.
    pub(crate) async fn starter_left(self) -> &'static str {
        if self.until_stdin_closes {
            stdin_closed().await;
        } else {
            std::future::pending::<()>().await;
        }
        "stdin closed"
    }
}
