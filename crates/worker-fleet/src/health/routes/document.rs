//! The answer of `/health`: a superset of `{"status", "timestamp", "pid", "ppid"}`.
//!
//! Fields are added and never renamed or removed. Anything unknown is `null`.

use std::time::Duration;

use durable_jobs::client::QueueStatus;
use serde::Serialize;

use crate::health::current_view::{CurrentView, rounded};
use crate::health::verdict::{DatabaseState, HealthStatus, HealthVerdict, ProbeResult};
use crate::snapshot::{Phase, PrivateDatabase, ServingView, WorkerSnapshot};

#[derive(Serialize)]
pub(crate) struct Document<'a> {
    status: HealthStatus,
    /// Seconds since 1970.
    timestamp: f64,
    /// The process that answers.
    pid: u32,
    ppid: u32,
    version: &'static str,
    phase: Option<Phase>,
    supervisor: Option<SupervisorStatus>,
    workers: &'a [WorkerSnapshot],
    ready_workers: usize,
    wanted_workers: Option<u32>,
    health: Option<&'a ServingView>,
    web: Option<&'a ServingView>,
    private_database: Option<&'a PrivateDatabase>,
    queue: Option<Queue<'a>>,
    database: DatabaseView,
    reasons: Vec<&'a str>,
}

#[derive(Serialize)]
struct SupervisorStatus {
    pid: u32,
    uptime_seconds: f64,
    silent_seconds: f64,
}

#[derive(Serialize)]
struct Queue<'a> {
    #[serde(flatten)]
    numbers: &'a QueueStatus,
    age_seconds: f64,
}

#[derive(Serialize)]
struct DatabaseView {
    status: &'static str,
    reason: Option<String>,
    age_seconds: Option<f64>,
}

/// The process that answers, and the time.
pub(crate) struct Answerer {
    pub(crate) version: &'static str,
    pub(crate) since_1970: Duration,
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
}

impl<'a> Document<'a> {
    pub(crate) fn new(
        view: &'a CurrentView,
        probed: &'a ProbeResult,
        verdict: &'a HealthVerdict,
        answerer: &Answerer,
    ) -> Self {
        let snapshot = view.snapshot.as_ref();
        let supervisor = snapshot.and_then(|snapshot| snapshot.supervisor.as_ref());
        let reasons = verdict.obstacles.iter().chain(&verdict.flaws);
        Self {
            status: verdict.status,
            timestamp: answerer.since_1970.as_secs_f64(),
            pid: answerer.pid,
            ppid: answerer.ppid,
            version: answerer.version,
            phase: view.phase(),
            supervisor: supervisor.map(|supervisor| SupervisorStatus {
                pid: supervisor.pid,
                uptime_seconds: supervisor.uptime_seconds,
                silent_seconds: view.silent_seconds,
            }),
            workers: view.workers(),
            ready_workers: verdict.ready_workers,
            wanted_workers: snapshot.map(|snapshot| snapshot.wanted),
            health: snapshot.and_then(|snapshot| snapshot.health.as_ref()),
            web: snapshot.and_then(|snapshot| snapshot.web.as_ref()),
            private_database: snapshot.and_then(|snapshot| snapshot.private_database.as_ref()),
            queue: probed.queue.as_ref().map(Queue::new),
            database: DatabaseView::new(probed),
            reasons: reasons.map(String::as_str).collect(),
        }
    }
}

impl<'a> Queue<'a> {
    fn new((numbers, age): &'a (QueueStatus, Duration)) -> Self {
        Self {
            numbers,
            age_seconds: rounded(age.as_secs_f64()),
        }
    }
}

impl DatabaseView {
    fn new(probed: &ProbeResult) -> Self {
        let (status, reason) = match probed.database() {
            DatabaseState::Ok => ("ok", None),
            DatabaseState::Unreachable(reason) => ("unreachable", Some(reason)),
            DatabaseState::Unknown(reason) => ("unknown", Some(reason)),
        };
        let age = probed.last.as_ref().map(|(_, age)| rounded(age.as_secs_f64()));
        Self {
            status,
            reason,
            age_seconds: age,
        }
    }
}
