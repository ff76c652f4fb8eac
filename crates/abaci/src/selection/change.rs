//! Changes of many jobs by one command.
//!
//! A command on jobs that nobody named one by one says how many they are; it asks at a terminal, and wants `--yes` where there is
//! none. It changes no more jobs than it said, hundreds at a time, and holds no more than those in
//! memory; what is interrupted has changed some of them, each wholly, and goes on when it is repeated.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

use std::io::{self, BufRead, IsTerminal};

use anyhow::Context;
use clap::Args;
use durable_jobs::client::{BulkAction, BulkOutcome, BulkPreview, JobCount};
use durable_jobs::{Client, JobFilter, JobId, State};

use super::{JobsArgs, NO_MATCH};
use crate::exit::{Exit, Failed};
use crate::output::{self, counted};

/// The number of jobs that are changed, or looked at, at once.
pub(crate) const AT_ONCE: usize = 500;

/// The consent to a change of jobs that nobody named one by one.
#[derive(Debug, Args)]
pub(crate) struct ConsentFlags {
    /// Do not ask before jobs are changed that were not named one by one
    #[arg(long)]
    yes: bool,
    /// Only say which jobs it is about
    #[arg(long)]
    dry_run: bool,
}

/// A way in which jobs are changed.
pub(crate) struct Change {
    pub(crate) action: BulkAction,
    /// Says what became of a job that was not changed, by its state.
    pub(crate) left: fn(&JobId, State) -> Left,
    /// The jobs that are named on stdout once they are changed.
    pub(crate) named: Named,
}

/// The jobs that a report names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Each,
    Nobody,
}

/// The outcome for all jobs.
#[derive(Clone, Copy)]
pub(crate) struct ChangeReport {
    /// The number of jobs that were changed, or would be.
    pub(crate) jobs: u64,
    pub(crate) exit: Exit,
}

/// The outcome for a job that was not changed.
pub(crate) enum Left {
    /// It was so before.
    AsWished,
    /// It could not be changed, for this reason.
    Refused(String),
}

impl ConsentFlags {
    /// Tests whether nothing is to be changed.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Default for ChangeReport {
    fn default() -> Self {
        Self::to(0)
    }
}

impl ChangeReport {
    fn to(jobs: u64) -> Self {
        Self {
            jobs,
            exit: Exit::Done,
        }
    }
}

impl Change {
    /// Changes the jobs.
    ///
    /// # Errors
    /// A usage error where the jobs cannot be changed so, or where there is nobody to ask; no job where none matches.
    pub(crate) async fn run(
        &self,
        client: &Client,
        jobs: &JobsArgs,
        queue: Option<String>,
        consent: &ConsentFlags,
    ) -> anyhow::Result<ChangeReport> {
        let filter = jobs.filter(client, queue).await?;
        match (jobs.are_named(), consent.dry_run) {
            (true, true) => self.preview_named(client, &filter).await,
            (true, false) => self.change_named(client, &filter.ids).await,
            (false, true) => self.preview(client, &self.narrowed(filter)?).await,
            (false, false) => {
                let filter = self.narrowed(filter)?;
                let preview = client.bulk_preview(filter.clone(), self.action).await?;
                if preview.count == 0 {
                    return Err(self.nothing_to_change(client, &filter).await?.into());
                }
                if consent.yes || self.is_agreed(preview.count)? {
                    return self.change_matching(client, &preview).await;
                }
                output::talk("nothing was changed");
                Ok(ChangeReport {
                    jobs: 0,
                    exit: Exit::No,
                })
            }
        }
    }

    async fn change_named(&self, client: &Client, ids: &[JobId]) -> anyhow::Result<ChangeReport> {
        let (mut changes, mut written) = (ChangeReport::to(0), Ok(()));
        for some in ids.chunks(AT_ONCE) {
            let outcomes = client.change_all(some, self.action).await;
            for (id, outcome) in outcomes.with_context(|| self.so_far(changes.jobs, ids.len() as u64))? {
                if let Some(reason) = self.refusal(&id, &outcome) {
                    output::error(reason);
                    changes.exit = Exit::No;
                    continue;
                }
                changes.jobs += 1;
                // Nobody may read any more; what was asked for is done all the same.
                written = written.and_then(|()| self.report(&id));
            }
        }
        written.map(|()| changes)
    }

    async fn change_matching(&self, client: &Client, preview: &BulkPreview) -> anyhow::Result<ChangeReport> {
        let (mut change, mut changes, mut written) =
            (client.bulk_change(preview), ChangeReport::to(0), Ok(()));
        let count = preview.count;
        loop {
            let outcomes = change.next().await;
            let Some(outcomes) = outcomes.with_context(|| self.so_far(changes.jobs, count))? else {
                break;
            };
            for (id, outcome) in outcomes {
                // Nobody named these: one that changed since the preview only shows in the count below.
                if !matches!(outcome, BulkOutcome::Refused(_)) {
                    say_other_queue(&id, &outcome);
                    changes.jobs += 1;
                    written = written.and_then(|()| self.report(&id));
                }
            }
        }
        if changes.jobs < count {
            let (done, jobs, of) = (self.action.done(), changes.jobs, counted(count, "job"));
            output::talk(format_args!(
                "{done} {jobs} of {of}; the others changed meanwhile"
            ));
        }
        // Some were there at the preview, so that none could be changed is the answer no.
        if changes.jobs == 0 {
            changes.exit = Exit::No;
        }
        written.map(|()| changes)
    }

