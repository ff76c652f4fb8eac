//! The verdict on a server: healthy or not, ready or not, and why.
//!
//! A worker counts as ready when it is idle or busy, its heartbeat is recent, its own contact with the database is
//! recent and without failure, and its host does not fail its jobs. A server is ready when some worker is, the database
//! answers, and nothing drains.

use std::time::Duration;

use durable_jobs::client::QueueStatus;
use durable_jobs::worker::HostTrouble;
use serde::Serialize;

use super::current_view::{CurrentView, is_silence};
use crate::snapshot::{Phase, WorkerSnapshot, WorkerState};

/// An answer of the database that is older than this says nothing any more.
pub(super) const ANSWER_EXPIRY: Duration = Duration::from_secs(5);

/// More workers than this are not described one by one.
const DESCRIBED_WORKERS: usize = 4;

/// The last answers of the database.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeResult {
    /// The last answer, or why there was none, and how old that is; absent before the first.
    pub(super) last: Option<(Result<(), String>, Duration)>,
    /// The last numbers and how old they are, whatever has been answered since.
    pub(super) queue: Option<(QueueStatus, Duration)>,
}

/// The state of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DatabaseState {
    Ok,
    Unreachable(String),
    Unknown(String),
}

impl ProbeResult {
    pub(super) fn database(&self) -> DatabaseState {
        match &self.last {
            None => DatabaseState::Unknown("it has not been asked yet".to_owned()),
            Some((_, age)) if *age > ANSWER_EXPIRY => {
                DatabaseState::Unknown(format!("its last answer is {:.1} s old", age.as_secs_f64()))
            }
            Some((Ok(()), _)) => DatabaseState::Ok,
            Some((Err(reason), _)) => DatabaseState::Unreachable(reason.clone()),
        }
    }
}

/// The whole in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HealthStatus {
    /// Every worker that should be there takes jobs.
    Healthy,
    /// Jobs are taken, and something is missing.
    Degraded,
    /// It was told to stop.
    Draining,
    /// No job is taken, or nobody knows.
    Unhealthy,
}

/// The verdict on a server.
#[derive(Debug)]
pub(super) struct HealthVerdict {
    pub(super) status: HealthStatus,
    /// The number of workers that take jobs.
    pub(super) ready_workers: usize,
    /// The reasons why no job would be taken up now; empty when ready.
    pub(super) obstacles: Vec<String>,
    /// The flaws of a server that takes jobs all the same.
    pub(super) flaws: Vec<String>,
}

