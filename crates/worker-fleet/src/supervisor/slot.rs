//! One slot of a fleet: the place of a worker, whichever process fills it.
//!
//! A slot knows what is true of its worker and what is due; the supervisor does it.
//! A worker's state is derived from facts each time it is asked for; only since when it has been shown is remembered.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use durable_jobs::worker::WorkerReport;

use super::ipc::FromWorker;
use super::process::{Child, End, Intensity, Occupant, Pause, Restarts, Run};
use crate::snapshot::{LastExit, WorkerState, WorkerView};

/// The times that a slot works with.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A worker that is silent for longer is killed.
    pub watchdog: Duration,
    /// How long a worker that drains may take to finish what it has.
    pub grace: Duration,
    /// How long a worker that replaces another one may take until it takes jobs.
    pub start: Duration,
    /// How often a worker may end without getting anywhere.
    pub intensity: Intensity,
}

/// The place of a worker.
pub(super) struct Slot {
    pub(super) number: u32,
    times: Times,
    occupant: Option<Occupant>,
    vacancy: Vacancy,
    history: Restarts,
    restarts: u32,
    last_end: Option<End>,
    /// Why the last start failed before there was a process.
    start_failure: Option<String>,
    executor_id: Option<String>,
    was_ready: bool,
    shown: (WorkerState, Instant),
}

/// Why a slot is empty, and until when.
#[derive(Debug, Clone, Copy)]
enum Vacancy {
    /// It never had a process, or the last one was asked to go.
    Planned,
    /// Its process ended by itself, or could not be started; the next one starts at `start`.
    Until {
        since: Instant,
        start: Instant,
        is_crash_loop: bool,
    },
}

/// What a worker that ended by itself leaves behind.
#[derive(Debug)]
pub(super) struct Failure {
    /// What it said when it gave up, with its exit code.
    pub(super) refusal: Option<(u8, String)>,
    /// It found another process under its executor id.
    pub(super) is_slot_taken: bool,
}

impl Slot {
    pub(super) fn new(number: u32, times: Times, now: Instant) -> Self {
        Self {
            number,
            times,
            occupant: None,
            vacancy: Vacancy::Planned,
            history: Restarts::new(times.intensity),
            restarts: 0,
            last_end: None,
            start_failure: None,
            executor_id: None,
            was_ready: false,
            shown: (WorkerState::Starting, now),
        }
    }

    /// Fills the slot with a process that was just started.
    pub(super) fn fill(&mut self, child: Child, incarnation: u64) {
        if self.last_end.is_some() && matches!(self.vacancy, Vacancy::Until { .. }) {
            self.restarts += 1;
        }
        self.start_failure = None;
        self.occupant = Some(Occupant::new(child, incarnation));
    }

    /// Takes note of a sign of life.
    pub(super) fn lives(&mut self, incarnation: u64, now: Instant) {
        if let Some(occupant) = self.occupant_of(incarnation) {
            occupant.lives(now);
        }
    }

    /// Takes in what a process said; one that is no longer in the slot has nothing to say.
    pub(super) fn hear(&mut self, incarnation: u64, message: FromWorker, now: Instant) {
        let Some(occupant) = self.occupant_of(incarnation) else {
            return;
        };
        occupant.hear(message, now);
        let said = occupant.report.as_ref();
        let executor_id = said.map(|report| report.executor_id.clone());
        self.was_ready |= executor_id.is_some();
        self.executor_id = executor_id.or(self.executor_id.take());
    }

    /// Empties the slot; returns what that means if nobody had asked for it.
    pub(super) fn ended(&mut self, incarnation: u64, status: ExitStatus, now: Instant) -> Option<Failure> {
        self.occupant_of(incarnation)?;
        let occupant = self.occupant.take()?;
        let child = &occupant.child;
        let end = End::new(child.pid, child.started, status, occupant.reason(), now);
        self.last_end = Some(end);
        if occupant.is_stopping() {
            self.vacancy = Vacancy::Planned;
            return None;
        }
        let pause = self.history.after_end(now, occupant.run(status, now));
        self.wait(pause, now);
        Some(Failure {
            refusal: occupant.refusal(),
            is_slot_taken: occupant.is_slot_taken,
        })
    }

