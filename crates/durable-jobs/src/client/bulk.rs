//! Changes of all jobs that a filter means.
//!
//! They are those that are there when they are counted, and no later ones; hundreds are changed by one statement. A change that is
//! interrupted has changed some of them, each wholly, and goes on with the others when it is repeated.

use std::collections::HashSet;

use super::{Client, ResumeOptions, ResumeOutcome};
use crate::record::{Job, JobFilter, JobId, State};
use crate::{Error, Reply};

/// The number of jobs that a preview names.
const FIRST: u32 = 20;

/// The most refusals that a report names.
const MOST_REFUSED: usize = 100;

/// A way in which many jobs are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// Those that have not ended are cancelled.
    Cancel,
    /// Those that failed, were parked or were cancelled go back to their queues.
    Resume,
    /// Those that ended are deleted.
    Delete,
}

/// The jobs that a bulk change is about.
#[derive(Debug, Clone)]
pub struct BulkPreview {
    /// The action.
    pub action: BulkAction,
    /// The number of the jobs.
    pub count: u64,
    /// The first twenty of them, the oldest first.
    pub first: Vec<Job>,
    /// Means these jobs and no later ones.
    frozen: JobFilter,
}

/// The outcome of a bulk change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkReport {
    /// The number of jobs that were to be changed.
    pub count: u64,
    /// The number of those that were changed.
    pub changed: u64,
    /// The first hundred that were not: with the state that they had come to meanwhile, absent where they are gone.
    pub refused: Vec<(JobId, Option<State>)>,
}

impl BulkAction {
    /// The states in which a job can be changed so.
    #[must_use]
    pub const fn states(self) -> &'static [State] {
        match self {
            Self::Cancel => &[State::Queued, State::Delayed, State::Running],
            Self::Resume => &[State::Failed, State::Parked, State::Cancelled],
            Self::Delete => &[State::Succeeded, State::Failed, State::Parked, State::Cancelled],
        }
    }
}

impl Client {
    /// Counts the jobs that a bulk change would be about, and reads the first of them; changes nothing.
    ///
    /// Jobs that cannot be changed so are left out, whatever states the filter has.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn bulk_preview(&self, filter: JobFilter, action: BulkAction) -> Reply<'_, BulkPreview> {
        Box::pin(async move {
            let is_possible = |state: &State| filter.states.is_empty() || filter.states.contains(state);
            let states: Vec<State> = action.states().iter().copied().filter(is_possible).collect();
            if states.is_empty() {
                return Ok(BulkPreview {
                    action,
                    count: 0,
                    first: Vec::new(),
                    frozen: filter,
                });
            }
            let (frozen, count) = self.freeze(JobFilter { states, ..filter }).await?;
            let first = JobFilter {
                limit: Some(FIRST.min(frozen.limit.unwrap_or(FIRST))),
                ..frozen.clone()
            };
            Ok(BulkPreview {
                action,
                count,
                first: self.list(&first).await?,
                frozen,
            })
        })
    }

    /// Changes the jobs of a preview.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`]; what was changed before stays so.
    pub fn bulk(&self, preview: BulkPreview) -> Reply<'_, BulkReport> {
        Box::pin(async move {
            let mut report = BulkReport {
                count: preview.count,
                ..BulkReport::default()
            };
            if preview.count == 0 {
                return Ok(report);
            }
            let mut pages = self.pages(&preview.frozen);
            while let Some(page) = pages.next().await? {
                let ids: Vec<JobId> = page.into_iter().map(|job| job.workflow_id).collect();
                let changed = self.change_all(&ids, preview.action).await?;
                report.changed += changed.len() as u64;
                let others: Vec<JobId> = ids.into_iter().filter(|id| !changed.contains(id)).collect();
                report.refused.extend(self.states_of(others).await?);
                report.refused.truncate(MOST_REFUSED);
            }
            Ok(report)
        })
    }

    async fn change_all(&self, ids: &[JobId], action: BulkAction) -> Result<HashSet<JobId>, Error> {
        match action {
            BulkAction::Cancel => self.cancel_all(ids).await,
            BulkAction::Delete => self.delete_all(ids).await,
            BulkAction::Resume => {
                let outcomes = self.resume_all(ids, ResumeOptions::default()).await?;
                let is_resumed = |outcome: &ResumeOutcome| {
                    matches!(outcome, ResumeOutcome::Resumed | ResumeOutcome::ResumedOn(_))
                };
                let resumed = outcomes.into_iter().filter(|(_, outcome)| is_resumed(outcome));
                Ok(resumed.map(|(id, _)| id).collect())
            }
        }
    }

    /// Reads the states of jobs, absent for those that are gone.
    async fn states_of(&self, ids: Vec<JobId>) -> Result<Vec<(JobId, Option<State>)>, Error> {
        // No ids would mean all jobs.
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let named = JobFilter {
            ids: ids.clone(),
            ..JobFilter::default()
        };
        let jobs = self.list(&named).await?;
        let state = |id: &JobId| {
            jobs.iter()
                .find(|job| job.workflow_id == *id)
                .map(|job| job.state)
        };
        Ok(ids.iter().map(|id| (id.clone(), state(id))).collect())
    }
}
