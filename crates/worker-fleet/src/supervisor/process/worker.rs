//! The process of a worker: its reports, its silence, and what follows from them.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use durable_jobs::worker::WorkerReport;

use super::managed::ManagedProcess;
use super::restarts::{Intensity, RunOutcome};
use crate::signals::HAND_BACK;
use crate::snapshot::{SILENCE, WorkerState};
use crate::supervisor::ipc::{FromChild, Received, WorkerFailure};

/// The part of the watchdog's time after which a silent worker counts as wedged; ten seconds at most.
const WEDGED_AFTER_PART: u32 = 3;

/// The time that a worker has to end, beyond the grace time: it may wait for a database that is away, and what it
/// cannot hand back is taken from it when it is dead.
const END_MARGIN: Duration = Duration::from_secs(10);

/// The age that a worker's last answer from the database may have, beyond the limits of its heartbeat, while it reports
/// no failure: the heartbeat asks every two seconds and waits for five.
const ROUND_TRIP_MARGIN: Duration = Duration::from_secs(7);

/// A worker that took jobs for this long has got somewhere, even if nobody had a job for it that it could finish.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// The exit code of a worker that was asked to go before it took jobs.
const INTERRUPTED: i32 = 130;

/// The times that a worker has.
#[derive(Debug, Clone, Copy)]
pub struct WorkerTimes {
    /// A worker that is silent for longer is killed.
    pub watchdog: Duration,
    /// The time in which a worker that drains finishes what it has.
    pub grace: Duration,
    /// The time in which a worker that replaces another one begins to take jobs.
    pub start: Duration,
    /// The limit of its restarts.
    pub intensity: Intensity,
}

/// The process of a worker.
pub(crate) type WorkerProcess = ManagedProcess<WorkerRecord>;

/// The record of what a worker reported.
#[derive(Default)]
pub(crate) struct WorkerRecord {
    pub(crate) report: Option<WorkerReport>,
    /// The moment at which it began to take jobs.
    ready: Option<Instant>,
    /// Its last message, if it gave up.
    pub(crate) failure: Option<WorkerFailure>,
}

impl WorkerProcess {
    /// Records a message.
    pub(crate) fn handle(&mut self, message: Received<FromChild>, now: Instant) {
        match message {
            Received::Unknown => self.touch(now),
            Received::Message(FromChild::Beat { report }) => {
                self.beat(now);
                if report.is_some() {
                    self.record.ready.get_or_insert(now);
                }
                self.record.report = report;
            }
            Received::Message(FromChild::Failed(failure)) => {
                self.touch(now);
                self.reason = Some(failure.reason.clone());
                self.record.failure = Some(failure);
            }
        }
    }

    /// Rates its run, which ended with `status` though the supervisor had not asked for it.
    pub(crate) fn rate(&self, status: ExitStatus, now: Instant) -> RunOutcome {
        let is_orderly = match status.code() {
            // Otherwise one that ends with 0 before it takes jobs would be started up to ten times a second.
            Some(0) => self.record.ready.is_some(),
            code => code == Some(INTERRUPTED),
        };
        let has_finished_a_job = self
            .record
            .report
            .as_ref()
            .is_some_and(|report| report.finished > 0);
        let was_steady = self
            .record
            .ready
            .is_some_and(|ready| now.saturating_duration_since(ready) >= STEADY_AFTER);
        if has_finished_a_job || was_steady {
            RunOutcome::Useful
        } else if is_orderly {
            RunOutcome::Orderly
        } else {
            RunOutcome::Futile
        }
    }

    /// Asks it to hand back at once what it has and go.
    pub(crate) fn hand_back(&mut self, now: Instant) {
        // One that still starts listens to this alone.
        self.stop(now);
        self.child.signal(HAND_BACK);
    }

    /// Returns why it must be killed, if it must.
    pub(crate) fn due_death(&self, times: &WorkerTimes, now: Instant) -> Option<String> {
        if self.is_killed {
            return None;
        }
        self.silent_beyond(times.watchdog, now)
            .or_else(|| self.stuck_beyond(times.watchdog, now))
            .or_else(|| self.stopping_beyond(times.grace.saturating_add(END_MARGIN), now))
    }

    fn stuck_beyond(&self, watchdog: Duration, now: Instant) -> Option<String> {
        // After the supervisor itself was away there was no time for a newer answer yet.
        let is_judged = now.saturating_duration_since(self.blameless_until) > ROUND_TRIP_MARGIN;
        let age = self.stuck_for(now).filter(|_| is_judged)?;
        (age > watchdog.saturating_add(ROUND_TRIP_MARGIN)).then(|| {
            format!(
                "its heartbeat has not asked the database for {:.1} s",
                age.as_secs_f64()
            )
        })
    }

    /// Returns when it has to be looked at next, if nothing happens before.
    pub(crate) fn deadline(&self, times: &WorkerTimes, now: Instant) -> Option<Instant> {
        if self.is_killed {
            return None;
        }
        let wedged = self.last_heard + wedged_after(times);
        let killed = self.last_heard.max(self.blameless_until) + times.watchdog;
        Some(if wedged > now { wedged } else { killed })
    }

    /// Derives its state from what is known.
    pub(crate) fn state(&self, times: &WorkerTimes, now: Instant) -> WorkerState {
        let wedged_after = wedged_after(times);
        let is_stuck = self
            .stuck_for(now)
            .is_some_and(|age| age > wedged_after.saturating_add(ROUND_TRIP_MARGIN));
        match &self.record.report {
            _ if self.silence(now) > wedged_after || is_stuck => WorkerState::Wedged,
            _ if self.is_stopping() => WorkerState::Draining,
            report => WorkerState::of_report(report.as_ref()),
        }
    }

    /// Returns the age of its heartbeat's last answer from the database, if it reports no failure.
    ///
    /// One that drains leaves the database on its own time.
    fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let report = self.record.report.as_ref().filter(|report| !report.draining)?;
        // The number comes from another process, and not every number is a duration.
        let age = Duration::try_from_secs_f64(report.database.age_seconds).unwrap_or_default();
        let is_failing = report.database.failure.is_some();
        // A failure shows that the heartbeat still asks: an outage of the database must kill no worker.
        (!is_failing).then(|| age.saturating_add(self.own_silence(now)))
    }
}

fn wedged_after(times: &WorkerTimes) -> Duration {
    (times.watchdog / WEDGED_AFTER_PART).min(SILENCE)
}

#[cfg(test)]
pub(crate) mod tests;
