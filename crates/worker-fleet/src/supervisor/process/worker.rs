//! The process in a slot: what it has said, how long it has been silent, and what follows from that.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use durable_jobs::worker::WorkerReport;
use rustix::process::Signal;

use super::child::Child;
use super::restarts::Run;
use crate::signals::AT_ONCE;
use crate::snapshot::{SILENCE, WorkerState};
use crate::supervisor::ipc::FromWorker;
use crate::supervisor::slot::Times;

/// A worker counts as wedged after this part of the time after which it is killed, or when it is not believed any more.
const WEDGED_AFTER_PART: u32 = 3;

/// How much longer than the grace time a worker may take to end before it is killed: it may be waiting for a database
/// that is away, and what it cannot give back is taken from it when it is dead.
const END_MARGIN: Duration = Duration::from_secs(10);

/// How long a worker's last word from the database may be old, beyond its heartbeat's own limits, while it reports no
/// failure: the heartbeat asks every two seconds and is patient for five.
const ROUND_TRIP_MARGIN: Duration = Duration::from_secs(7);

/// A worker that took jobs for this long has got somewhere, even if nobody had a job for it that it could finish.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// The exit code of a worker that was asked to go before it took jobs.
const INTERRUPTED: i32 = 130;

/// The process of a worker.
pub(crate) struct Occupant {
    pub(crate) child: Child,
    /// Tells its messages from those of its predecessors.
    pub(crate) incarnation: u64,
    pub(crate) report: Option<WorkerReport>,
    pub(crate) has_beaten: bool,
    /// Since when it has taken jobs.
    ready: Option<Instant>,
    /// When it was heard of last, its start included.
    heard: Instant,
    /// Silence before this moment may be our own, and is nobody's fault.
    blameless_until: Instant,
    /// Since when it has been asked to stop.
    stopping: Option<Instant>,
    is_killed: bool,
    /// What it said last, or why it was killed.
    reason: Option<String>,
    /// The exit code that goes with what it said last.
    failed: Option<u8>,
    /// It found another process under its executor id.
    pub(crate) is_slot_taken: bool,
}

impl Occupant {
    pub(crate) fn new(child: Child, incarnation: u64) -> Self {
        Self {
            heard: child.started,
            blameless_until: child.started,
            child,
            incarnation,
            report: None,
            has_beaten: false,
            ready: None,
            stopping: None,
            is_killed: false,
            reason: None,
            failed: None,
            is_slot_taken: false,
        }
    }

    /// Takes note of a sign of life that says nothing, as from a worker of another version.
    pub(crate) fn lives(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Takes in what it said.
    pub(crate) fn hear(&mut self, message: FromWorker, now: Instant) {
        self.heard = now;
        match message {
            FromWorker::Beat { report } => {
                self.has_beaten = true;
                if report.is_some() {
                    self.ready.get_or_insert(now);
                }
                self.report = report;
            }
            FromWorker::Failed {
                code,
                reason,
                is_slot_taken,
            } => {
                self.is_slot_taken = is_slot_taken;
                self.failed = Some(code);
                self.reason = Some(reason);
            }
        }
    }

    /// What it said when it gave up, with its exit code.
    pub(crate) fn refusal(&self) -> Option<(u8, String)> {
        self.failed.zip(self.reason.clone())
    }

    /// Judges its run, which ended with `status` though the supervisor had not asked for it.
    pub(crate) fn run(&self, status: ExitStatus, now: Instant) -> Run {
        let is_orderly = match status.code() {
            Some(0) => self.ready.is_some(),
            code => code == Some(INTERRUPTED),
        };
        let has_finished_a_job = self.report.as_ref().is_some_and(|report| report.finished > 0);
        let was_steady = self
            .ready
            .is_some_and(|ready| now.saturating_duration_since(ready) >= STEADY_AFTER);
        if has_finished_a_job || was_steady {
            Run::Useful
        } else if is_orderly {
            Run::Orderly
        } else {
            Run::Futile
        }
    }

    /// What it said last, or why it was killed.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.clone()
    }

