//! Literal snapshots and what follows from them.

use durable_jobs::client::{Limit, PriorityWait, Rate};
use durable_jobs::worker::DatabaseContact;
use serde_json::{Value, json};

use super::super::application::Application;
use super::super::current_view::CurrentView;
use super::super::routes::document::{Answerer, Document};
use super::super::routes::metrics;
use super::super::sample::{Link, SnapshotSample};
use super::*;
use crate::snapshot::{HealthView, LastExit, PrivateDatabase, Snapshot, SupervisorView};

const APPLICATION: Application = Application {
    name: "abaci",
    version: "VERSION",
};

fn worker(slot: u32, state: WorkerState) -> WorkerView {
    WorkerView {
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

fn killed(slot: u32, state: WorkerState, restart_in_seconds: f64) -> WorkerView {
    let last_exit = LastExit {
        pid: 99,
        code: None,
        signal: Some("SIGKILL".to_owned()),
        reason: None,
        ran_seconds: 7.0,
        age_seconds: 0.1,
    };
    WorkerView {
        pid: None,
        heartbeat_age_seconds: None,
        database: None,
        restarts: 3,
        restart_in_seconds: Some(restart_in_seconds),
        last_exit: Some(last_exit),
        ..worker(slot, state)
    }
}

fn sample(workers: Vec<WorkerView>) -> SnapshotSample {
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
        health: Some(HealthView {
            pid: Some(2),
            address: "127.0.0.1:8080".to_owned(),
            restarts: 0,
            last_exit: None,
        }),
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

/// Asserts the verdict when the only worker is this one.
#[track_caller]
fn assert_unready(worker: WorkerView, reason: &str) {
    let verdict = verdict(sample(vec![worker]), &recently());
    assert_eq!(
        verdict.obstacles,
        [format!("no worker takes jobs: worker 0 {reason}")]
    );
    assert_eq!(
        (verdict.status, verdict.ready_workers),
        (HealthStatus::Unhealthy, 0)
    );
}

#[test]
fn a_server_is_healthy_when_all_workers_and_the_database_are() {
    let workers = vec![worker(0, WorkerState::Idle), worker(1, WorkerState::Busy)];
    let verdict = verdict(sample(workers), &recently());
    assert_eq!(
        (verdict.status, verdict.ready_workers),
        (HealthStatus::Healthy, 2)
    );
    assert!(verdict.is_ready() && verdict.flaws.is_empty(), "{verdict:?}");
}

#[test]
fn a_worker_in_any_other_state_is_not_ready_for_that_reason() {
    assert_unready(worker(0, WorkerState::Starting), "has been starting for 3.0 s");
    assert_unready(worker(0, WorkerState::Draining), "is draining");
    let stale = WorkerView {
        heartbeat_age_seconds: Some(12.34),
        ..worker(0, WorkerState::Wedged)
    };
    assert_unready(stale, "is wedged, its last heartbeat was 12.3 s ago");
    let dead = killed(0, WorkerState::Dead, 0.4);
    assert_unready(dead, "is dead (SIGKILL), restarted in 0.4 s");
    let mut looping = killed(0, WorkerState::CrashLoop, 42.0);
    looping.last_exit = looping.last_exit.map(|exit| LastExit {
        code: Some(3),
        signal: None,
        reason: Some("no database answers".to_owned()),
        ..exit
    });
    assert_unready(
        looping,
        "is in a crash loop (exit code 3: no database answers), restarted in 42.0 s",
    );
    assert_unready(
        worker(0, WorkerState::Unknown),
        "is unknown, its last heartbeat was 0.2 s ago",
    );
}

#[test]
fn a_worker_without_the_database_is_never_ready() {
    let contact = |age_seconds, failure: Option<&str>| WorkerView {
        database: Some(DatabaseContact {
            age_seconds,
            failure: failure.map(str::to_owned),
        }),
        ..worker(0, WorkerState::Idle)
    };
    assert_unready(
        contact(3.0, Some("connection refused")),
        "cannot work with the database: connection refused",
    );
    assert_unready(contact(11.0, None), "has not heard from the database for 11.0 s");
    let never = WorkerView {
        database: None,
        ..worker(0, WorkerState::Idle)
    };
    assert_unready(never, "has not reached the database yet");
}

#[test]
fn a_worker_that_its_host_fails_is_not_ready() {
    let failed = WorkerView {
        host: Some(HostTrouble {
            reason: "cannot start a computing process: Too many open files (os error 24)".to_owned(),
            retry_in_seconds: 4.2,
        }),
        ..worker(0, WorkerState::Busy)
    };
    assert!(!failed.takes_jobs());
    assert_unready(
        failed,
        "cannot start a computing process: Too many open files (os error 24); trying again in 4 s",
    );
}

#[test]
fn one_ready_worker_of_two_is_degraded_and_still_ready() {
    let workers = vec![worker(0, WorkerState::Idle), killed(1, WorkerState::Dead, 0.4)];
    let verdict = verdict(sample(workers), &recently());
    assert_eq!(
        (verdict.status, verdict.ready_workers),
        (HealthStatus::Degraded, 1)
    );
    assert!(verdict.is_ready(), "{verdict:?}");
    assert_eq!(verdict.flaws, ["worker 1 is dead (SIGKILL), restarted in 0.4 s"]);
}

#[test]
fn a_worker_that_is_missing_altogether_is_missed() {
    let mut one_of_two = sample(vec![worker(0, WorkerState::Idle)]);
    one_of_two.snapshot.as_mut().unwrap().wanted = 2;
    let one_of_two = verdict(one_of_two, &recently());
    assert_eq!(one_of_two.status, HealthStatus::Degraded);
    assert_eq!(one_of_two.flaws, ["only 1 of 2 workers are there"]);
    let none = verdict(sample(Vec::new()), &recently());
    assert_eq!(none.obstacles, ["no worker takes jobs: there is none"]);
}

#[test]
fn the_reasons_of_a_large_fleet_stay_readable() {
    let workers = (0..64).map(|slot| killed(slot, WorkerState::Dead, 0.4)).collect();
    let verdict = verdict(sample(workers), &recently());
    assert!(verdict.obstacles[0].ends_with("; and 60 more"), "{verdict:?}");
}

#[test]
fn what_drains_is_not_ready_and_says_so() {
    let mut draining = sample(vec![worker(0, WorkerState::Busy)]);
    draining.snapshot.as_mut().unwrap().phase = Phase::Draining;
    let verdict = verdict(draining, &recently());
    assert_eq!(
        (verdict.status, verdict.obstacles),
        (HealthStatus::Draining, vec!["draining".to_owned()])
    );
}

#[test]
fn what_replaces_its_workers_one_by_one_is_ready_meanwhile() {
    let workers = vec![worker(0, WorkerState::Draining), worker(1, WorkerState::Idle)];
    let mut reloading = sample(workers);
    reloading.snapshot.as_mut().unwrap().phase = Phase::Reloading;
    let verdict = verdict(reloading, &recently());
    assert!(
        verdict.is_ready() && verdict.status == HealthStatus::Degraded,
        "{verdict:?}"
    );
}

#[test]
fn an_old_heartbeat_in_a_recent_snapshot_is_unknown() {
    for heartbeat_age_seconds in [Some(10.1), None] {
        let stale = WorkerView {
            heartbeat_age_seconds,
            ..worker(0, WorkerState::Busy)
        };
        let view = CurrentView::new(sample(vec![stale]));
        assert_eq!(view.workers()[0].state, WorkerState::Unknown);
        assert!(view.silence.is_none());
    }
}

#[test]
fn a_heartbeat_ages_with_the_snapshot_that_it_came_in() {
    let aged = |age| SnapshotSample {
        age: Duration::from_secs(age),
        ..sample(vec![worker(0, WorkerState::Idle)])
    };
    let state = |age| CurrentView::new(aged(age)).workers()[0].state;
    assert_eq!((state(9), state(10)), (WorkerState::Idle, WorkerState::Unknown));
}

#[test]
fn a_silent_or_gone_supervisor_makes_every_worker_unknown() {
    let cases = [
        (Link::Alive, 11, "the supervisor has been silent for 11.0 s"),
        (Link::Gone, 1, "the supervisor is gone"),
    ];
    for (link, age, reason) in cases {
        let sample = SnapshotSample {
            age: Duration::from_secs(age),
            link,
            ..sample(vec![
                worker(0, WorkerState::Idle),
                worker(1, WorkerState::Draining),
            ])
        };
        let view = CurrentView::new(sample);
        assert_eq!(view.silence.as_deref(), Some(reason));
        assert!(
            view.workers()
                .iter()
                .all(|worker| worker.state == WorkerState::Unknown)
        );
        let verdict = HealthVerdict::of(&view, &recently());
        assert_eq!(
            (verdict.status, verdict.is_ready()),
            (HealthStatus::Unhealthy, false)
        );
        assert_eq!(verdict.obstacles[0], reason);
    }
}

#[test]
fn a_server_without_supervisor_lives_while_its_loop_turns() {
    let of_age = |heartbeat_age_seconds| {
        let alone = WorkerView {
            heartbeat_age_seconds: Some(heartbeat_age_seconds),
            ..worker(0, WorkerState::Idle)
        };
        CurrentView::new(SnapshotSample {
            link: Link::InProcess,
            ..sample(vec![alone])
        })
    };
    assert_eq!(of_age(0.4).silence, None);
    assert_eq!(
        of_age(10.4).silence.as_deref(),
        Some("the server has stood still for 10.4 s")
    );
}

#[test]
fn without_any_snapshot_the_server_is_unhealthy_but_alive() {
    let nothing = SnapshotSample {
        snapshot: None,
        age: Duration::from_secs(1),
        link: Link::Alive,
    };
    let view = CurrentView::new(nothing);
    let verdict = HealthVerdict::of(&view, &recently());
    assert_eq!((view.silence, verdict.status), (None, HealthStatus::Unhealthy));
    assert_eq!(verdict.obstacles, ["nothing is known of the workers yet"]);
}

#[test]
fn a_database_that_does_not_answer_makes_it_unhealthy() {
    let refused = ProbeResult {
        last: Some((Err("connection refused".to_owned()), Duration::ZERO)),
        ..recently()
    };
    let verdict = verdict(sample(vec![worker(0, WorkerState::Idle)]), &refused);
    assert_eq!(verdict.status, HealthStatus::Unhealthy);
    assert_eq!(
        verdict.obstacles,
        ["the database does not answer: connection refused"]
    );
}

#[test]
fn a_worker_that_starts_again_says_why_the_last_one_ended() {
    let mut starting = killed(0, WorkerState::Starting, 0.0);
    let last_exit = starting.last_exit.as_mut().unwrap();
    (last_exit.signal, last_exit.code) = (None, Some(2));
    last_exit.reason = Some("executor id host/0 is in use".to_owned());
    let verdict = verdict(sample(vec![starting]), &recently());
    assert_eq!(
        verdict.obstacles,
        [
            "no worker takes jobs: worker 0 has been starting for 3.0 s, after exit code 2: executor id host/0 is in use"
        ]
    );
}

#[test]
fn a_removed_database_is_unhealthy_whatever_answers_there() {
    let mut lost = sample(vec![worker(0, WorkerState::Idle)]);
    let snapshot = lost.snapshot.as_mut().unwrap();
    snapshot.private_database = Some(PrivateDatabase {
        removed: true,
        ..PrivateDatabase::down("its files are gone")
    });
    let verdict = verdict(lost, &recently());
    assert_eq!(
        (verdict.status, verdict.is_ready()),
        (HealthStatus::Unhealthy, false)
    );
    assert_eq!(verdict.obstacles, ["its files are gone"]);
}

#[test]
fn a_database_that_was_not_asked_lately_is_unhealthy() {
    for probed in [ProbeResult::default(), answered(Duration::from_secs(6))] {
        let verdict = verdict(sample(vec![worker(0, WorkerState::Idle)]), &probed);
        assert_eq!(
            (verdict.status, verdict.is_ready()),
            (HealthStatus::Unhealthy, false),
            "{probed:?}"
        );
        assert!(
            verdict.obstacles[0].starts_with("the database is unknown: "),
            "{verdict:?}"
        );
    }
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
