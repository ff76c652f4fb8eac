//! A child process with its last sign of life and its deadlines.
//!
//! Its silence is measured twice: as it is, to be shown, and as far as the process itself is to blame, to kill it.
//! The difference is the time in which the supervisor did not listen.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::child::Child;

/// A running child, with a record `R` of what it reported.
pub(crate) struct ManagedProcess<R> {
    pub(crate) child: Child,
    /// Distinguishes its messages from those of its predecessors.
    pub(crate) incarnation: u64,
    pub(crate) record: R,
    pub(crate) has_beaten: bool,
    /// The last sign of life, the start included.
    pub(crate) last_heard: Instant,
    /// Silence before this moment may be our own.
    pub(crate) blameless_until: Instant,
    stopping: Option<Instant>,
    pub(crate) is_killed: bool,
    /// Its last message, or why it was killed.
    pub(crate) reason: Option<String>,
}

impl<R: Default> ManagedProcess<R> {
    pub(crate) fn new(child: Child, incarnation: u64) -> Self {
        Self {
            last_heard: child.started,
            blameless_until: child.started,
            child,
            incarnation,
            record: R::default(),
            has_beaten: false,
            stopping: None,
            is_killed: false,
            reason: None,
        }
    }
}

impl<R> ManagedProcess<R> {
    /// Records a sign of life.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Records a heartbeat.
    pub(crate) fn beat(&mut self, now: Instant) {
        self.touch(now);
        self.has_beaten = true;
    }

    /// Asks it to finish and end, once.
    pub(crate) fn stop(&mut self, now: Instant) {
        if self.stopping.is_none() {
            self.stopping = Some(now);
            self.child.signal(Signal::TERM);
        }
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

    /// Counts silence and delay from `now` on: the supervisor did not listen until then.
    pub(crate) fn reset_deadlines(&mut self, now: Instant) {
        self.blameless_until = now;
        self.stopping = self.stopping.map(|_| now);
    }

    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_heard)
    }

    /// Returns how much of its silence is its own fault.
    pub(crate) fn own_silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_heard.max(self.blameless_until))
    }

    /// Returns why it must be killed if it has been silent for longer than `watchdog`.
    ///
    /// This is where a silent process is noticed.
    pub(crate) fn silent_beyond(&self, watchdog: Duration, now: Instant) -> Option<String> {
        let silence = self.own_silence(now);
        (silence > watchdog).then(|| format!("no heartbeat for {:.1} s", silence.as_secs_f64()))
    }

    /// Returns why it must be killed if it was asked to stop longer than `limit` ago.
    pub(crate) fn stopping_beyond(&self, limit: Duration, now: Instant) -> Option<String> {
        let asked = now.saturating_duration_since(self.stopping?);
        (asked > limit).then(|| format!("it did not end within {:.1} s", asked.as_secs_f64()))
    }
}
