//! The workers of all hosts.

use askama::Template;
use axum::extract::State;

use super::frame::{Frame, render};
use super::refusal::{Refusal, View};
use super::rows::WorkerCard;
use super::words::counted;
use crate::clock::now_ms;
use crate::state::Shared;

#[derive(Template)]
#[template(path = "workers.html")]
pub(super) struct WorkersPage {
    pub(super) frame: Frame,
    pub(super) sentence: String,
    pub(super) workers: Vec<WorkerCard>,
}

/// Shows the workers.
pub(super) async fn workers(State(web): State<Shared>, frame: Frame) -> View {
    let frame = frame.at("Workers");
    let client = web
        .client()
        .await
        .map_err(|problem| Refusal::new(&frame, problem))?;
    let workers = client
        .workers()
        .await
        .map_err(|error| Refusal::new(&frame, error))?;
    let now_ms = now_ms();
    let workers: Vec<WorkerCard> = workers
        .iter()
        .map(|worker| WorkerCard::of(worker, now_ms))
        .collect();
    Ok(render(&WorkersPage {
        frame,
        sentence: sentence(&workers),
        workers,
    }))
}

fn sentence(workers: &[WorkerCard]) -> String {
    let mut hosts: Vec<&str> = workers.iter().map(|worker| worker.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let taking: Vec<&WorkerCard> = workers.iter().filter(|worker| worker.takes_jobs()).collect();
    let slots: u64 = taking.iter().map(|worker| u64::from(worker.slots)).sum();
    match workers.len() {
        0 => "No worker has been here; start some with: abaci fleet".to_owned(),
        count => format!(
            "{} on {}; {} of them take jobs, {} at once.",
            counted(count as u64, "worker"),
            counted(hosts.len() as u64, "host"),
            taking.len(),
            slots
        ),
    }
}
