//! Stopping jobs, waiting or running.

use std::collections::HashSet;

use dbos::sysdb::SystemDatabase;

use super::Client;
use crate::record::{JobId, State};
use crate::{Error, Reply};

/// The number of jobs that one statement cancels.
const CANCELLED_AT_ONCE: usize = 500;

/// The outcome of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It is cancelled now; a running computation stops within 0.5 s.
    Cancelled,
    /// It had ended before.
    AlreadyFinal(State),
    /// No such job.
    NotFound,
}

impl Client {
    /// Cancels those of the jobs that have not ended, and returns them; what was cancelled before an error stays so.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub(super) fn cancel_all<'a>(&'a self, jobs: &'a [JobId]) -> Reply<'a, HashSet<JobId>> {
        Box::pin(async move {
            let mut cancelled = HashSet::new();
            for some in jobs.chunks(CANCELLED_AT_ONCE) {
                let ids: Vec<&str> = some.iter().map(JobId::as_str).collect();
                // `false`: children that a job of another client has are not cancelled with it.
                let cancel = self.database.engine.cancel_workflows(&ids, false, None);
                let done = self.database.bounded("cancelling jobs", self.timeout, cancel);
                cancelled.extend(done.await?.into_iter().map(JobId::new));
            }
            Ok(cancelled)
        })
    }

    /// Cancels a job wherever it is.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn cancel<'a>(&'a self, id: &'a JobId) -> Reply<'a, CancelOutcome> {
        Box::pin(async move {
            let cancelled = self.cancel_all(std::slice::from_ref(id)).await?;
            if !cancelled.is_empty() {
                return Ok(CancelOutcome::Cancelled);
            }
            match self.summary(id).await {
                Ok(summary) => Ok(CancelOutcome::AlreadyFinal(summary.job.state)),
                Err(Error::NotFound { .. }) => Ok(CancelOutcome::NotFound),
                Err(error) => Err(error),
            }
        })
    }
}
