//! The process of a worker: its reports, its silence, and what follows from them.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use durable_jobs::worker::WorkerReport;

use super::managed::ManagedProcess;
use super::restarts::{Intensity, RunOutcome};
use crate::signals::HAND_BACK;
use crate::snapshot::{SILENCE, WorkerState};
use crate::supervisor::ipc::{FromChild, WorkerFailure};

/// A worker counts as wedged after this part of the time after which it is killed, or when it is not believed any more.
const WEDGED_AFTER_PART: u32 = 3;

/// The time that a worker has to end, beyond the grace time: it may wait for a database that is away, and what it cannot
/// hand back is taken from it when it is dead.
const END_MARGIN: Duration = Duration::from_secs(10);

/// The age that a worker's last answer from the database may have, beyond the limits of its heartbeat, while it reports no
/// failure: the heartbeat asks every two seconds and waits for five.
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
pub(crate) struct WorkerProcess {
    process: ManagedProcess,
    pub(crate) report: Option<WorkerReport>,
    /// The moment at which it began to take jobs.
    ready: Option<Instant>,
    /// Its last message, if it gave up.
    pub(crate) failure: Option<WorkerFailure>,
}

impl AsRef<ManagedProcess> for WorkerProcess {
    fn as_ref(&self) -> &ManagedProcess {
        &self.process
    }
}

impl AsMut<ManagedProcess> for WorkerProcess {
    fn as_mut(&mut self) -> &mut ManagedProcess {
        &mut self.process
    }
}

impl WorkerProcess {
    pub(crate) fn new(process: ManagedProcess) -> Self {
        Self {
            process,
            report: None,
            ready: None,
            failure: None,
        }
    }

    /// Records a message.
    pub(crate) fn handle(&mut self, message: FromChild, now: Instant) {
        match message {
            FromChild::Beat { report } => {
                self.process.beat(now);
                if report.is_some() {
                    self.ready.get_or_insert(now);
                }
                self.report = report;
            }
            FromChild::Failed(failure) => {
                self.process.touch(now);
                self.process.reason = Some(failure.reason.clone());
                self.failure = Some(failure);
            }
        }
    }

    /// Rates its run, which ended with `status` though the supervisor had not asked for it.
    pub(crate) fn rate(&self, status: ExitStatus, now: Instant) -> RunOutcome {
        let is_orderly = match status.code() {
            Some(0) => self.ready.is_some(),
            code => code == Some(INTERRUPTED),
        };
        let has_finished_a_job = self.report.as_ref().is_some_and(|report| report.finished > 0);
        let was_steady = self
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
        self.process.stop(now);
        self.process.child.signal(HAND_BACK);
    }

    /// Returns why it must be killed, if it must.
    ///
    /// This is where a silent worker is noticed, and one whose heartbeat no longer asks the database.
    pub(crate) fn due_death(&self, times: &WorkerTimes, now: Instant) -> Option<String> {
        if self.process.is_killed() {
            return None;
        }
        let process = &self.process;
        process
            .silent_beyond(times.watchdog, now)
            .or_else(|| self.stuck_beyond(times.watchdog, now))
            .or_else(|| process.stopping_beyond(times.grace.saturating_add(END_MARGIN), now))
    }

    fn stuck_beyond(&self, watchdog: Duration, now: Instant) -> Option<String> {
        // After the supervisor itself was away there was no time for a newer answer yet.
        let is_judged = now.saturating_duration_since(self.process.blameless_until) > ROUND_TRIP_MARGIN;
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
        let process = &self.process;
        if process.is_killed() {
            return None;
        }
        let wedged = process.last_heard + wedged_after(times);
        let killed = process.last_heard.max(process.blameless_until) + times.watchdog;
        Some(if wedged > now { wedged } else { killed })
    }

    /// Derives its state from what is known.
    pub(crate) fn state(&self, times: &WorkerTimes, now: Instant) -> WorkerState {
        let wedged_after = wedged_after(times);
        let is_stuck = self
            .stuck_for(now)
            .is_some_and(|age| age > wedged_after.saturating_add(ROUND_TRIP_MARGIN));
        match &self.report {
            _ if self.process.silence(now) > wedged_after || is_stuck => WorkerState::Wedged,
            _ if self.process.is_stopping() => WorkerState::Draining,
            report => WorkerState::of_report(report.as_ref()),
        }
    }

    /// Returns the age of its heartbeat's last answer from the database, if it reports no failure.
    ///
    /// One that drains leaves the database on its own time.
    fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let report = self.report.as_ref().filter(|report| !report.draining)?;
        let age = Duration::try_from_secs_f64(report.database.age_seconds).unwrap_or_default();
        let is_failing = report.database.failure.is_some();
        (!is_failing).then(|| age.saturating_add(self.process.own_silence(now)))
    }
}

fn wedged_after(times: &WorkerTimes) -> Duration {
    (times.watchdog / WEDGED_AFTER_PART).min(SILENCE)
}

#[cfg(test)]
pub(crate) mod tests;
