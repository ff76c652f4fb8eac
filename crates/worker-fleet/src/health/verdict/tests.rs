//! Literal snapshots and what follows from them.

mod database;
mod supervisor;
mod workers;

use durable_jobs::client::{Limit, PriorityWait, Rate};
use durable_jobs::worker::DatabaseContact;
use serde_json::{Value, json};

use super::super::application::Application;
use super::super::current_view::CurrentView;
use super::super::routes::document::{Answerer, Document};
use super::super::routes::metrics;
use super::super::sample::{Link, SnapshotSample};
use super::*;
use crate::snapshot::{PrivateDatabase, ServingView, Snapshot, SupervisorView, WorkerExit};

const APPLICATION: Application = Application {
    name: "abaci",
    version: "VERSION",
};

fn worker(slot: u32, state: WorkerState) -> WorkerSnapshot {
    WorkerSnapshot {
        slot,
        executor_id: Some(format!("host/{slot}")),
        pid: Some(100 + slot),
        state,
        state_seconds: 3.0,
        heartbeat_age_seconds: Some(0.2),
        database: Some(DatabaseContact {
            age_seconds: 0.5,
            failure: None,
        }),
        host: None,
        restarts: 0,
        restart_in_seconds: None,
        start_failure: None,
        last_exit: None,
        running: Vec::new(),
    }
}

fn killed(slot: u32, state: WorkerState, restart_in_seconds: f64) -> WorkerSnapshot {
    let last_exit = WorkerExit {
        pid: 99,
        code: None,
        signal: Some("SIGKILL".to_owned()),
        reason: None,
        ran_seconds: 7.0,
        age_seconds: 0.1,
    };
    WorkerSnapshot {
        pid: None,
        heartbeat_age_seconds: None,
        database: None,
        restarts: 3,
        restart_in_seconds: Some(restart_in_seconds),
        last_exit: Some(last_exit),
        ..worker(slot, state)
    }
}

fn sample(workers: Vec<WorkerSnapshot>) -> SnapshotSample {
    let snapshot = Snapshot {
        supervisor: Some(SupervisorView {
            database: String::new(),
            pid: 1,
            uptime_seconds: 60.0,
        }),
        phase: Phase::Running,
        queue: "jobs".to_owned(),
        wanted: u32::try_from(workers.len()).unwrap(),
        workers,
        health: Some(ServingView {
            pid: Some(2),
            address: "127.0.0.1:8080".to_owned(),
            restarts: 0,
            last_exit: None,
        }),
        web: None,
        private_database: Some(PrivateDatabase::RUNNING),
    };
    SnapshotSample {
        snapshot: Some(snapshot),
        age: Duration::ZERO,
        link: Link::Alive,
    }
}

fn answered(age: Duration) -> ProbeResult {
    let queue = QueueStatus {
        queued: 7,
        running: 2,
        oldest_waiting_seconds: Some(1.5),
        priorities: vec![PriorityWait {
            priority: 9,
            due: 6,
            oldest_waiting_seconds: 1.5,
        }],
        paused: false,
        limit: Some(Limit {
            rate: Some(Rate::new(10, Duration::from_secs(2))),
            concurrency: None,
        }),
        stranded: 1,
    };
    ProbeResult {
        last: Some((Ok(()), age)),
        queue: Some((queue, age)),
    }
}

fn recently() -> ProbeResult {
    answered(Duration::from_millis(50))
}

fn verdict(sample: SnapshotSample, probed: &ProbeResult) -> HealthVerdict {
    HealthVerdict::of(&CurrentView::new(sample), probed)
}

fn document(sample: SnapshotSample, probed: &ProbeResult) -> Value {
    let view = CurrentView::new(sample);
    let answerer = Answerer {
        version: APPLICATION.version,
        since_1970: Duration::from_millis(1_795_409_729_100),
        pid: 2,
        ppid: 1,
    };
    serde_json::to_value(Document::new(
        &view,
        probed,
        &HealthVerdict::of(&view, probed),
        &answerer,
    ))
    .unwrap()
}

#[test]
fn every_age_goes_on_while_a_snapshot_is_kept() {
    let old = SnapshotSample {
        age: Duration::from_secs(2),
        ..sample(vec![
            worker(0, WorkerState::Idle),
            killed(1, WorkerState::Dead, 1.0),
        ])
    };
    let document = document(old, &recently());
    assert_eq!(
        document["supervisor"],
        json!({"pid": 1, "uptime_seconds": 62.0, "silent_seconds": 2.0})
    );
    let (first, second) = (&document["workers"][0], &document["workers"][1]);
    assert_eq!(
        (
            &first["state_seconds"],
            &first["heartbeat_age_seconds"],
            &first["database"]["age_seconds"]
        ),
        (&json!(5.0), &json!(2.2), &json!(2.5))
    );
    assert_eq!(
        (&second["restart_in_seconds"], &second["last_exit"]["age_seconds"]),
        (&json!(0.0), &json!(2.1))
    );
}

#[test]
fn the_document_is_what_was_agreed() {
    let workers = vec![
        worker(0, WorkerState::Busy),
        killed(1, WorkerState::CrashLoop, 42.0),
    ];
    let mut document = document(sample(workers), &recently());
    assert_eq!(document["version"].take(), APPLICATION.version);
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn the_metrics_are_what_was_agreed() {
    let workers = vec![
        worker(0, WorkerState::Busy),
        killed(1, WorkerState::CrashLoop, 42.0),
    ];
    let view = CurrentView::new(sample(workers));
    let verdict = HealthVerdict::of(&view, &recently());
    let page = metrics::page(APPLICATION, &view, &recently(), &verdict);
    insta::assert_snapshot!(page);
}
