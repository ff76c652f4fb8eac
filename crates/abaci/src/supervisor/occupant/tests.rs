//! Literal reports and moments, and what follows from them. The child is a process that has ended long ago: what is judged
//! here is what was heard of it.

use std::os::unix::process::ExitStatusExt;

use durable_jobs::record::{Details, RunningJob};
use durable_jobs::worker::DatabaseContact;

use super::super::child::Program;
use super::super::restarts::Intensity;
use super::*;

/// Wedged after three seconds of silence and killed after nine; seven more where the database is what is not heard of.
/// Asked to end, it has five seconds and then ten.
pub(in crate::supervisor) const TIMES: Times = Times {
    watchdog: Duration::from_secs(9),
    grace: Duration::from_secs(5),
    start: Duration::from_mins(1),
    intensity: Intensity {
        max_restarts: 5,
        window: Duration::from_mins(1),
    },
};

const NOTHING_SAID: FromWorker = FromWorker::Beat { report: None };

/// A worker that was started at a moment from which all others are counted, in seconds.
struct Subject {
    occupant: Occupant,
    started: Instant,
}

/// A process, whatever becomes of it.
pub(in crate::supervisor) fn child() -> Child {
    let program = Program {
        path: "/bin/true".into(),
        name: "true".into(),
        environment: Vec::new(),
    };
    let started = program.start::<FromWorker>(&[], None, |_| {});
    started.expect("every system has it")
}

