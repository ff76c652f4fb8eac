//! The reasons of an end, and the worth of a run.

use super::*;

#[tokio::test]
async fn one_that_was_killed_keeps_its_first_reason() {
    let mut worker = Subject::new();
    worker.process.kill("the first");
    worker.process.kill("the second");
    assert_eq!(worker.due_death(1000.0), None);
    assert_eq!(worker.deadline(1000.0), None);
    assert_eq!(worker.process.reason.as_deref(), Some("the first"));
    assert_eq!(worker.process.record.failure, None);
}

#[tokio::test]
async fn one_that_gives_up_says_why_and_with_which_code() {
    let mut worker = Subject::new();
    let failure = WorkerFailure {
        code: 3,
        reason: "no database".to_owned(),
        is_slot_taken: false,
    };
    worker.process.handle(
        Received::Message(FromChild::Failed(failure.clone())),
        worker.at(1.0),
    );
    assert_eq!(worker.process.record.failure, Some(failure));
    assert_eq!(worker.process.reason.as_deref(), Some("no database"));
}

#[tokio::test]
async fn a_run_that_took_no_jobs_is_futile_unless_somebody_ended_it() {
    use RunOutcome::{Futile, Orderly};
    let mut subject = Subject::new();
    assert_eq!(subject.runs(60.0), [Futile, Futile, Orderly, Futile]);
    subject.process.handle(beat(None), subject.at(1.0));
    assert_eq!(subject.runs(60.0), [Futile, Futile, Orderly, Futile]);
}

#[tokio::test]
async fn a_run_is_useful_after_its_first_job_or_some_steady_seconds() {
    use RunOutcome::{Futile, Orderly, Useful};
    let mut subject = Subject::new();
    subject.receive(busy(), 1.0);
    let just_ready = [Futile, Orderly, Orderly, Futile];
    assert_eq!(subject.runs(2.0), just_ready);
    let steady = 1.0 + STEADY_AFTER.as_secs_f64();
    assert_eq!(subject.runs(steady - 0.1), just_ready);
    assert_eq!(subject.runs(steady), [Useful; 4]);
    subject.receive(experienced(), 2.0);
    assert_eq!(subject.runs(2.0), [Useful; 4]);
}
