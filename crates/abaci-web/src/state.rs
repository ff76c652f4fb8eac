//! The state that all handlers share.

use std::pin::Pin;
use std::sync::Arc;

use durable_jobs::artifact::BucketAccess;
use durable_jobs::{Client, JobId, State};
use fibonacci_jobs::Limits;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::clients::{Clients, Connect};
use crate::feed::Feed;
use crate::load::Load;
use crate::problem::Problem;
use crate::standing::Readings;
use crate::views::JobDetailView;

/// The settings of a server.
pub struct WebSettings {
    /// Connects a client, at the first question and after a failure.
    pub connect: Connect,
    /// The rights of those who ask.
    pub access: Access,
    /// The limits of requests.
    pub limits: Limits,
    /// The place of the jobs, fit to be shown.
    pub database: String,
    /// The access to the buckets in which values are kept.
    pub bucket_access: BucketAccess,
    /// Kills workers for those who may change something; only a demonstration has it.
    pub kill: Option<Kill>,
}

/// Kills the process of the worker with an executor id, the way a crash does; an error says in one line why it could not.
pub type Kill = Box<dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The state of a server.
pub(crate) struct Web {
    pub(crate) load: Load,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    /// The place of the jobs, fit to be shown.
    pub(crate) database: String,
    pub(crate) bucket_access: BucketAccess,
    pub(crate) kill: Option<Kill>,
    /// The places for those who read large values.
    pub(crate) reads: Arc<Semaphore>,
    /// The places for those who wait for a result, each of whom asks the database by itself.
    pub(crate) waits: Semaphore,
    pub(crate) clients: Arc<Clients>,
    pub(crate) feed: Feed,
    /// The readings of the overview.
    pub(crate) readings: Readings,
}

/// The state as handlers have it.
pub(crate) type Shared = Arc<Web>;

impl Web {
    /// Returns the client, connected at the first question.
    pub(crate) async fn client(&self) -> Result<Client, Problem> {
        self.clients.get().await
    }

    /// Reads a job, why it waits, and what it is at.
    pub(crate) async fn detail(&self, id: &JobId) -> Result<JobDetailView, Problem> {
        let client = self.client().await?;
        let summary = client.summary(id).await?;
        // Each of these is a statement of its own, so only the states that have an answer are asked about.
        // A job that has moved on since the summary has none, and no error.
        let waiting = match summary.job.state {
            State::Queued | State::Delayed => client.waiting(id).await?,
            _ => None,
        };
        let progress = match summary.job.state {
            State::Running => client.progress(std::slice::from_ref(id)).await?.remove(id),
            _ => None,
        };
        Ok(JobDetailView::new(summary, waiting.as_ref(), progress.as_ref()))
    }
}
