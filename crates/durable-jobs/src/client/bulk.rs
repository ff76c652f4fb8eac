//! Changes of all jobs that a filter means.
//!
//! The jobs are those that exist when they are counted, and no later ones; hundreds are changed by one statement, or thousands
//! where a filter has to read many. A change that is interrupted has changed some of them, each wholly, and goes on with the
//! others when it is repeated.

use std::collections::HashMap;

use super::{Client, Pages, ResumeOptions, ResumeOutcome};
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
    Resume(ResumeOptions),
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

/// The outcome of a change for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkOutcome {
    /// It was changed.
    Changed,
    /// It was resumed; its own queue is not known any more, and it waits in this one.
    ResumedOn(String),
    /// It was not changed; it is in this state, which is absent where there is no such job.
    Refused(Option<State>),
}

/// The change of the jobs of a preview, as far as it has come.
pub struct BulkChange<'a> {
    pages: Pages<'a>,
    client: &'a Client,
    action: BulkAction,
}

impl BulkAction {
    /// Resumes with the usual options.
    pub const RESUME: Self = Self::Resume(ResumeOptions { memory_bytes: None });

    /// Every action, with the usual options.
    pub const ALL: [Self; 3] = [Self::Cancel, Self::RESUME, Self::Delete];

    /// The states in which a job can be changed so.
    #[must_use]
    pub const fn states(self) -> &'static [State] {
        match self {
            Self::Cancel => &[State::Queued, State::Delayed, State::Running],
            Self::Resume(_) => &[State::Failed, State::Parked, State::Cancelled],
            Self::Delete => &[State::Succeeded, State::Failed, State::Parked, State::Cancelled],
        }
    }

    /// The word for it, such as `cancel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Resume(_) => "resume",
            Self::Delete => "delete",
        }
    }

    /// The word for what was done, such as `cancelled`.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Resume(_) => "resumed",
            Self::Delete => "deleted",
        }
    }
}

impl BulkChange<'_> {
    /// Changes the next hundreds of jobs; none after the last.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`]; what was changed before stays so.
    pub async fn next(&mut self) -> Result<Option<Vec<(JobId, BulkOutcome)>>, Error> {
        let Some(page) = self.pages.next().await? else {
            return Ok(None);
        };
        // The next page begins after these jobs by its cursor, so that none is passed over when they change.
        let ids: Vec<JobId> = page.into_iter().map(|job| job.workflow_id).collect();
        self.client.change_all(&ids, self.action).await.map(Some)
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
            // A filter without states would mean all of them.
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
            let mut change = self.bulk_change(&preview);
            while let Some(outcomes) = change.next().await? {
                for (id, outcome) in outcomes {
                    match outcome {
                        BulkOutcome::Changed | BulkOutcome::ResumedOn(_) => report.changed += 1,
                        BulkOutcome::Refused(state) => report.refused.push((id, state)),
                    }
                }
                report.refused.truncate(MOST_REFUSED);
            }
            Ok(report)
        })
    }

    /// Changes the jobs of a preview as [`Client::bulk`] does, hundreds at a time.
    #[must_use]
    pub fn bulk_change(&self, preview: &BulkPreview) -> BulkChange<'_> {
        let none = JobFilter {
            limit: Some(0),
            ..JobFilter::default()
        };
        BulkChange {
            // The filter of a preview without jobs is as it was given, which means others.
            pages: self.pages(if preview.count == 0 {
                &none
            } else {
                &preview.frozen
            }),
            client: self,
            action: preview.action,
        }
    }

    /// Changes jobs, and says what became of each.
    ///
    /// # Errors
    /// As [`Client::bulk`].
    pub fn change_all<'a>(
        &'a self,
        ids: &'a [JobId],
        action: BulkAction,
    ) -> Reply<'a, Vec<(JobId, BulkOutcome)>> {
        Box::pin(async move {
            let changed = match action {
                BulkAction::Cancel => self.cancel_all(ids).await?,
                BulkAction::Delete => self.delete_all(ids).await?,
                BulkAction::Resume(options) => {
                    let mut outcomes = self.resume_all(ids, options).await?;
                    let outcome = |id: &JobId| match outcomes.remove(id) {
                        Some(ResumeOutcome::Resumed) => BulkOutcome::Changed,
                        Some(ResumeOutcome::ResumedOn(queue)) => BulkOutcome::ResumedOn(queue),
                        Some(ResumeOutcome::Refused(state)) => BulkOutcome::Refused(Some(state)),
                        Some(ResumeOutcome::NotFound) | None => BulkOutcome::Refused(None),
                    };
                    return Ok(ids.iter().cloned().zip(ids.iter().map(outcome)).collect());
                }
            };
            let others: Vec<JobId> = ids.iter().filter(|id| !changed.contains(id)).cloned().collect();
            let states = self.states_of(&others).await?;
            let outcome = |id: &JobId| {
                if changed.contains(id) {
                    return BulkOutcome::Changed;
                }
                BulkOutcome::Refused(states.get(id).copied())
            };
            Ok(ids.iter().map(|id| (id.clone(), outcome(id))).collect())
        })
    }

    /// Reads the states of those of the jobs that there are.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn states_of<'a>(&'a self, ids: &'a [JobId]) -> Reply<'a, HashMap<JobId, State>> {
        Box::pin(async move {
            // No ids would mean all jobs.
            if ids.is_empty() {
                return Ok(HashMap::new());
            }
            let named = JobFilter {
                ids: ids.to_vec(),
                ..JobFilter::default()
            };
            let jobs = self.list(&named).await?;
            Ok(jobs.into_iter().map(|job| (job.workflow_id, job.state)).collect())
        })
    }
}
