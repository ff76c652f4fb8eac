//! The queues: what is in them, and how fast they start.

use askama::Template;
use axum::extract::State;
use durable_jobs::client::QueueInfo;
use durable_jobs::record::Limit;

use super::frame::{Frame, render};
use super::refusal::{Refusal, View};
use super::words::{self, counted, grouped, shown};
use crate::state::Shared;
use crate::views::segment;

#[derive(Template)]
#[template(path = "queues.html")]
pub(super) struct QueuesPage {
    pub(super) frame: Frame,
    pub(super) sentence: String,
    pub(super) queues: Vec<QueueRow>,
}

/// A queue in the table.
pub(super) struct QueueRow {
    pub(super) name: String,
    /// The path of its changes.
    pub(super) path: String,
    /// The jobs of the queue.
    pub(super) jobs: String,
    pub(super) is_paused: bool,
    pub(super) queued: String,
    pub(super) running: String,
    pub(super) limits: Option<String>,
    /// The rate as the form has it.
    pub(super) starts: String,
    pub(super) seconds: String,
}

impl QueueRow {
    fn of(queue: &QueueInfo) -> Self {
        let limits = Limit {
            rate: queue.rate,
            concurrency: queue.concurrency,
        };
        Self {
            name: shown(&queue.name),
            path: format!("/queues/{}", segment(&queue.name)),
            jobs: format!("/jobs?queue={}", segment(&queue.name)),
            is_paused: queue.paused,
            queued: grouped(queue.queued),
            running: grouped(queue.running),
            limits: words::limits(limits),
            // Not in groups as elsewhere: the form sends it back as it stands.
            starts: queue.rate.map(|rate| rate.starts.to_string()).unwrap_or_default(),
            seconds: queue
                .rate
                .map(|rate| rate.seconds.to_string())
                .unwrap_or_default(),
        }
    }
}

/// Shows the queues.
pub(super) async fn queues(State(web): State<Shared>, frame: Frame) -> View {
    let frame = frame.at("Queues");
    let client = web
        .client()
        .await
        .map_err(|problem| Refusal::new(&frame, problem))?;
    let queues = client
        .queues()
        .await
        .map_err(|error| Refusal::new(&frame, error))?;
    Ok(render(&QueuesPage {
        frame,
        sentence: sentence(&queues),
        queues: queues.iter().map(QueueRow::of).collect(),
    }))
}

fn sentence(queues: &[QueueInfo]) -> String {
    let waiting: u64 = queues.iter().map(|queue| queue.queued).sum();
    let paused = queues.iter().filter(|queue| queue.paused).count();
    let (count, waiting) = (counted(queues.len() as u64, "queue"), counted(waiting, "job"));
    match paused {
        0 => format!("{count}, {waiting} waiting, none of them paused."),
        paused => format!("{count}, {waiting} waiting; {paused} paused."),
    }
}
