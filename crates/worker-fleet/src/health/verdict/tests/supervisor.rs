//! Verdicts about old snapshots, old heartbeats and a supervisor that is silent or gone.

use super::*;

#[test]
fn an_old_heartbeat_in_a_recent_snapshot_is_unknown() {
    for heartbeat_age_seconds in [Some(10.1), None] {
        let stale = WorkerSnapshot {
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
        let alone = WorkerSnapshot {
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
