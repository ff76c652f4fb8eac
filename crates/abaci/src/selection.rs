//! Jobs that a command is about: those that are named, or those of a batch or with tags.
//!
//! What changes jobs that nobody named one by one says how many they are and asks first: a person at a terminal, or for
//! `--yes` where there is none.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use durable_jobs::client::ListFilter;
use durable_jobs::record::{Batch, Label};
use durable_jobs::{Client, JobId, State};

use crate::exit::Failed;
use crate::output;

/// Jobs that belong together.
#[derive(Debug, Args)]
pub(crate) struct SelectionFlags {
    /// Only jobs of this batch
    #[arg(long, value_name = "ID")]
    batch: Option<Batch>,
    /// Only jobs with this tag; with all of them where it is given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Label>,
}

/// Jobs by their ids, or those that belong together.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Ids of the jobs
    #[arg(value_name = "ID", required_unless_present_any = ["batch", "tags"], conflicts_with_all = ["batch", "tags"])]
    ids: Vec<String>,
    #[command(flatten)]
    selection: SelectionFlags,
}

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

/// The jobs that a command is to change.
pub(crate) enum Consent {
    /// All of these.
    Given(Vec<JobId>),
    /// None: it was only asked for them, or a person said no.
    Withheld,
}

impl SelectionFlags {
    /// Tests whether it selects anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_none() && self.tags.is_empty()
    }

    /// Narrows a filter to these jobs.
    pub(crate) fn narrow(&self, filter: ListFilter) -> ListFilter {
        ListFilter {
            batch: self.batch.clone(),
            tags: self.tags.clone(),
            ..filter
        }
    }
}

impl JobsArgs {
    /// Returns the ids as they were given; none where the jobs are selected otherwise.
    pub(crate) fn named(&self) -> &[String] {
        &self.ids
    }

    /// Finds the jobs, those of `states` where they are selected, in the order of their submission.
    pub(crate) async fn find(&self, client: &Client, states: &[State]) -> anyhow::Result<Vec<JobId>> {
        if self.selection.is_empty() {
            return Ok(self.ids.iter().map(JobId::new).collect());
        }
        let filter = self.selection.narrow(ListFilter {
            states: states.to_vec(),
            ..ListFilter::default()
        });
        let mut pages = client.pages(&filter);
        let mut found = Vec::new();
        while let Some(jobs) = pages.next().await? {
            found.extend(jobs.into_iter().map(|job| (job.created_at_ms, job.workflow_id)));
        }
        if found.is_empty() {
            return Err(Failed::no("no job matches; all of them: abaci list").into());
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// Finds the jobs as [`JobsArgs::find`] does, and asks whether they are to be changed.
    pub(crate) async fn find_to(
        &self,
        change: &str,
        client: &Client,
        states: &[State],
        consent: &ConsentFlags,
    ) -> anyhow::Result<Consent> {
        let found = self.find(client, states).await?;
        let question = format!("{change} {}", counted(found.len()));
        if consent.dry_run {
            for id in &found {
                output::line(id)?;
            }
            output::talk(format_args!("would {question}"));
            return Ok(Consent::Withheld);
        }
        if self.selection.is_empty() || consent.yes {
            return Ok(Consent::Given(found));
        }
        if !io::stdin().is_terminal() {
            let message = format!("{question}? add --yes to do it, or --dry-run to see which");
            return Err(Failed::usage(message).into());
        }
        output::talk(format_args!("{question}? [y/N]"));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(match answer.trim() {
            "y" | "Y" | "yes" => Consent::Given(found),
            _ => Consent::Withheld,
        })
    }
}

fn counted(jobs: usize) -> String {
    match jobs {
        1 => "1 job".to_owned(),
        jobs => format!("{jobs} jobs"),
    }
}
