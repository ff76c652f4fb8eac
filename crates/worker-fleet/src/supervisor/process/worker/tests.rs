//! Literal reports and moments, and what follows from them. The child has ended long ago: only its messages count here.

mod deadlines;
mod end;

use std::os::unix::process::ExitStatusExt;

use durable_jobs::record::{Details, RunningJob};
use durable_jobs::worker::DatabaseContact;

use super::super::child::{Child, Program};
use super::*;

/// Wedged after three seconds of silence and killed after nine; seven more where the database is what is not heard of.
/// Asked to end, it has five seconds and then ten.
pub(crate) const TIMES: WorkerTimes = WorkerTimes {
    watchdog: Duration::from_secs(9),
    grace: Duration::from_secs(5),
    start: Duration::from_mins(1),
    intensity: Intensity {
        max_restarts: 5,
        window: Duration::from_mins(1),
    },
};

/// A heartbeat with this report.
pub(crate) fn beat(report: Option<WorkerReport>) -> Received<FromChild> {
    Received::Message(FromChild::Beat { report })
}

/// A worker that was started at a moment from which all others are counted, in seconds.
struct Subject {
    process: WorkerProcess,
    started: Instant,
}

/// A process, whatever becomes of it.
pub(crate) fn child() -> Child {
    let program = Program {
        path: "/bin/true".into(),
        running: "/bin/true".into(),
        name: "true".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    let started = program.start(Vec::new(), None, |_| {});
    started.expect("every system has it")
}

impl Subject {
    fn new() -> Self {
        let child = child();
        Self {
            started: child.started,
            process: WorkerProcess::new(child, 1),
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.started + Duration::from_secs_f64(seconds)
    }

    fn receive(&mut self, report: WorkerReport, seconds: f64) {
        self.process.handle(beat(Some(report)), self.at(seconds));
    }

    fn touch(&mut self, seconds: f64) {
        let now = self.at(seconds);
        self.process.touch(now);
    }

    fn stop(&mut self, seconds: f64) {
        let now = self.at(seconds);
        self.process.stop(now);
    }

    fn reset_deadlines(&mut self, seconds: f64) {
        let now = self.at(seconds);
        self.process.reset_deadlines(now);
    }

    fn state(&self, seconds: f64) -> WorkerState {
        self.process.state(&TIMES, self.at(seconds))
    }

    /// The worth of its run if it ends now, by SIGKILL and with the codes 0, 130 and 1.
    fn runs(&self, seconds: f64) -> [RunOutcome; 4] {
        let raw = [9, 0, INTERRUPTED << 8, 1 << 8];
        raw.map(|raw| self.process.rate(ExitStatus::from_raw(raw), self.at(seconds)))
    }

    fn due_death(&self, seconds: f64) -> Option<String> {
        self.process.due_death(&TIMES, self.at(seconds))
    }

    fn deadline(&self, seconds: f64) -> Option<Duration> {
        let deadline = self.process.deadline(&TIMES, self.at(seconds));
        deadline.map(|deadline| deadline - self.started)
    }
}

/// A worker without a job that has heard from the database so long ago.
pub(crate) fn idle(contact_age_seconds: f64) -> WorkerReport {
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
    worker.process.handle(beat(None), worker.at(1.0));
    assert_eq!(worker.state(1.0), WorkerState::Starting);
    worker.receive(idle(0.0), 1.0);
    assert_eq!(worker.state(1.0), WorkerState::Idle);
    worker.receive(busy(), 1.0);
    assert_eq!(worker.state(1.0), WorkerState::Busy);
    worker.receive(draining(0.0), 1.0);
    assert_eq!(worker.state(1.0), WorkerState::Draining);
}

#[tokio::test]
async fn one_that_was_asked_to_stop_drains_whatever_it_says() {
    for said in [None, Some(idle(0.0)), Some(busy())] {
        let mut worker = Subject::new();
        worker.process.handle(beat(said), worker.at(1.0));
        worker.stop(1.0);
        assert_eq!(worker.state(1.0), WorkerState::Draining);
    }
}

#[tokio::test]
async fn a_silent_one_is_wedged_first_and_dies_at_the_watchdogs_time() {
    let mut worker = Subject::new();
    worker.receive(busy(), 100.0);
    assert_eq!(worker.state(103.0), WorkerState::Busy);
    assert_eq!(worker.state(103.1), WorkerState::Wedged);
    assert_eq!(worker.due_death(109.0), None);
    assert_eq!(worker.due_death(109.1).as_deref(), Some("no heartbeat for 9.1 s"));
    // Anything that is heard is a sign of life.
    worker.touch(109.1);
    assert_eq!(
        (worker.state(109.1), worker.due_death(109.1)),
        (WorkerState::Busy, None)
    );
}

#[tokio::test]
async fn a_patient_watchdog_kills_late_but_believes_nobody_longer() {
    let patient = WorkerTimes {
        watchdog: Duration::from_hours(1),
        ..TIMES
    };
    let mut worker = Subject::new();
    worker.receive(idle(0.0), 100.0);
    let state = |seconds| worker.process.state(&patient, worker.at(seconds));
    assert_eq!(
        (state(110.0), state(110.1)),
        (WorkerState::Idle, WorkerState::Wedged)
    );
    assert_eq!(worker.process.due_death(&patient, worker.at(3000.0)), None);
}

#[tokio::test]
async fn one_that_never_says_anything_dies_too() {
    let worker = Subject::new();
    assert_eq!(worker.state(3.1), WorkerState::Wedged);
    assert_eq!(worker.due_death(9.0), None);
    assert!(worker.due_death(9.1).is_some());
}

#[tokio::test]
async fn a_beat_without_answers_of_the_database_is_wedged_then_dies() {
    let mut worker = Subject::new();
    worker.receive(idle(10.0), 100.0);
    assert_eq!(
        (worker.state(100.0), worker.due_death(100.0)),
        (WorkerState::Idle, None)
    );
    worker.receive(idle(11.0), 101.0);
    assert_eq!(
        (worker.state(101.0), worker.due_death(101.0)),
        (WorkerState::Wedged, None)
    );
    worker.receive(idle(16.0), 106.0);
    assert_eq!(worker.due_death(106.0), None);
    worker.receive(idle(18.0), 108.0);
    assert_eq!(worker.state(108.0), WorkerState::Wedged);
    assert_eq!(
        worker.due_death(108.0).as_deref(),
        Some("its heartbeat has not asked the database for 18.0 s")
    );
}

#[tokio::test]
async fn the_age_of_the_last_contact_goes_on_while_nothing_is_heard() {
    let mut worker = Subject::new();
    worker.receive(idle(9.0), 100.0);
    assert_eq!(worker.state(100.9), WorkerState::Idle);
    assert_eq!(worker.state(101.1), WorkerState::Wedged);
    worker.receive(idle(15.0), 106.0);
    assert_eq!(worker.due_death(106.9), None);
    assert_eq!(
        worker.due_death(108.5).as_deref(),
        Some("its heartbeat has not asked the database for 17.5 s")
    );
}

#[tokio::test]
async fn one_that_says_that_the_database_fails_is_never_stuck() {
    let mut worker = Subject::new();
    worker.receive(failing(1000.0), 1000.0);
    assert_eq!(
        (worker.state(1000.0), worker.due_death(1000.0)),
        (WorkerState::Idle, None)
    );
}

#[tokio::test]
async fn one_that_drains_is_never_stuck() {
    let mut worker = Subject::new();
    worker.receive(draining(1000.0), 1000.0);
    assert_eq!(
        (worker.state(1000.0), worker.due_death(1000.0)),
        (WorkerState::Draining, None)
    );
}