impl HealthVerdict {
    pub(super) fn of(view: &CurrentView, probed: &ProbeResult) -> Self {
        let troubles: Vec<String> = view.workers().iter().filter_map(trouble).collect();
        // A worker has one trouble at most, so this does not go below zero.
        let ready_workers = view.workers().len() - troubles.len();
        let database = probed.database();
        let mut obstacles = Vec::new();
        obstacles.extend(view.silence.clone());
        obstacles.extend(removal(view));
        obstacles.extend(phase_obstacle(view.phase()));
        let mut flaws = Vec::new();
        if ready_workers > 0 {
            flaws = troubles;
            flaws.extend(missing(view));
        } else if view.snapshot.is_some() {
            obstacles.push(nobody(&troubles));
        }
        obstacles.extend(database_obstacle(&database));
        Self {
            status: status(view, ready_workers, &database, flaws.is_empty()),
            ready_workers,
            obstacles,
            flaws,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.obstacles.is_empty()
    }
}

fn status(
    view: &CurrentView,
    ready_workers: usize,
    database: &DatabaseState,
    is_complete: bool,
) -> HealthStatus {
    // Before the phase, which is as old as all else that nobody confirms any more.
    if view.silence.is_some() || view.snapshot.is_none() {
        HealthStatus::Unhealthy
    } else if view.phase() == Some(Phase::Draining) {
        HealthStatus::Draining
    } else if ready_workers == 0 || *database != DatabaseState::Ok || removal(view).is_some() {
        HealthStatus::Unhealthy
    } else if is_complete {
        HealthStatus::Healthy
    } else {
        HealthStatus::Degraded
    }
}

fn phase_obstacle(phase: Option<Phase>) -> Option<String> {
    match phase {
        None => Some("nothing is known of the workers yet".to_owned()),
        Some(Phase::Draining) => Some("draining".to_owned()),
        Some(Phase::Running | Phase::Reloading) => None,
    }
}

fn database_obstacle(database: &DatabaseState) -> Option<String> {
    match database {
        DatabaseState::Ok => None,
        DatabaseState::Unreachable(reason) => Some(format!("the database does not answer: {reason}")),
        DatabaseState::Unknown(reason) => Some(format!("the database is unknown: {reason}")),
    }
}

/// Returns the reason when the private database's files are gone, whatever answers in its place.
fn removal(view: &CurrentView) -> Option<String> {
    let database = view.snapshot.as_ref()?.private_database.as_ref()?;
    let reason = database.reason.clone().unwrap_or_default();
    database.removed.then_some(reason)
}

fn missing(view: &CurrentView) -> Option<String> {
    let wanted = view.snapshot.as_ref().map_or(0, |snapshot| snapshot.wanted);
    let there = view.workers().len();
    (there < wanted as usize).then(|| format!("only {there} of {wanted} workers are there"))
}

fn nobody(troubles: &[String]) -> String {
    if troubles.is_empty() {
        return "no worker takes jobs: there is none".to_owned();
    }
    let described = troubles[..troubles.len().min(DESCRIBED_WORKERS)].join("; ");
    match troubles.len().saturating_sub(DESCRIBED_WORKERS) {
        0 => format!("no worker takes jobs: {described}"),
        others => format!("no worker takes jobs: {described}; and {others} more"),
    }
}

/// Describes why a worker takes no jobs; nothing when it does.
fn trouble(worker: &WorkerSnapshot) -> Option<String> {
    let what = match worker.state {
        WorkerState::Idle | WorkerState::Busy => {
            return host_trouble(worker).or_else(|| database_trouble(worker));
        }
        WorkerState::Starting => {
            let seconds = worker.state_seconds;
            format!("has been starting for {seconds:.1} s{}", predecessor(worker))
        }
        WorkerState::Draining => "is draining".to_owned(),
        WorkerState::Wedged => format!("is wedged{}", heartbeat(worker)),
        WorkerState::CrashLoop => format!("is in a crash loop{}", end_and_restart(worker)),
        WorkerState::Dead => format!("is dead{}", end_and_restart(worker)),
        WorkerState::Unknown => format!("is unknown{}", heartbeat(worker)),
    };
    Some(format!("worker {} {what}", worker.slot))
}

fn host_trouble(worker: &WorkerSnapshot) -> Option<String> {
    let HostTrouble {
        reason,
        retry_in_seconds,
    } = worker.host.as_ref()?;
    let next = match retry_in_seconds {
        ..0.5 => "now".to_owned(),
        seconds => format!("in {seconds:.0} s"),
    };
    Some(format!("worker {} {reason}; trying again {next}", worker.slot))
}

fn database_trouble(worker: &WorkerSnapshot) -> Option<String> {
    let slot = worker.slot;
    let Some(contact) = &worker.database else {
        return Some(format!("worker {slot} has not reached the database yet"));
    };
    if let Some(failure) = &contact.failure {
        return Some(format!("worker {slot} cannot work with the database: {failure}"));
    }
    let age = contact.age_seconds;
    is_silence(age).then(|| format!("worker {slot} has not heard from the database for {age:.1} s"))
}

/// Describes the end of the process before one that starts, where it gave a reason.
fn predecessor(worker: &WorkerSnapshot) -> String {
    let said = worker.last_exit.as_ref().filter(|exit| exit.reason.is_some());
    said.map_or_else(String::new, |exit| format!(", after {}", exit.how()))
}

fn heartbeat(worker: &WorkerSnapshot) -> String {
    let age = worker.heartbeat_age_seconds;
    age.map_or_else(String::new, |age| {
        format!(", its last heartbeat was {age:.1} s ago")
    })
}

fn end_and_restart(worker: &WorkerSnapshot) -> String {
    let end = match (&worker.start_failure, &worker.last_exit) {
        (Some(reason), _) => format!(" ({reason})"),
        (None, Some(exit)) => format!(" ({})", exit.how()),
        (None, None) => String::new(),
    };
    let restart = worker.restart_in_seconds;
    let restart = restart.map_or_else(String::new, |seconds| format!(", restarted in {seconds:.1} s"));
    format!("{end}{restart}")
}

#[cfg(test)]
mod tests;
