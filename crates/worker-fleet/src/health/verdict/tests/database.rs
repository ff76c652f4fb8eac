//! Verdicts about a database that does not answer.

use super::*;

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
