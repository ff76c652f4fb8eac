//! One slot of a fleet: the place of a worker, whichever process fills it.
//!
//! A slot knows what is true of its worker and what is due; the supervisor does it.
//! A worker's state is derived from facts each time it is asked for; only since when it has been shown is remembered.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use durable_jobs::worker::WorkerReport;
use tracing::warn;

use super::ipc::{FromChild, Received, ToWorker, WorkerFailure};
use super::process::{Child, ProcessSlot, WorkerProcess, WorkerRecord, WorkerTimes};
use crate::snapshot::{WorkerSnapshot, WorkerState};

/// The place of a worker.
pub(super) struct WorkerSlot {
    pub(super) number: u32,
    times: WorkerTimes,
    pub(super) process: ProcessSlot<WorkerRecord>,
    /// The reason of the last start that failed before there was a process.
    start_failure: Option<String>,
    executor_id: Option<String>,
    was_ready: bool,
    shown: (WorkerState, Instant),
}

/// The end of a worker that nobody had asked to end.
#[derive(Debug)]
pub(super) struct UnexpectedEnd {
    /// Its last message, if it gave up.
    pub(super) failure: Option<WorkerFailure>,
}

impl WorkerSlot {
    pub(super) fn new(number: u32, times: WorkerTimes, now: Instant) -> Self {
        Self {
            number,
            times,
            process: ProcessSlot::new(times.intensity),
            start_failure: None,
            executor_id: None,
            was_ready: false,
            shown: (WorkerState::Starting, now),
        }
    }

    /// Fills the slot with a process that was just started, and tells it how the last one ended.
    pub(super) fn fill(&mut self, child: Child, incarnation: u64) {
        self.start_failure = None;
        if let (Some(exit), Some(sender)) = (self.process.last_exit(child.started), &child.sender) {
            // One that does not hear it works all the same; why it does not shows in its own end.
            let _ = sender.send_at_once(&ToWorker::Predecessor { exit });
        }
        self.process.fill(child, incarnation);
    }

    /// Records a message of its process; one of an earlier process counts for nothing.
    pub(super) fn handle(&mut self, incarnation: u64, message: Received<FromChild>, now: Instant) {
        let Some(worker) = self.process.process_of(incarnation) else {
            return;
        };
        worker.handle(message, now);
        let executor_id = worker
            .record
            .report
            .as_ref()
            .map(|report| report.executor_id.clone());
        self.was_ready |= executor_id.is_some();
        // Before its first report a process is shown with the id of the one before.
        self.executor_id = executor_id.or(self.executor_id.take());
    }

    /// Empties the slot; returns what that means if nobody had asked for it.
    pub(super) fn ended(
        &mut self,
        incarnation: u64,
        status: ExitStatus,
        now: Instant,
    ) -> Option<UnexpectedEnd> {
        let rate = |worker: &WorkerProcess| worker.rate(status, now);
        let worker = self.process.ended(incarnation, status, now, rate)?;
        (!worker.is_stopping()).then_some(UnexpectedEnd {
            failure: worker.record.failure,
        })
    }

    /// Puts off a start that failed for this reason, as if the process had ended at once.
    pub(super) fn could_not_start(&mut self, reason: String, now: Instant) {
        self.start_failure = Some(reason);
        self.process.could_not_start(now);
    }

    /// Asks the process to hand back at once what it has and go.
    pub(super) fn hand_back(&mut self, now: Instant) {
        if let Some(worker) = &mut self.process.current {
            worker.hand_back(now);
        }
    }

    /// Returns why the process must be killed, if it must.
    pub(super) fn due_death(&self, now: Instant) -> Option<String> {
        self.process.current.as_ref()?.due_death(&self.times, now)
    }

    /// Says whether a process in it has ever taken jobs.
    pub(super) fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Says whether its worker takes jobs, or was started no longer than `start` ago and so may be about to.
    pub(super) fn is_promising(&self, start: Duration, now: Instant) -> bool {
        self.is_ready(now) || self.starting_for(now).is_some_and(|age| age <= start)
    }

