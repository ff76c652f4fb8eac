//! The overview: how things are, the workers, the queue, and what needs somebody.

use askama::Template;
use axum::extract::State;
use durable_jobs::client::{JobCount, QueueInfo, Throughput};

use super::chart::Chart;
use super::frame::{Frame, render};
use super::health::{FleetHealth, Situation};
use super::refusal::{Refusal, View};
use super::rows::{JobRow, WorkerCard};
use super::words::{self, grouped};
use crate::clock::now_ms;
use crate::standing::{MINUTES, Standing};
use crate::state::Shared;

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct OverviewPage {
    pub(super) frame: Frame,
    pub(super) health: FleetHealth,
    pub(super) workers: Vec<WorkerCard>,
    pub(super) waiting: String,
    /// Since when the oldest one waits, and why; absent where none does.
    pub(super) oldest: Option<Oldest>,
    pub(super) running: String,
    pub(super) parked: Option<String>,
    pub(super) failed: Option<String>,
    /// The jobs that ended of late; absent where none did.
    pub(super) chart: Option<Chart>,
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
    let standing = web.readings.standing(&web.clients).await.map_err(refuse)?;
    let ended = web.readings.ended(&web.clients).await.map_err(refuse)?;
    Ok(render(&page(frame, &standing, &ended)))
}

fn page(frame: Frame, standing: &Standing, ended: &Throughput) -> OverviewPage {
    let now_ms = now_ms();
    let workers: Vec<WorkerCard> = standing
        .workers
        .iter()
        .map(|worker| WorkerCard::of(worker, now_ms))
        .collect();
    let oldest = standing.oldest.as_ref();
    let situation = Situation {
        workers: &workers,
        queues: &standing.queues,
        oldest: oldest.and_then(|(_, waiting)| waiting.as_ref()),
        now_ms,
    };
    let sum = |count: fn(&QueueInfo) -> u64| grouped(standing.queues.iter().map(count).sum());
    OverviewPage {
        frame,
        health: situation.health(),
        waiting: sum(|queue| queue.queued),
        running: sum(|queue| queue.running),
        oldest: oldest.map(|(job, waiting)| Oldest {
            job: JobRow::of(job, now_ms),
            why: waiting.as_ref().map(|waiting| words::why(waiting, now_ms)),
        }),
        parked: some(standing.parked),
        failed: some(standing.failed),
        chart: Chart::of(ended),
        latest: standing
            .latest
            .iter()
            .map(|job| JobRow::of(job, now_ms))
            .collect(),
        workers,
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
