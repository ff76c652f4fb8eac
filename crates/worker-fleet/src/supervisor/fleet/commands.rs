//! The commands to a running fleet.

use std::time::Instant;

use tokio::sync::oneshot;
use tracing::info;

use super::FleetState;
use crate::snapshot::Phase;
use crate::supervisor::control::{FleetAnswer, FleetRequest};
use crate::supervisor::reload::Reload;

/// More workers than one machine has a use for.
pub const MOST_WORKERS: u32 = 256;

/// Refuses a number of workers that no fleet can have.
///
/// # Errors
/// The reason, in words.
pub fn check_workers(workers: u32) -> Result<(), String> {
    if (1..=MOST_WORKERS).contains(&workers) {
        return Ok(());
    }
    Err(format!(
        "{workers} workers are not possible; give 1 to {MOST_WORKERS}"
    ))
}

impl FleetState {
    /// Replaces all workers one by one.
    ///
    /// # Errors
    /// The reason, in words.
    pub(crate) fn reload(
        &mut self,
        answer: Option<oneshot::Sender<FleetAnswer>>,
        now: Instant,
    ) -> Result<(), String> {
        self.check_is_quiet()?;
        info!(workers = self.plan.workers, "replacing all workers one by one");
        self.phase = Phase::Reloading;
        self.reload = Some(Reload::new(self.wanted_slots().collect(), answer, now));
        Ok(())
    }

    /// Changes the number of workers, and describes the change.
    ///
    /// # Errors
    /// The reason, in words.
    pub(crate) fn scale(&mut self, workers: u32) -> Result<String, String> {
        self.check_is_quiet()?;
        check_workers(workers)?;
        let before = std::mem::replace(&mut self.plan.workers, workers);
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

    /// Carries out a request from the control socket, and answers it.
    pub(crate) fn answer(
        &mut self,
        request: FleetRequest,
        answer: oneshot::Sender<FleetAnswer>,
        now: Instant,
    ) {
        let response = match request {
            FleetRequest::Status => FleetAnswer::Status {
                snapshot: Box::new(self.snapshot(now)),
            },
            FleetRequest::Scale { workers } => match self.scale(workers) {
                Ok(message) => FleetAnswer::Done { message },
                Err(reason) => FleetAnswer::Refused { reason },
            },
            // Checked here, since a reload that refuses would drop the answer.
            FleetRequest::Reload => match self.check_is_quiet() {
                // Answered by the reload when it is over.
                Ok(()) => return drop(self.reload(Some(answer), now)),
                Err(reason) => FleetAnswer::Refused { reason },
            },
        };
        // Whoever asked may have left.
        let _ = answer.send(response);
    }
}
