//! The answer of `/health`: a superset of `{"status", "timestamp", "pid", "ppid"}`.
//!
//! Fields are added and never renamed or removed. What is not known is `null`.

use std::time::Duration;

use durable_jobs::client::QueueStatus;
use serde::Serialize;

use crate::health::current_view::{Seen, rounded};
use crate::health::verdict::{Asked, Database, Status, Verdict};
use crate::snapshot::{HealthView, Phase, PrivateDatabase, WorkerView};

#[derive(Serialize)]
pub(crate) struct Document<'a> {
    status: Status,
    /// Seconds since 1970.
    timestamp: f64,
    /// The process that answers.
    pid: u32,
    ppid: u32,
    version: &'static str,
    phase: Option<Phase>,
    supervisor: Option<Supervisor>,
    workers: &'a [WorkerView],
    ready_workers: usize,
    wanted_workers: Option<u32>,
    health: Option<&'a HealthView>,
    private_database: Option<&'a PrivateDatabase>,
    queue: Option<Queue<'a>>,
    database: DatabaseView,
    reasons: Vec<&'a str>,
}

#[derive(Serialize)]
struct Supervisor {
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

/// Who answers, and when.
pub(crate) struct Answerer {
    pub(crate) version: &'static str,
    pub(crate) since_1970: Duration,
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
}

impl<'a> Document<'a> {
    pub(crate) fn new(seen: &'a Seen, asked: &'a Asked, verdict: &'a Verdict, answerer: &Answerer) -> Self {
        let snapshot = seen.snapshot.as_ref();
        let supervisor = snapshot.and_then(|snapshot| snapshot.supervisor.as_ref());
        let reasons = verdict.obstacles.iter().chain(&verdict.flaws);
        Self {
            status: verdict.status,
            timestamp: answerer.since_1970.as_secs_f64(),
            pid: answerer.pid,
            ppid: answerer.ppid,
            version: answerer.version,
            phase: seen.phase(),
            supervisor: supervisor.map(|supervisor| Supervisor {
                pid: supervisor.pid,
                uptime_seconds: supervisor.uptime_seconds,
                silent_seconds: seen.silent_seconds,
            }),
            workers: seen.workers(),
            ready_workers: verdict.ready_workers,
            wanted_workers: snapshot.map(|snapshot| snapshot.wanted),
            health: snapshot.and_then(|snapshot| snapshot.health.as_ref()),
            private_database: snapshot.and_then(|snapshot| snapshot.private_database.as_ref()),
            queue: asked.queue.as_ref().map(Queue::new),
            database: DatabaseView::new(asked),
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
    fn new(asked: &Asked) -> Self {
        let (status, reason) = match asked.database() {
            Database::Ok => ("ok", None),
            Database::Unreachable(reason) => ("unreachable", Some(reason)),
            Database::Unknown(reason) => ("unknown", Some(reason)),
        };
        let age = asked.last.as_ref().map(|(_, age)| rounded(age.as_secs_f64()));
        Self {
            status,
            reason,
            age_seconds: age,
        }
    }
}
