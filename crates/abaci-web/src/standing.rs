//! How things are, as all who look at the overview are told.
//!
//! The database is asked once for all of them, at most once a second; jobs that ended are counted once in five seconds.

use std::sync::Arc;
use std::time::Duration;

use durable_jobs::client::{JobCount, QueueInfo, Throughput, Waiting};
use durable_jobs::presence::Presence;
use durable_jobs::record::Order;
use durable_jobs::{Client, Error, Job, JobFilter, State};
use futures_util::try_join;

use crate::clients::Clients;
use crate::problem::Problem;
use crate::reading::CachedReading;

/// The number of jobs that are shown.
const LATEST: u32 = 12;

/// Jobs are counted up to so many.
const MOST: u64 = 1_000;

/// A failed job needs somebody for so long.
const FRESH_MS: i64 = 24 * 3600 * 1000;

/// The minutes in which ended jobs are counted.
pub(crate) const MINUTES: u32 = 15;

/// The facts of the overview.
pub(crate) struct Standing {
    pub(crate) workers: Vec<Presence>,
    pub(crate) queues: Vec<QueueInfo>,
    /// The job that has waited for the longest time, and why it does; absent where none waits.
    pub(crate) oldest: Option<(Job, Option<Waiting>)>,
    pub(crate) parked: JobCount,
    /// Those that failed within a day.
    pub(crate) failed: JobCount,
    pub(crate) latest: Vec<Job>,
}

/// The last readings of all that.
pub(crate) struct Readings {
    now: CachedReading<Standing>,
    ended: CachedReading<Throughput>,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            now: CachedReading::new(Duration::from_secs(1)),
            ended: CachedReading::new(Duration::from_secs(5)),
        }
    }
}

impl Readings {
    /// Says how things are.
    pub(crate) async fn standing(&self, clients: &Clients) -> Result<Arc<Standing>, Problem> {
        let read = async { Ok(Box::pin(Standing::read(&clients.get().await?)).await?) };
        self.now.get(read).await
    }

    /// Counts the jobs that ended of late.
    pub(crate) async fn ended(&self, clients: &Clients) -> Result<Arc<Throughput>, Problem> {
        let read = async { Ok(clients.get().await?.throughput(MINUTES).await?) };
        self.ended.get(read).await
    }
}

impl Standing {
    async fn read(client: &Client) -> Result<Self, Error> {
        let of_state = |state| JobFilter {
            states: vec![state],
            ..JobFilter::default()
        };
        let parked = of_state(State::Parked);
        let failed = JobFilter {
            // By its end: a job may have been submitted long before it failed.
            completed_since_ms: Some(client.clock().now_ms() - FRESH_MS),
            ..of_state(State::Failed)
        };
        let latest = JobFilter {
            limit: Some(LATEST),
            ..JobFilter::default()
        };
        // All at once: viewers wait as long as for the slowest. They are no snapshot of one moment.
        let (workers, queues, oldest, parked, failed, latest) = try_join!(
            client.workers(),
            client.queues(),
            oldest(client),
            client.count(&parked, MOST),
            client.count(&failed, MOST),
            client.list(&latest),
        )?;
        Ok(Self {
            workers,
            queues,
            oldest,
            parked,
            failed,
            latest,
        })
    }
}

/// Finds the job that has waited for the longest time, and why it does.
async fn oldest(client: &Client) -> Result<Option<(Job, Option<Waiting>)>, Error> {
    let filter = JobFilter {
        // A delayed job waits for its own time, which is no sign of trouble.
        states: vec![State::Queued],
        order: Order::OldestFirst,
        limit: Some(1),
        ..JobFilter::default()
    };
    let Some(job) = client.list(&filter).await?.pop() else {
        return Ok(None);
    };
    match client.waiting(&job.workflow_id).await {
        Ok(waiting) => Ok(Some((job, waiting))),
        // It was deleted meanwhile.
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