    /// Says whether its worker takes jobs, as far as anyone can know.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.state(now).is_ready()
    }

    /// Says whether its worker takes jobs, and reports neither a database that it cannot reach nor a host that fails
    /// it.
    pub(super) fn takes_jobs(&self, now: Instant) -> bool {
        let works = |report: &WorkerReport| report.database.failure.is_none() && report.host.is_none();
        self.is_ready(now) && self.report().is_some_and(works)
    }

    /// Describes a process that takes too long to start, if it does.
    pub(super) fn lateness(&self, now: Instant) -> Option<String> {
        let age = self.starting_for(now).filter(|age| *age > self.times.start)?;
        let (slot, seconds) = (self.number, age.as_secs());
        Some(format!(
            "the new worker has been starting for {seconds} s (slot {slot})"
        ))
    }

    /// Returns how long its process has been starting, if it is.
    fn starting_for(&self, now: Instant) -> Option<Duration> {
        let worker = self.process.current.as_ref()?;
        let age = now.saturating_duration_since(worker.child.started);
        (self.state(now) == WorkerState::Starting).then_some(age)
    }

    /// Returns when it has to be looked at next, if nothing happens before.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.process.current {
            Some(worker) => worker.deadline(&self.times, now),
            None => self.process.next_start(),
        }
    }

    /// Derives the state of its worker.
    pub(super) fn state(&self, now: Instant) -> WorkerState {
        match &self.process.current {
            Some(worker) => worker.state(&self.times, now),
            None if self.process.is_crash_looping() => WorkerState::CrashLoop,
            None if self.process.next_start().is_some() => WorkerState::Dead,
            None => WorkerState::Starting,
        }
    }

    /// Describes the worker to others.
    pub(super) fn view(&mut self, now: Instant) -> WorkerSnapshot {
        let state = self.state(now);
        if self.shown.0 != state {
            self.shown = (state, now);
        }
        let process = self.process.current.as_ref();
        let silence = process.map(|process| process.silence(now).as_secs_f64());
        let has_beaten = process.is_some_and(|process| process.has_beaten);
        let report = self.report();
        WorkerSnapshot {
            slot: self.number,
            executor_id: self.executor_id.clone(),
            pid: self.process.pid(),
            state,
            state_seconds: now.saturating_duration_since(self.shown.1).as_secs_f64(),
            heartbeat_age_seconds: silence.filter(|_| has_beaten),
            database: report.map(|report| {
                let mut contact = report.database.clone();
                // The contact is as old as it was in the last beat, and that beat is this old.
                contact.age_seconds += silence.unwrap_or_default();
                contact
            }),
            host: report.and_then(|report| report.host.clone()),
            restarts: self.process.restarts,
            restart_in_seconds: self.restart_in(now),
            start_failure: self.start_failure.clone(),
            last_exit: self.process.last_exit(now),
            running: report.map(|report| report.running.clone()).unwrap_or_default(),
        }
    }

    fn report(&self) -> Option<&WorkerReport> {
        self.process.current.as_ref()?.record.report.as_ref()
    }

    /// Returns how many seconds it is until the next start, while there is no process.
    pub(super) fn restart_in(&self, now: Instant) -> Option<f64> {
        let start = self.process.next_start()?;
        Some(start.saturating_duration_since(now).as_secs_f64())
    }

    /// Logs the end of a worker that ended by itself, or otherwise than it was asked to.
    pub(super) fn log_end(&self, now: Instant) {
        let Some(end) = self.process.last_exit(now) else {
            return;
        };
        let (pid, code, signal, reason) = (end.pid, end.code, end.signal, end.reason);
        let restart_in_seconds = self.restart_in(now);
        let message = match restart_in_seconds {
            None => "worker ended before it had finished; its jobs are taken up again",
            Some(_) if self.process.is_crash_looping() => {
                "worker ended, and did so too often; trying again later"
            }
            Some(_) => "worker ended; starting another",
        };
        warn!(
            slot = self.number,
            pid, code, signal, reason, restart_in_seconds, "{message}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::worker_tests::{TIMES, beat, child, idle};
    use super::*;

    #[tokio::test]
    async fn a_new_worker_is_late_until_it_takes_jobs() {
        let child = child();
        let started = child.started;
        let (in_time, late) = (
            started + TIMES.start,
            started + TIMES.start + Duration::from_secs(1),
        );
        let mut slot = WorkerSlot::new(4, TIMES, started);
        assert_eq!(
            slot.lateness(late),
            None,
            "nobody is late before there is anybody"
        );
        slot.fill(child, 1);
        slot.handle(1, beat(None), in_time);
        assert_eq!(slot.lateness(in_time), None);
        assert_eq!(
            slot.lateness(late).as_deref(),
            Some("the new worker has been starting for 61 s (slot 4)")
        );
        slot.handle(1, beat(Some(idle(0.0))), late);
        assert_eq!(slot.lateness(late), None);
    }
}
