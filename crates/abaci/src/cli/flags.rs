//! Groups of flags that several commands share.

use clap::Args;

use crate::config::{Bytes, Layer, Period};

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
    /// Largest n of the algorithm doubling [env: ABACI_MAX_N] [default: 2000000000]
    #[arg(long, value_name = "N")]
    max_n: Option<u64>,
    /// Memory that one job may need, by estimate [env: ABACI_JOB_MEMORY] [default: 8GiB]
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

/// How a server works and ends.
#[derive(Debug, Args)]
pub struct WorkFlags {
    /// Jobs that run at once [env: ABACI_CONCURRENCY] [default: 1]
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
    /// How often the queue is asked for jobs [env: ABACI_POLL_INTERVAL] [default: 50ms]
    #[arg(long, value_name = "TIME")]
    poll_interval: Option<Period>,
    /// How long running jobs may finish after a signal [env: ABACI_GRACE] [default: 30s]
    #[arg(long, value_name = "TIME")]
    grace: Option<Period>,
    /// How long to wait for the database at the start [env: ABACI_WAIT_FOR_DATABASE] [default: 1m]
    #[arg(long, value_name = "TIME")]
    wait_for_database: Option<Period>,
}

impl WorkFlags {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        layer.concurrency = self.concurrency;
        layer.poll_interval = self.poll_interval;
        layer.grace = self.grace;
        layer.wait_for_database = self.wait_for_database;
    }
}
