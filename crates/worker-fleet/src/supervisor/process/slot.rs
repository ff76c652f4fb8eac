//! The place of a process, which is filled again whenever the process ends by itself.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::child::Child;
use super::end;
use super::managed::ManagedProcess;
use super::restarts::{Intensity, Pause, Restarts, RunOutcome};
use crate::snapshot::WorkerExit;

/// The place of a process with a record `R`.
pub(crate) struct ProcessSlot<R> {
    pub(crate) current: Option<ManagedProcess<R>>,
    restart: RestartState,
    history: Restarts,
    pub(crate) restarts: u32,
    /// The end of the last process, and when that was.
    last_end: Option<(WorkerExit, Instant)>,
}

/// The reason for an empty place, and when it is filled.
#[derive(Debug, Clone, Copy)]
enum RestartState {
    /// There was no process yet, or the last one was asked to go.
    Planned,
    /// The last process ended by itself, or could not be started; the next one starts at `start`.
    Until {
        since: Instant,
        start: Instant,
        is_crash_loop: bool,
    },
}

impl<R: Default> ProcessSlot<R> {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self {
            current: None,
            restart: RestartState::Planned,
            history: Restarts::new(intensity),
            restarts: 0,
            last_end: None,
        }
    }

    /// Fills the place with a child that was just started.
    pub(crate) fn fill(&mut self, child: Child, incarnation: u64) {
        // The start after a failed first one is no restart, nor is one after a process that was asked to go.
        if self.last_end.is_some() && matches!(self.restart, RestartState::Until { .. }) {
            self.restarts += 1;
        }
        self.current = Some(ManagedProcess::new(child, incarnation));
    }

    /// Returns the process of this incarnation, if it is still there.
    pub(crate) fn process_of(&mut self, incarnation: u64) -> Option<&mut ManagedProcess<R>> {
        self.current
            .as_mut()
            .filter(|process| process.incarnation == incarnation)
    }

    /// Empties the place after the end of this incarnation, and returns the process.
    ///
    /// One that was not asked to go is followed by another, after a pause that depends on how `rate` rates its run.
    pub(crate) fn ended(
        &mut self,
        incarnation: u64,
        status: ExitStatus,
        now: Instant,
        rate: impl FnOnce(&ManagedProcess<R>) -> RunOutcome,
    ) -> Option<ManagedProcess<R>> {
        self.process_of(incarnation)?;
        let process = self.current.take()?;
        let exit = end::exit_of(&process.child, status, process.reason.clone(), now);
        self.last_end = Some((exit, now));
        if process.is_stopping() {
            self.restart = RestartState::Planned;
        } else {
            self.pause_after(rate(&process), now);
        }
        Some(process)
    }

    /// Puts off a start that failed, as if the process had ended at once.
    pub(crate) fn could_not_start(&mut self, now: Instant) {
        self.pause_after(RunOutcome::Futile, now);
    }

    fn pause_after(&mut self, run: RunOutcome, now: Instant) {
        let Pause {
            length,
            is_crash_loop,
        } = self.history.after_end(now, run);
        self.restart = RestartState::Until {
            since: now,
            start: now + length,
            is_crash_loop,
        };
    }

    /// Brings the next start forward to `longest` after the end of the last process, if it is later.
    pub(crate) fn bring_forward(&mut self, longest: Duration) {
        if let RestartState::Until { since, start, .. } = &mut self.restart {
            *start = (*start).min(*since + longest);
        }
    }

    /// Asks the process to finish and end.
    pub(crate) fn stop(&mut self, now: Instant) {
        if let Some(process) = &mut self.current {
            process.stop(now);
        }
    }

    /// Asks the process to go so that another takes its place, at once where there is none.
    pub(crate) fn replace(&mut self, now: Instant) {
        self.stop(now);
        if self.is_empty() {
            self.restart = RestartState::Planned;
        }
    }

    /// Kills the process, once, for this reason.
    pub(crate) fn kill(&mut self, reason: &str) {
        if let Some(process) = &mut self.current {
            process.kill(reason);
        }
    }

    /// Counts silence and delay of the process from `now` on.
    pub(crate) fn reset_deadlines(&mut self, now: Instant) {
        if let Some(process) = &mut self.current {
            process.reset_deadlines(now);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_none()
    }

    /// Says whether a process may be started now.
    pub(crate) fn is_due_to_start(&self, now: Instant) -> bool {
        self.is_empty() && self.next_start().is_none_or(|start| start <= now)
    }

    /// Says whether its processes end as soon as they start.
    pub(crate) fn is_crash_looping(&self) -> bool {
        matches!(
            self.restart,
            RestartState::Until {
                is_crash_loop: true,
                ..
            }
        )
    }

    /// Returns when the next process is started, while there is none and it has to wait.
    pub(crate) fn next_start(&self) -> Option<Instant> {
        match self.restart {
            RestartState::Until { start, .. } if self.is_empty() => Some(start),
            _ => None,
        }
    }

    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.current.as_ref().map(|process| process.incarnation)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.current.as_ref().map(|process| process.child.pid)
    }

    /// Describes the end of the last process.
    pub(crate) fn last_exit(&self, now: Instant) -> Option<WorkerExit> {
        let (exit, ended) = self.last_end.as_ref()?;
        Some(WorkerExit {
            age_seconds: now.saturating_duration_since(*ended).as_secs_f64(),
            ..exit.clone()
        })
    }
}
