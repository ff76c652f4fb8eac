//! Verdicts about workers in each of their states.

use super::*;

/// Asserts the verdict when the only worker is this one.
#[track_caller]
fn assert_unready(worker: WorkerSnapshot, reason: &str) {
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
    let stale = WorkerSnapshot {
        heartbeat_age_seconds: Some(12.34),
        ..worker(0, WorkerState::Wedged)
    };
    assert_unready(stale, "is wedged, its last heartbeat was 12.3 s ago");
    let dead = killed(0, WorkerState::Dead, 0.4);
    assert_unready(dead, "is dead (SIGKILL), restarted in 0.4 s");
    let mut looping = killed(0, WorkerState::CrashLoop, 42.0);
    looping.last_exit = looping.last_exit.map(|exit| WorkerExit {
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
    let contact = |age_seconds, failure: Option<&str>| WorkerSnapshot {
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
    let never = WorkerSnapshot {
        database: None,
        ..worker(0, WorkerState::Idle)
    };
    assert_unready(never, "has not reached the database yet");
}

#[test]
fn a_worker_that_its_host_fails_is_not_ready() {
    let failed = WorkerSnapshot {
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
