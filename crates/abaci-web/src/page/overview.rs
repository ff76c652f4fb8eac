//! The overview: how things are, the workers, the queue, and what needs somebody.

use askama::Template;
use axum::extract::State;
use durable_jobs::client::{JobCount, QueueView, Waiting};
use durable_jobs::{Client, Error, JobFilter, State as JobState};
use futures_util::try_join;

use super::frame::{Frame, render};
use super::health::{Health, Situation};
use super::refusal::{Refusal, View};
use super::rows::{JobRow, WorkerCard};
use super::words::{self, grouped, now_ms};
use crate::state::Shared;

/// The number of jobs that are shown.
const LATEST: u32 = 12;

/// Jobs are counted up to so many.
const MOST: u64 = 1_000;

/// A failed job needs somebody for so long.
const FRESH_MS: i64 = 24 * 3600 * 1000;

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct OverviewPage {
    pub(super) frame: Frame,
    pub(super) health: Health,
    pub(super) workers: Vec<WorkerCard>,
    pub(super) waiting: String,
    /// Since when the oldest one waits, and why; absent where none does.
    pub(super) oldest: Option<Oldest>,
    pub(super) running: String,
    pub(super) parked: Option<String>,
    pub(super) failed: Option<String>,
    pub(super) latest: Vec<JobRow>,
}

/// The oldest job that waits.
pub(super) struct Oldest {
    pub(super) job: JobRow,
    pub(super) why: Option<String>,
}

/// Shows the overview.
pub(super) async fn overview(State(web): State<Shared>, frame: Frame) -> View {
    let frame = frame.at("Overview");
    let refuse = |problem| Refusal::new(&frame, problem);
    let client = web.client().await.map_err(refuse)?;
    let seen = Box::pin(Seen::read(&client))
        .await
        .map_err(|error| Refusal::new(&frame, error))?;
    Ok(render(&seen.page(frame, now_ms())))
}

/// The facts of the overview, as they were read.
struct Seen {
    workers: Vec<WorkerCard>,
    queues: Vec<QueueView>,
    oldest: Option<(durable_jobs::Job, Option<Waiting>)>,
    parked: JobCount,
    failed: JobCount,
    latest: Vec<durable_jobs::Job>,
}

impl Seen {
    async fn read(client: &Client) -> Result<Self, Error> {
        let of_state = |state| JobFilter {
            states: vec![state],
            ..JobFilter::default()
        };
        let parked = of_state(JobState::Parked);
        let failed = JobFilter {
            since_ms: Some(now_ms() - FRESH_MS),
            ..of_state(JobState::Failed)
        };
        let latest = JobFilter {
            limit: Some(LATEST),
            ..JobFilter::default()
        };
        let (workers, queues, oldest, parked, failed, latest) = try_join!(
            client.workers(),
            client.queues(),
            oldest(client),
            client.count(&parked, MOST),
            client.count(&failed, MOST),
            client.list(&latest),
        )?;
        Ok(Self {
            workers: workers.iter().map(WorkerCard::of).collect(),
            queues,
            oldest,
            parked,
            failed,
            latest,
        })
    }

    fn page(self, frame: Frame, now_ms: i64) -> OverviewPage {
        let situation = Situation {
            workers: &self.workers,
            queues: &self.queues,
            oldest: self.oldest.as_ref().and_then(|(_, waiting)| waiting.as_ref()),
            now_ms,
        };
        OverviewPage {
            frame,
            health: situation.health(),
            waiting: grouped(self.queues.iter().map(|queue| queue.queued).sum()),
            running: grouped(self.queues.iter().map(|queue| queue.running).sum()),
            oldest: self.oldest.map(|(job, waiting)| Oldest {
                job: JobRow::of(&job, now_ms),
                why: waiting.map(|waiting| words::why(&waiting, now_ms)),
            }),
            parked: some(self.parked),
            failed: some(self.failed),
            latest: self.latest.iter().map(|job| JobRow::of(job, now_ms)).collect(),
            workers: self.workers,
        }
    }
}

/// Finds the job that has waited for the longest time, and why it does.
async fn oldest(client: &Client) -> Result<Option<(durable_jobs::Job, Option<Waiting>)>, Error> {
    let filter = JobFilter {
        states: vec![JobState::Queued],
        order: durable_jobs::record::Order::OldestFirst,
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

/// Writes how many; nothing for none.
fn some(count: JobCount) -> Option<String> {
    match count {
        JobCount::Exactly(0) => None,
        JobCount::Exactly(count) => Some(grouped(count)),
        JobCount::Over(count) => Some(format!("over {}", grouped(count))),
    }
}