    /// Says why a job that was named is not as it was wished to be.
    fn refusal(&self, id: &JobId, outcome: &BulkOutcome) -> Option<String> {
        match outcome {
            BulkOutcome::Changed | BulkOutcome::ResumedOn(_) => {
                say_other_queue(id, outcome);
                None
            }
            BulkOutcome::Refused(None) => Some(output::no_such_job(id)),
            BulkOutcome::Refused(Some(state)) => match (self.left)(id, *state) {
                Left::AsWished => None,
                Left::Refused(reason) => Some(reason),
            },
        }
    }

    /// Says how far a change came that failed.
    fn so_far(&self, jobs: u64, count: u64) -> String {
        format!(
            "{} {jobs} of {}; the same command goes on with the others",
            self.action.done(),
            counted(count, "job")
        )
    }

    fn report(&self, id: &JobId) -> anyhow::Result<()> {
        match self.named {
            Named::Each => output::line(format_args!("{} {id}", self.action.done())),
            Named::Nobody => Ok(()),
        }
    }

    async fn preview_named(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<ChangeReport> {
        let mut changes = ChangeReport::to(0);
        for some in filter.ids.chunks(AT_ONCE) {
            let states = client.states_of(some).await?;
            for id in some {
                let reason = match states.get(id) {
                    Some(state) if self.action.states().contains(state) => {
                        self.preview_one(id)?;
                        changes.jobs += 1;
                        continue;
                    }
                    Some(state) => match (self.left)(id, *state) {
                        // The change itself would not fail for it either.
                        Left::AsWished => continue,
                        Left::Refused(reason) => reason,
                    },
                    None => output::no_such_job(id),
                };
                output::error(reason);
                changes.exit = Exit::No;
            }
        }
        self.preview_ends(changes.jobs);
        Ok(changes)
    }

    async fn preview(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<ChangeReport> {
        let (mut pages, mut count) = (client.pages(filter), 0);
        while let Some(page) = pages.next().await? {
            count += page.len() as u64;
            page.iter()
                .try_for_each(|job| self.preview_one(&job.workflow_id))?;
        }
        if count == 0 {
            return Err(self.nothing_to_change(client, filter).await?.into());
        }
        self.preview_ends(count);
        Ok(ChangeReport::to(count))
    }

    fn preview_one(&self, id: &JobId) -> anyhow::Result<()> {
        match self.named {
            Named::Each => output::line(id),
            Named::Nobody => Ok(()),
        }
    }

    fn preview_ends(&self, count: u64) {
        output::talk(format_args!(
            "would {} {}",
            self.action.name(),
            counted(count, "job")
        ));
    }

    /// Leaves those out that cannot be changed so.
    ///
    /// # Errors
    /// A usage error for a state that was asked for and does not allow it.
    fn narrowed(&self, filter: JobFilter) -> anyhow::Result<JobFilter> {
        if let Some(state) = filter
            .states
            .iter()
            .find(|state| !self.action.states().contains(state))
        {
            return Err(Failed::usage(format!(
                "no {state} job can be {}; {}",
                self.action.done(),
                self.condition()
            ))
            .into());
        }
        let states = if filter.states.is_empty() {
            self.action.states().to_vec()
        } else {
            filter.states
        };
        Ok(JobFilter { states, ..filter })
    }

    /// Says why no job can be changed.
    async fn nothing_to_change(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<Failed> {
        let in_any_state = JobFilter {
            states: Vec::new(),
            limit: None,
            // Read of each job, which may take long.
            details: Vec::new(),
            ..filter.clone()
        };
        Ok(match client.count(&in_any_state, 1).await? {
            JobCount::Exactly(0) => Failed::no(NO_MATCH),
            // The details were left out of this count, so it does not say that a job with them exists.
            _ if !filter.details.is_empty() => Failed::no(NO_MATCH),
            _ => Failed::no(format!(
                "no job that matches can be {}; {}",
                self.action.done(),
                self.condition()
            )),
        })
    }

    /// Says in which states jobs can be changed so.
    fn condition(&self) -> String {
        let names: Vec<&str> = self.action.states().iter().map(|state| state.name()).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("only one that is {} or {last}", others.join(", "))
    }

    fn is_agreed(&self, count: u64) -> anyhow::Result<bool> {
        let question = format!("{} {}", self.action.name(), counted(count, "job"));
        // In a script, or where the ids came through a pipe, there is nobody who could answer.
        if !io::stdin().is_terminal() {
            let message = format!("{question}? add --yes to do it, or --dry-run to see which");
            return Err(Failed::usage(message).into());
        }
        output::talk(format_args!("{question}? [y/N]"));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

fn say_other_queue(id: &JobId, outcome: &BulkOutcome) {
    if let BulkOutcome::ResumedOn(queue) = outcome {
        output::talk(format_args!(
            "the queue of job {id} is not known any more; it waits on {queue:?}"
        ));
    }
}
