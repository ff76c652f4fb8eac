//! The moments of a kill, and what sets them anew.

use super::*;

#[tokio::test]
async fn silence_counts_anew_after_a_reset_and_is_shown_in_full() {
    let mut worker = Subject::new();
    worker.process.handle(beat(None), worker.at(100.0));
    worker.reset_deadlines(120.0);
    assert_eq!(worker.state(120.0), WorkerState::Wedged);
    assert_eq!(worker.due_death(129.0), None);
    assert_eq!(worker.due_death(129.1).as_deref(), Some("no heartbeat for 9.1 s"));
}

#[tokio::test]
async fn a_reset_makes_no_contact_older() {
    let mut worker = Subject::new();
    worker.receive(idle(0.0), 100.0);
    worker.reset_deadlines(120.0);
    assert_eq!(worker.due_death(129.0), None);
    assert_eq!(worker.due_death(129.1).as_deref(), Some("no heartbeat for 9.1 s"));
}

#[tokio::test]
async fn an_old_contact_counts_only_after_time_for_a_new_one() {
    let mut worker = Subject::new();
    worker.reset_deadlines(120.0);
    worker.receive(idle(30.0), 127.0);
    assert_eq!(worker.due_death(127.0), None);
    worker.receive(idle(30.0), 127.1);
    assert_eq!(
        worker.due_death(127.1).as_deref(),
        Some("its heartbeat has not asked the database for 30.0 s")
    );
}

#[tokio::test]
async fn the_time_to_end_counts_anew_after_a_reset() {
    let mut worker = Subject::new();
    worker.stop(100.0);
    worker.reset_deadlines(120.0);
    worker.receive(draining(0.0), 135.0);
    assert_eq!(worker.due_death(135.0), None);
    assert_eq!(
        worker.due_death(135.1).as_deref(),
        Some("it did not end within 15.1 s")
    );
}

#[tokio::test]
async fn a_reset_asks_nobody_to_end() {
    let mut worker = Subject::new();
    worker.reset_deadlines(100.0);
    worker.receive(idle(0.0), 1000.0);
    assert_eq!(
        (worker.state(1000.0), worker.due_death(1000.0)),
        (WorkerState::Idle, None)
    );
}

#[tokio::test]
async fn the_deadlines_are_those_of_wedged_and_of_killed() {
    let mut worker = Subject::new();
    worker.receive(idle(0.0), 100.0);
    assert_eq!(worker.deadline(101.0), Some(Duration::from_secs(103)));
    assert_eq!(worker.deadline(104.0), Some(Duration::from_secs(109)));
    worker.reset_deadlines(120.0);
    assert_eq!(worker.deadline(120.0), Some(Duration::from_secs(129)));
}

#[tokio::test]
async fn one_that_does_not_end_within_its_grace_and_a_margin_dies() {
    let mut worker = Subject::new();
    worker.stop(100.0);
    // Who asks again gives no more time.
    worker.stop(110.0);
    worker.receive(draining(0.0), 115.0);
    assert_eq!(worker.due_death(115.0), None);
    assert_eq!(
        worker.due_death(115.1).as_deref(),
        Some("it did not end within 15.1 s")
    );
}

#[tokio::test]
async fn one_that_was_not_asked_to_end_may_stay() {
    let mut worker = Subject::new();
    worker.receive(draining(0.0), 1000.0);
    assert_eq!(worker.due_death(1000.0), None);
}
