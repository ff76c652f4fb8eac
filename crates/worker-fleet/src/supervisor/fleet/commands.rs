//! What a fleet can be asked to do while it runs.

use std::time::Instant;

use tokio::sync::oneshot;
use tracing::info;

use super::Fleet;
use crate::snapshot::Phase;
use crate::supervisor::control::{Answer, Request};
use crate::supervisor::reload::Reload;

/// More workers than one machine has a use for.
pub const MOST_WORKERS: u32 = 256;

/// Refuses a number of workers that no fleet can have.
///
/// # Errors
/// Why not, in words.
pub fn check_workers(workers: u32) -> Result<(), String> {
    if (1..=MOST_WORKERS).contains(&workers) {
        return Ok(());
    }
    Err(format!(
        "{workers} workers are not possible; give 1 to {MOST_WORKERS}"
    ))
}

impl Fleet {
    /// Replaces all workers one by one.
    ///
    /// # Errors
    /// Why not now, in words.
    pub(crate) fn reload(
        &mut self,
        answer: Option<oneshot::Sender<Answer>>,
        now: Instant,
    ) -> Result<(), String> {
        self.check_is_quiet()?;
        info!(workers = self.wanted, "replacing all workers one by one");
        self.phase = Phase::Reloading;
        self.reload = Some(Reload::new(self.wanted_slots().collect(), answer, now));
        Ok(())
    }

    /// Changes how many workers there are to be, and says so in words.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn scale(&mut self, workers: u32) -> Result<String, String> {
        self.check_is_quiet()?;
        check_workers(workers)?;
        let before = std::mem::replace(&mut self.wanted, workers);
        info!(before, workers, "scaled");
        Ok(format!("scaled from {before} to {workers} workers"))
    }

    fn check_is_quiet(&self) -> Result<(), String> {
        match self.phase {
            Phase::Running if self.is_starting() => {
                Err("the fleet is starting; try again when it is ready".to_owned())
            }
            Phase::Running => Ok(()),
            Phase::Reloading => Err("a reload is under way; try again when it is done".to_owned()),
            Phase::Draining => Err("the fleet is stopping".to_owned()),
        }
    }

    /// Does what was asked over the control socket, and answers.
    pub(crate) fn answer(&mut self, request: Request, answer: oneshot::Sender<Answer>, now: Instant) {
        let said = match request {
            Request::Status => Answer::Status {
                snapshot: Box::new(self.snapshot(now)),
            },
            Request::Scale { workers } => match self.scale(workers) {
                Ok(message) => Answer::Done { message },
                Err(reason) => Answer::Refused { reason },
            },
            Request::Reload => match self.check_is_quiet() {
                // Answered by the reload when it is over.
                Ok(()) => return drop(self.reload(Some(answer), now)),
                Err(reason) => Answer::Refused { reason },
            },
        };
        // Whoever asked may have left.
        let _ = answer.send(said);
    }
}