    /// Asks it to finish what it has and go.
    pub(crate) fn stop(&mut self, now: Instant) {
        if self.stopping.is_none() {
            self.stopping = Some(now);
            self.child.signal(Signal::TERM);
        }
    }

    /// Asks it to hand back at once what it has and go.
    pub(crate) fn hurry(&mut self, now: Instant) {
        // One that still starts listens to this alone.
        self.stop(now);
        self.child.signal(AT_ONCE);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Kills it, once, for this reason.
    pub(crate) fn kill(&mut self, reason: &str) {
        if !self.is_killed {
            self.is_killed = true;
            self.reason = Some(reason.to_owned());
            self.child.signal(Signal::KILL);
        }
    }

    /// Counts silence and delay from now on: this process did not listen until now.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.blameless_until = now;
        self.stopping = self.stopping.map(|_| now);
    }

    /// How long it has been silent.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// How much of its silence it is to be blamed for.
    fn own_silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard.max(self.blameless_until))
    }

    /// Why it must be killed, if it must.
    pub(crate) fn due_death(&self, times: &Times, now: Instant) -> Option<String> {
        if self.is_killed {
            return None;
        }
        let silence = self.own_silence(now);
        if silence > times.watchdog {
            return Some(format!("no heartbeat for {:.1} s", silence.as_secs_f64()));
        }
        let is_judged = now.saturating_duration_since(self.blameless_until) > ROUND_TRIP_MARGIN;
        let stuck = self.stuck_for(now).filter(|_| is_judged);
        if let Some(age) = stuck.filter(|age| *age > times.watchdog.saturating_add(ROUND_TRIP_MARGIN)) {
            return Some(format!(
                "its heartbeat has not asked the database for {:.1} s",
                age.as_secs_f64()
            ));
        }
        let asked = now.saturating_duration_since(self.stopping?);
        (asked > times.grace.saturating_add(END_MARGIN))
            .then(|| format!("it did not end within {:.1} s", asked.as_secs_f64()))
    }

    /// When it has to be looked at next, if nothing happens before.
    pub(crate) fn deadline(&self, times: &Times, now: Instant) -> Option<Instant> {
        if self.is_killed {
            return None;
        }
        let wedged = self.heard + wedged_after(times);
        let killed = self.heard.max(self.blameless_until) + times.watchdog;
        Some(if wedged > now { wedged } else { killed })
    }

    /// What it is doing, derived from what is known.
    pub(crate) fn state(&self, times: &Times, now: Instant) -> WorkerState {
        let wedged_after = wedged_after(times);
        let is_stuck = self
            .stuck_for(now)
            .is_some_and(|age| age > wedged_after.saturating_add(ROUND_TRIP_MARGIN));
        match &self.report {
            _ if self.silence(now) > wedged_after || is_stuck => WorkerState::Wedged,
            _ if self.is_stopping() => WorkerState::Draining,
            None => WorkerState::Starting,
            Some(report) if report.draining => WorkerState::Draining,
            Some(report) if report.running.is_empty() => WorkerState::Idle,
            Some(_) => WorkerState::Busy,
        }
    }

    /// How long ago its heartbeat last heard from the database, if it does not say that it fails to.
    ///
    /// One that drains says goodbye to the database on its own time.
    fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let report = self.report.as_ref().filter(|report| !report.draining)?;
        let age = Duration::try_from_secs_f64(report.database.age_seconds).unwrap_or_default();
        let is_failing = report.database.failure.is_some();
        (!is_failing).then(|| age.saturating_add(self.own_silence(now)))
    }
}

fn wedged_after(times: &Times) -> Duration {
    (times.watchdog / WEDGED_AFTER_PART).min(SILENCE)
}

#[cfg(test)]
pub(crate) mod tests;