impl Subject {
    fn new() -> Self {
        let child = child();
        Self {
            started: child.started,
            occupant: Occupant::new(child, 1),
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.started + Duration::from_secs_f64(seconds)
    }

    fn hear(&mut self, report: WorkerReport, seconds: f64) {
        let message = FromWorker::Beat { report: Some(report) };
        self.occupant.hear(message, self.at(seconds));
    }

    fn state(&self, seconds: f64) -> WorkerState {
        self.occupant.state(&TIMES, self.at(seconds))
    }

    /// The worth of its run if it ends now, by SIGKILL and with the codes 0, 130 and 1.
    fn runs(&self, seconds: f64) -> [Run; 4] {
        let raw = [9, 0, INTERRUPTED << 8, 1 << 8];
        raw.map(|raw| self.occupant.run(ExitStatus::from_raw(raw), self.at(seconds)))
    }

    fn due_death(&self, seconds: f64) -> Option<String> {
        self.occupant.due_death(&TIMES, self.at(seconds))
    }

    fn deadline(&self, seconds: f64) -> Option<Duration> {
        let deadline = self.occupant.deadline(&TIMES, self.at(seconds));
        deadline.map(|deadline| deadline - self.started)
    }
}

/// A worker without a job that has heard from the database so long ago.
pub(in crate::supervisor) fn idle(contact_age_seconds: f64) -> WorkerReport {
    WorkerReport {
        executor_id: "host/0".to_owned(),
        draining: false,
        database: DatabaseContact {
            age_seconds: contact_age_seconds,
            failure: None,
        },
        running: Vec::new(),
        finished: 0,
        host: None,
    }
}

/// As [`idle`], of a worker that has done a job.
fn experienced() -> WorkerReport {
    WorkerReport {
        finished: 1,
        ..idle(0.0)
    }
}

fn busy() -> WorkerReport {
    let job = RunningJob {
        workflow_id: "one".to_owned(),
        details: Details::default(),
        attempt: None,
        step: None,
        progress: None,
        phase: None,
        bytes: None,
        seconds: 1.0,
    };
    WorkerReport {
        running: vec![job],
        ..idle(0.0)
    }
}

/// As [`idle`], of a worker that knows that it does not reach the database.
fn failing(contact_age_seconds: f64) -> WorkerReport {
    let mut report = idle(contact_age_seconds);
    report.database.failure = Some("gone".to_owned());
    report
}

/// As [`idle`], of a worker that finishes what it has.
fn draining(contact_age_seconds: f64) -> WorkerReport {
    WorkerReport {
        draining: true,
        ..idle(contact_age_seconds)
    }
}

#[tokio::test]
async fn a_state_is_what_was_said_last() {
    let mut worker = Subject::new();
    assert_eq!(worker.state(1.0), WorkerState::Starting);
    worker.occupant.hear(NOTHING_SAID, worker.at(1.0));
    assert_eq!(worker.state(1.0), WorkerState::Starting);
    worker.hear(idle(0.0), 1.0);
    assert_eq!(worker.state(1.0), WorkerState::Idle);
    worker.hear(busy(), 1.0);
    assert_eq!(worker.state(1.0), WorkerState::Busy);
    worker.hear(draining(0.0), 1.0);
    assert_eq!(worker.state(1.0), WorkerState::Draining);
}

#[tokio::test]
async fn one_that_was_asked_to_stop_drains_whatever_it_says() {
    for said in [None, Some(idle(0.0)), Some(busy())] {
        let mut worker = Subject::new();
        worker
            .occupant
            .hear(FromWorker::Beat { report: said }, worker.at(1.0));
        worker.occupant.stop(worker.at(1.0));
        assert_eq!(worker.state(1.0), WorkerState::Draining);
    }
}

#[tokio::test]
async fn a_silent_one_is_wedged_after_a_third_of_the_watchdogs_time_and_dies_after_all_of_it() {
    let mut worker = Subject::new();
    worker.hear(busy(), 100.0);
    assert_eq!(worker.state(103.0), WorkerState::Busy);
    assert_eq!(worker.state(103.1), WorkerState::Wedged);
    assert_eq!(worker.due_death(109.0), None);
    assert_eq!(worker.due_death(109.1).as_deref(), Some("no heartbeat for 9.1 s"));
    // Anything that is heard is a sign of life.
    worker.occupant.lives(worker.at(109.1));
    assert_eq!(
        (worker.state(109.1), worker.due_death(109.1)),
        (WorkerState::Busy, None)
    );
}

#[tokio::test]
async fn a_patient_watchdog_kills_late_and_nobody_is_believed_longer_for_that() {
    let patient = Times {
        watchdog: Duration::from_hours(1),
        ..TIMES
    };
    let mut worker = Subject::new();
    worker.hear(idle(0.0), 100.0);
    let state = |seconds| worker.occupant.state(&patient, worker.at(seconds));
    assert_eq!(
        (state(110.0), state(110.1)),
        (WorkerState::Idle, WorkerState::Wedged)
    );
    assert_eq!(worker.occupant.due_death(&patient, worker.at(3000.0)), None);
}

#[tokio::test]
async fn one_that_never_says_anything_dies_too() {
    let worker = Subject::new();
    assert_eq!(worker.state(3.1), WorkerState::Wedged);
    assert_eq!(worker.due_death(9.0), None);
    assert!(worker.due_death(9.1).is_some());
}

#[tokio::test]
async fn one_whose_heartbeat_asks_the_database_no_more_is_wedged_and_then_dies_although_it_beats() {
    let mut worker = Subject::new();
    worker.hear(idle(10.0), 100.0);
    assert_eq!(
        (worker.state(100.0), worker.due_death(100.0)),
        (WorkerState::Idle, None)
    );
    worker.hear(idle(11.0), 101.0);
    assert_eq!(
        (worker.state(101.0), worker.due_death(101.0)),
        (WorkerState::Wedged, None)
    );
    worker.hear(idle(16.0), 106.0);
    assert_eq!(worker.due_death(106.0), None);
    worker.hear(idle(18.0), 108.0);
    assert_eq!(worker.state(108.0), WorkerState::Wedged);
    assert_eq!(
        worker.due_death(108.0).as_deref(),
        Some("its heartbeat has not asked the database for 18.0 s")
    );
}

#[tokio::test]
async fn the_age_of_the_last_contact_goes_on_while_nothing_is_heard() {
    let mut worker = Subject::new();
    worker.hear(idle(9.0), 100.0);
    assert_eq!(worker.state(100.9), WorkerState::Idle);
    assert_eq!(worker.state(101.1), WorkerState::Wedged);
    worker.hear(idle(15.0), 106.0);
    assert_eq!(worker.due_death(106.9), None);
    assert_eq!(
        worker.due_death(108.5).as_deref(),
        Some("its heartbeat has not asked the database for 17.5 s")
    );
}

#[tokio::test]
async fn one_that_says_that_the_database_fails_is_never_stuck() {
    let mut worker = Subject::new();
    worker.hear(failing(1000.0), 1000.0);
    assert_eq!(
        (worker.state(1000.0), worker.due_death(1000.0)),
        (WorkerState::Idle, None)
    );
}

#[tokio::test]
async fn one_that_drains_is_never_stuck() {
    let mut worker = Subject::new();
    worker.hear(draining(1000.0), 1000.0);
    assert_eq!(
        (worker.state(1000.0), worker.due_death(1000.0)),
        (WorkerState::Draining, None)
    );
}

#[tokio::test]
async fn one_that_does_not_end_within_its_grace_and_a_margin_dies() {
    let mut worker = Subject::new();
    worker.occupant.stop(worker.at(100.0));
    // Who asks again gives no more time.
    worker.occupant.stop(worker.at(110.0));
    worker.hear(draining(0.0), 115.0);
    assert_eq!(worker.due_death(115.0), None);
    assert_eq!(
        worker.due_death(115.1).as_deref(),
        Some("it did not end within 15.1 s")
    );
}

#[tokio::test]
async fn one_that_was_not_asked_to_end_may_stay() {
    let mut worker = Subject::new();
    worker.hear(draining(0.0), 1000.0);
    assert_eq!(worker.due_death(1000.0), None);
}

#[tokio::test]
async fn silence_is_counted_anew_from_where_it_was_forgiven_and_shown_all_the_same() {
    let mut worker = Subject::new();
    worker.occupant.hear(NOTHING_SAID, worker.at(100.0));
    worker.occupant.forgive(worker.at(120.0));
    assert_eq!(worker.state(120.0), WorkerState::Wedged);
    assert_eq!(worker.due_death(129.0), None);
    assert_eq!(worker.due_death(129.1).as_deref(), Some("no heartbeat for 9.1 s"));
}

#[tokio::test]
async fn forgiven_silence_makes_no_contact_older() {
    let mut worker = Subject::new();
    worker.hear(idle(0.0), 100.0);
    worker.occupant.forgive(worker.at(120.0));
    assert_eq!(worker.due_death(129.0), None);
    assert_eq!(worker.due_death(129.1).as_deref(), Some("no heartbeat for 9.1 s"));
}

#[tokio::test]
async fn an_old_contact_is_not_judged_before_there_was_time_for_a_new_one() {
    let mut worker = Subject::new();
    worker.occupant.forgive(worker.at(120.0));
    worker.hear(idle(30.0), 127.0);
    assert_eq!(worker.due_death(127.0), None);
    worker.hear(idle(30.0), 127.1);
    assert_eq!(
        worker.due_death(127.1).as_deref(),
        Some("its heartbeat has not asked the database for 30.0 s")
    );
}

#[tokio::test]
async fn the_time_to_end_is_counted_anew_from_where_it_was_forgiven() {
    let mut worker = Subject::new();
    worker.occupant.stop(worker.at(100.0));
    worker.occupant.forgive(worker.at(120.0));
    worker.hear(draining(0.0), 135.0);
    assert_eq!(worker.due_death(135.0), None);
    assert_eq!(
        worker.due_death(135.1).as_deref(),
        Some("it did not end within 15.1 s")
    );
}

#[tokio::test]
async fn forgiving_asks_nobody_to_end() {
    let mut worker = Subject::new();
    worker.occupant.forgive(worker.at(100.0));
    worker.hear(idle(0.0), 1000.0);
    assert_eq!(
        (worker.state(1000.0), worker.due_death(1000.0)),
        (WorkerState::Idle, None)
    );
}

#[tokio::test]
async fn one_that_was_killed_is_not_due_again_and_the_first_reason_stays() {
    let mut worker = Subject::new();
    worker.occupant.kill("the first");
    worker.occupant.kill("the second");
    assert_eq!(worker.due_death(1000.0), None);
    assert_eq!(worker.deadline(1000.0), None);
    assert_eq!(worker.occupant.reason().as_deref(), Some("the first"));
    assert_eq!(worker.occupant.refusal(), None);
}

#[tokio::test]
async fn one_that_gives_up_says_why_and_with_which_code() {
    let mut worker = Subject::new();
    let failed = FromWorker::Failed {
        code: 3,
        reason: "no database".to_owned(),
        is_slot_taken: false,
    };
    worker.occupant.hear(failed, worker.at(1.0));
    assert_eq!(worker.occupant.refusal(), Some((3, "no database".to_owned())));
    assert_eq!(worker.occupant.reason().as_deref(), Some("no database"));
}

#[tokio::test]
async fn it_is_looked_at_when_it_would_be_wedged_and_when_it_would_be_killed() {
    let mut worker = Subject::new();
    worker.hear(idle(0.0), 100.0);
    assert_eq!(worker.deadline(101.0), Some(Duration::from_secs(103)));
    assert_eq!(worker.deadline(104.0), Some(Duration::from_secs(109)));
    worker.occupant.forgive(worker.at(120.0));
    assert_eq!(worker.deadline(120.0), Some(Duration::from_secs(129)));
}

#[tokio::test]
async fn a_run_that_took_no_jobs_is_futile_unless_somebody_ended_it() {
    use Run::{Futile, Orderly};
    let mut subject = Subject::new();
    assert_eq!(subject.runs(60.0), [Futile, Futile, Orderly, Futile]);
    subject.occupant.hear(NOTHING_SAID, subject.at(1.0));
    assert_eq!(subject.runs(60.0), [Futile, Futile, Orderly, Futile]);
}

#[tokio::test]
async fn a_run_is_useful_after_its_first_job_or_some_steady_seconds() {
    use Run::{Futile, Orderly, Useful};
    let mut subject = Subject::new();
    subject.hear(busy(), 1.0);
    let just_ready = [Futile, Orderly, Orderly, Futile];
    assert_eq!(subject.runs(2.0), just_ready);
    let steady = 1.0 + STEADY_AFTER.as_secs_f64();
    assert_eq!(subject.runs(steady - 0.1), just_ready);
    assert_eq!(subject.runs(steady), [Useful; 4]);
    subject.hear(experienced(), 2.0);
    assert_eq!(subject.runs(2.0), [Useful; 4]);
}