    /// Puts off a start that failed for this reason, as if the process had ended at once.
    pub(super) fn could_not_start(&mut self, reason: String, now: Instant) {
        self.start_failure = Some(reason);
        let pause = self.history.after_end(now, Run::Futile);
        self.wait(pause, now);
    }

    /// Brings its next start forward to `longest` after the end of its last process, if it is later.
    pub(super) fn bring_forward(&mut self, longest: Duration) {
        if let Vacancy::Until { since, start, .. } = &mut self.vacancy {
            *start = (*start).min(*since + longest);
        }
    }

    fn wait(&mut self, pause: Pause, now: Instant) {
        self.vacancy = Vacancy::Until {
            since: now,
            start: now + pause.length,
            is_crash_loop: pause.is_crash_loop,
        };
    }

    /// Asks the process to finish what it has and go.
    pub(super) fn stop(&mut self, now: Instant) {
        if let Some(occupant) = &mut self.occupant {
            occupant.stop(now);
        }
    }

    /// Asks the process to hand back at once what it has and go.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(occupant) = &mut self.occupant {
            occupant.hurry(now);
        }
    }

    /// Asks the process to go so that another takes its place, at once where there is none.
    pub(super) fn replace(&mut self, now: Instant) {
        self.stop(now);
        if self.occupant.is_none() {
            self.vacancy = Vacancy::Planned;
        }
    }

    /// Kills the process, once, for this reason.
    pub(super) fn kill(&mut self, reason: &str) {
        if let Some(occupant) = &mut self.occupant {
            occupant.kill(reason);
        }
    }

    /// Why the process must be killed, if it must.
    pub(super) fn is_due_to_die(&self, now: Instant) -> Option<String> {
        self.occupant.as_ref()?.due_death(&self.times, now)
    }

    /// Whether a process may be started now.
    pub(super) fn is_due_to_start(&self, now: Instant) -> bool {
        let is_time = match self.vacancy {
            Vacancy::Planned => true,
            Vacancy::Until { start, .. } => start <= now,
        };
        self.occupant.is_none() && is_time
    }

    /// Forgives silence and delay that may be our own.
    pub(super) fn forgive(&mut self, now: Instant) {
        if let Some(occupant) = &mut self.occupant {
            occupant.forgive(now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.occupant.is_none()
    }

    /// Whether a process in it has ever taken jobs.
    pub(super) fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Whether its processes end as soon as they start.
    pub(super) fn is_crash_looping(&self) -> bool {
        matches!(
            self.vacancy,
            Vacancy::Until {
                is_crash_loop: true,
                ..
            }
        )
    }

    /// Whether its worker takes jobs, or was started no longer than `start` ago and so may be about to.
    pub(super) fn is_promising(&self, start: Duration, now: Instant) -> bool {
        let is_starting = self.state(now) == WorkerState::Starting;
        let is_young = |occupant: &Occupant| now.saturating_duration_since(occupant.child.started) <= start;
        self.is_ready(now) || is_starting && self.occupant.as_ref().is_some_and(is_young)
    }

    /// Whether its worker takes jobs, as far as anyone can know.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.state(now).is_ready()
    }

    /// Whether its worker takes jobs, and says nothing of a database that it cannot reach or a host that fails it.
    pub(super) fn takes_jobs(&self, now: Instant) -> bool {
        let report = self
            .occupant
            .as_ref()
            .and_then(|occupant| occupant.report.as_ref());
        let works = |report: &WorkerReport| report.database.failure.is_none() && report.host.is_none();
        self.is_ready(now) && report.is_some_and(works)
    }

    /// That its process takes too long to start, if it does.
    pub(super) fn lateness(&self, now: Instant) -> Option<String> {
        let starting = self
            .occupant
            .as_ref()
            .filter(|_| self.state(now) == WorkerState::Starting)?;
        let age = now.saturating_duration_since(starting.child.started);
        (age > self.times.start).then(|| {
            let (slot, seconds) = (self.number, age.as_secs());
            format!("the new worker has been starting for {seconds} s (slot {slot})")
        })
    }

    /// The incarnation of its process.
    pub(super) fn incarnation(&self) -> Option<u64> {
        self.occupant.as_ref().map(|occupant| occupant.incarnation)
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.occupant.as_ref().map(|occupant| occupant.child.pid)
    }

    /// How its last process ended.
    pub(super) fn last_exit(&self, now: Instant) -> Option<LastExit> {
        self.last_end.as_ref().map(|end| end.view(now))
    }

    /// When this slot has to be looked at next, if nothing happens before.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match (&self.occupant, self.vacancy) {
            (Some(occupant), _) => occupant.deadline(&self.times, now),
            (None, Vacancy::Until { start, .. }) => Some(start),
            (None, Vacancy::Planned) => None,
        }
    }

    /// What its worker is doing.
    pub(super) fn state(&self, now: Instant) -> WorkerState {
        match (&self.occupant, self.vacancy) {
            (Some(occupant), _) => occupant.state(&self.times, now),
            (None, Vacancy::Planned) => WorkerState::Starting,
            (
                None,
                Vacancy::Until {
                    is_crash_loop: true, ..
                },
            ) => WorkerState::CrashLoop,
            (None, Vacancy::Until { .. }) => WorkerState::Dead,
        }
    }

    /// What there is to be said of the worker.
    pub(super) fn view(&mut self, now: Instant) -> WorkerView {
        let state = self.state(now);
        if self.shown.0 != state {
            self.shown = (state, now);
        }
        let occupant = self.occupant.as_ref();
        let report = occupant.and_then(|occupant| occupant.report.as_ref());
        let silence = occupant.map(|occupant| occupant.silence(now).as_secs_f64());
        let has_beaten = occupant.is_some_and(|occupant| occupant.has_beaten);
        WorkerView {
            slot: self.number,
            executor_id: self.executor_id.clone(),
            pid: self.pid(),
            state,
            state_seconds: now.saturating_duration_since(self.shown.1).as_secs_f64(),
            heartbeat_age_seconds: silence.filter(|_| has_beaten),
            database: report.map(|report| {
                let mut contact = report.database.clone();
                contact.age_seconds += silence.unwrap_or_default();
                contact
            }),
            host: report.and_then(|report| report.host.clone()),
            restarts: self.restarts,
            restart_in_seconds: self.restart_in(now),
            start_failure: self.start_failure.clone(),
            last_exit: self.last_exit(now),
            running: report.map(|report| report.running.clone()).unwrap_or_default(),
        }
    }

    /// How long it is until the next start, while there is no process.
    pub(super) fn restart_in(&self, now: Instant) -> Option<f64> {
        match (&self.occupant, self.vacancy) {
            (None, Vacancy::Until { start, .. }) => Some(start.saturating_duration_since(now).as_secs_f64()),
            _ => None,
        }
    }

    fn occupant_of(&mut self, incarnation: u64) -> Option<&mut Occupant> {
        self.occupant
            .as_mut()
            .filter(|occupant| occupant.incarnation == incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::worker_tests::{TIMES, child, idle};
    use super::*;

    #[tokio::test]
    async fn a_new_worker_is_late_that_takes_longer_than_a_start_may_until_it_takes_jobs() {
        let child = child();
        let started = child.started;
        let (in_time, late) = (
            started + TIMES.start,
            started + TIMES.start + Duration::from_secs(1),
        );
        let mut slot = Slot::new(4, TIMES, started);
        assert_eq!(
            slot.lateness(late),
            None,
            "nobody is late before there is anybody"
        );
        slot.fill(child, 1);
        slot.hear(1, FromWorker::Beat { report: None }, in_time);
        assert_eq!(slot.lateness(in_time), None);
        assert_eq!(
            slot.lateness(late).as_deref(),
            Some("the new worker has been starting for 61 s (slot 4)")
        );
        let report = Some(idle(0.0));
        slot.hear(1, FromWorker::Beat { report }, late);
        assert_eq!(slot.lateness(late), None);
    }
}
