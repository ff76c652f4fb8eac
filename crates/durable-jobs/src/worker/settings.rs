//! The settings of a worker.

use std::path::PathBuf;
use std::time::Duration;

use crate::artifact::ArtifactPlace;
use crate::database::{Connections, Tables};
use crate::job::JobTypes;
use crate::presence::Slot;
use crate::process::Isolation;
use crate::record::{Advice, DEFAULT_QUEUE};

/// The fewest connections to the database that a worker can work with.
pub const FEWEST_CONNECTIONS: u32 = Connections::FEWEST;

/// The settings of a worker.
#[derive(Clone)]
pub struct WorkerSettings {
    /// Where the database is; it may hold a password and is never printed.
    pub database_url: String,
    /// The queue it takes jobs from.
    pub queue: String,
    /// The number of jobs that it runs at once.
    pub concurrency: u32,
    /// The time between two questions for jobs of clients that do not announce them.
    pub poll_interval: Duration,
    /// The types of jobs that it runs; those of other types are left to other workers.
    pub job_types: JobTypes,
    /// The place of large values and states.
    pub artifacts: ArtifactPlace,
    /// Jobs that ended longer ago are deleted with their artifacts; absent to keep all.
    pub retention: Option<Duration>,
    /// This machine's name, the first half of the executor id.
    pub host: String,
    /// Which of the executor ids of this machine it takes.
    pub slot: Slot,
    /// The processes of heavy computations; absent for threads of this one.
    pub isolation: Option<Isolation>,
    /// The ends of recorded messages.
    pub advice: Advice,
    /// The permission to make tables that are not there.
    pub tables: Tables,
    /// The most connections that it opens; absent for two, and two more for each job at once.
    pub max_connections: Option<u32>,
}

impl WorkerSettings {
    /// One job at a time from the default queue, asking every 50 ms.
    #[must_use]
    pub fn new(
        database_url: impl Into<String>,
        host: impl Into<String>,
        artifacts: impl Into<PathBuf>,
        job_types: JobTypes,
    ) -> Self {
        Self {
            database_url: database_url.into(),
            queue: DEFAULT_QUEUE.to_owned(),
            concurrency: 1,
            poll_interval: Duration::from_millis(50),
            job_types,
            artifacts: ArtifactPlace::directory(artifacts),
            retention: None,
            host: host.into(),
            slot: Slot::Lowest,
            isolation: None,
            advice: Advice::default(),
            tables: Tables::Make,
            max_connections: None,
        }
    }

    /// The number of connections that it opens where nothing else limits it.
    #[must_use]
    pub fn connections(&self) -> u32 {
        let wanted = Connections::wanted(self.concurrency);
        self.max_connections.map_or(wanted, |most| wanted.min(most))
    }
}
