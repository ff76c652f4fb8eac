//! Changes of many jobs by one command.
//!
//! What changes jobs that nobody named one by one says how many they are and asks first: a person at a terminal, or for
//! `--yes` where there is none. It changes no more jobs than it said, hundreds at a time, and holds no more than those in
//! memory; what is interrupted has changed some of them, each wholly, and goes on when it is repeated.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use durable_jobs::client::JobCount;
use durable_jobs::{Client, JobFilter, JobId, State};

use super::{JobsArgs, NO_MATCH};
use crate::exit::{Exit, Failed};
use crate::output;

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
    /// In the words of a command: `cancel`.
    pub(crate) verb: &'static str,
    /// In the words of a report: `cancelled`.
    pub(crate) done: &'static str,
    /// The states in which a job can be changed so.
    pub(crate) states: &'static [State],
    /// The jobs that are named on stdout once they are changed.
    pub(crate) named: Named,
}

/// The jobs that a report names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Each,
    None,
}

/// The outcome for all jobs.
#[derive(Clone, Copy)]
pub(crate) struct Changes {
    /// The number of jobs that were changed, or would be.
    pub(crate) jobs: u64,
    pub(crate) exit: Exit,
}

/// The outcome for one job.
pub(crate) enum Changed {
    /// It was changed.
    Now,
    /// It was so before.
    Before,
    /// It was not changed, for this reason.
    Refused(String),
}

impl ConsentFlags {
    /// Tests whether nothing is to be changed.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::to(0)
    }
}

impl Changes {
    fn to(jobs: u64) -> Self {
        Self {
            jobs,
            exit: Exit::Done,
        }
    }
}

impl Change {
    /// Changes the jobs by `act`, which says of each of its jobs what became of it.
    ///
    /// # Errors
    /// A usage error where the jobs cannot be changed so, or where there is nobody to ask; no job where none matches.
    pub(crate) async fn run(
        &self,
        client: &Client,
        (jobs, queue): (&JobsArgs, Option<String>),
        consent: &ConsentFlags,
        act: impl AsyncFnMut(&[JobId]) -> anyhow::Result<Vec<(JobId, Changed)>>,
    ) -> anyhow::Result<Changes> {
        let filter = jobs.filter(client, queue).await?;
        match (jobs.are_named(), consent.dry_run) {
            (true, true) => self.preview_named(client, &filter).await,
            (true, false) => self.change_named(&filter.ids, act).await,
            (false, true) => self.preview(client, &self.narrowed(filter)?).await,
            (false, false) => {
                let filter = self.narrowed(filter)?;
                let count = self.count(client, &filter).await?;
                if consent.yes || self.is_agreed(count)? {
                    self.change_matching(client, filter, count, act).await
                } else {
                    Ok(Changes::to(0))
                }
            }
        }
    }

    async fn change_named(
        &self,
        ids: &[JobId],
        mut act: impl AsyncFnMut(&[JobId]) -> anyhow::Result<Vec<(JobId, Changed)>>,
    ) -> anyhow::Result<Changes> {
        let mut changes = Changes::to(0);
        for (id, changed) in act(ids).await? {
            match changed {
                Changed::Now | Changed::Before => {
                    self.report(&id)?;
                    changes.jobs += 1;
                }
                Changed::Refused(reason) => {
                    output::error(reason);
                    changes.exit = Exit::No;
                }
            }
        }
        Ok(changes)
    }

    async fn change_matching(
        &self,
        client: &Client,
        filter: JobFilter,
        count: u64,
        mut act: impl AsyncFnMut(&[JobId]) -> anyhow::Result<Vec<(JobId, Changed)>>,
    ) -> anyhow::Result<Changes> {
        // What matches since it was counted was not agreed to.
        let mut pages = client.pages(&JobFilter {
            limit: Some(u32::try_from(count).unwrap_or(u32::MAX)),
            ..filter
        });
        let mut changed = 0;
        while let Some(page) = pages.next().await? {
            let ids: Vec<JobId> = page.into_iter().map(|job| job.workflow_id).collect();
            for (id, outcome) in act(&ids).await? {
                if matches!(outcome, Changed::Now) {
                    self.report(&id)?;
                    changed += 1;
                }
            }
        }
        if changed < count {
            let Self { done, .. } = self;
            output::talk(format_args!(
                "{done} {changed} of {}; the others changed meanwhile",
                counted(count)
            ));
        }
        Ok(Changes::to(changed))
    }

    fn report(&self, id: &JobId) -> anyhow::Result<()> {
        match self.named {
            Named::Each => output::line(format_args!("{} {id}", self.done)),
            Named::None => Ok(()),
        }
    }

    async fn preview_named(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<Changes> {
        let jobs = client.list(filter).await?;
        let mut changes = Changes::to(0);
        for id in &filter.ids {
            match jobs.iter().find(|job| job.workflow_id == *id) {
                Some(job) if self.states.contains(&job.state) => {
                    self.preview_one(id)?;
                    changes.jobs += 1;
                    continue;
                }
                Some(job) => output::error(format!("job {id} is {}; {}", job.state, self.condition())),
                None => output::error(output::no_such_job(id)),
            }
            changes.exit = Exit::No;
        }
        self.preview_ends(changes.jobs);
        Ok(changes)
    }

    async fn preview(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<Changes> {
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
        Ok(Changes::to(count))
    }

    fn preview_one(&self, id: &JobId) -> anyhow::Result<()> {
        match self.named {
            Named::Each => output::line(id),
            Named::None => Ok(()),
        }
    }

    fn preview_ends(&self, count: u64) {
        output::talk(format_args!("would {} {}", self.verb, counted(count)));
    }

    /// Leaves those out that cannot be changed so.
    fn narrowed(&self, filter: JobFilter) -> anyhow::Result<JobFilter> {
        if let Some(state) = filter.states.iter().find(|state| !self.states.contains(state)) {
            return Err(Failed::usage(format!(
                "no {state} job can be {}; {}",
                self.done,
                self.condition()
            ))
            .into());
        }
        let states = if filter.states.is_empty() {
            self.states.to_vec()
        } else {
            filter.states
        };
        Ok(JobFilter { states, ..filter })
    }

    async fn count(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<u64> {
        match client.count(filter, u32::MAX.into()).await? {
            JobCount::Exactly(0) => Err(self.nothing_to_change(client, filter).await?.into()),
            JobCount::Exactly(count) | JobCount::Over(count) => Ok(count),
        }
    }

    /// Says why no job can be changed.
    async fn nothing_to_change(&self, client: &Client, filter: &JobFilter) -> anyhow::Result<Failed> {
        let in_any_state = JobFilter {
            states: Vec::new(),
            ..filter.clone()
        };
        Ok(match client.count(&in_any_state, 1).await? {
            JobCount::Exactly(0) => Failed::no(NO_MATCH),
            _ => Failed::no(format!(
                "no job that matches can be {}; {}",
                self.done,
                self.condition()
            )),
        })
    }

    /// Says in which states jobs can be changed so.
    fn condition(&self) -> String {
        let names: Vec<&str> = self.states.iter().map(|state| state.name()).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("only one that is {} or {last}", others.join(", "))
    }

    fn is_agreed(&self, count: u64) -> anyhow::Result<bool> {
        let question = format!("{} {}", self.verb, counted(count));
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

fn counted(jobs: u64) -> String {
    match jobs {
        1 => "1 job".to_owned(),
        jobs => format!("{jobs} jobs"),
    }
}
