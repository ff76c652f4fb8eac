//! Jobs that a command is about: those that are named, or those that flags select.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

mod change;

use std::collections::HashSet;
use std::io::{self, BufRead};

use clap::Args;
use durable_jobs::client::{Found, MOST_BEGINNINGS};
use durable_jobs::record::{Batch, Date, DetailFilter, Label, Order, shorten};
use durable_jobs::{Client, JobFilter, JobId, State};
use fibonacci_jobs::{Algorithm, IndexRange};

pub(crate) use change::{AT_ONCE, Change, ChangeReport, ConsentFlags, Left, Named};

use crate::exit::Failed;
use crate::flags::one_of;
use crate::output;

/// Printed where flags select nothing.
pub(crate) const NO_MATCH: &str = "no job matches; all of them: abaci list";

/// Jobs that have something in common.
#[derive(Debug, Args)]
struct SelectionFlags {
    /// Only jobs of this batch
    #[arg(long, value_name = "ID")]
    batch: Option<Batch>,
    /// Only jobs with this tag; with all of them where it is given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Label>,
    /// Only jobs in these states
    #[arg(
        long = "state",
        value_name = "STATE",
        value_delimiter = ',',
        value_parser = one_of(State::ALL, State::name)
    )]
    states: Vec<State>,
    /// Only jobs that were parked, as --state parked
    #[arg(long, conflicts_with = "states")]
    parked: bool,
    /// Only jobs with this algorithm
    #[arg(long, value_name = "NAME", value_parser = one_of(Algorithm::ALL, Algorithm::name))]
    algorithm: Option<Algorithm>,
    /// Only jobs with this n, or one of A..=B, or of A..B without B
    #[arg(long, value_name = "A..=B", value_parser = IndexRange::or_index)]
    n: Option<IndexRange>,
    /// Only jobs that were submitted at this moment or later: of UTC, or so long ago, such as 2h
    #[arg(long, value_name = "MOMENT")]
    since: Option<Date>,
    /// Only jobs that were submitted at this moment or earlier
    #[arg(long, value_name = "MOMENT")]
    until: Option<Date>,
}

/// The queue of the jobs; apart from the others, since it is a setting of some commands.
#[derive(Debug, Args)]
pub(crate) struct SelectedQueueFlag {
    /// Only jobs of this queue, also those that ended
    #[arg(id = "selected_queue", long = "queue", value_name = "NAME")]
    pub(crate) queue: Option<String>,
}

/// Jobs by their ids, or those that have something in common.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Ids of the jobs, or beginnings of ids that are of no other job; - reads them from standard input
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    selection: SelectionFlags,
}

impl SelectionFlags {
    /// Tests whether it selects anything.
    fn is_empty(&self) -> bool {
        self.batch.is_none()
            && self.tags.is_empty()
            && self.states.is_empty()
            && !self.parked
            && self.algorithm.is_none()
            && self.n.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// Returns the filter that means these jobs of a queue, or of any, given the database's time.
    fn filter(&self, queue: Option<String>, now_ms: i64) -> JobFilter {
        let algorithm = self
            .algorithm
            .map(|algorithm| DetailFilter::Is("algorithm".to_owned(), algorithm.name().into()));
        let n = self
            .n
            .map(|range| DetailFilter::Within("n".to_owned(), range.indices()));
        JobFilter {
            states: if self.parked {
                vec![State::Parked]
            } else {
                self.states.clone()
            },
            batch: self.batch.clone(),
            tags: self.tags.clone(),
            queue,
            since_ms: self.since.map(|date| date.milliseconds(now_ms)),
            until_ms: self.until.map(|date| date.milliseconds(now_ms)),
            details: algorithm.into_iter().chain(n).collect(),
            ..JobFilter::default()
        }
    }
}

impl JobsArgs {
    /// Tests whether the jobs are named one by one.
    pub(crate) fn are_named(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Tests whether any are named or selected, apart from their queue.
    pub(crate) fn are_given(&self) -> bool {
        self.are_named() || !self.selection.is_empty()
    }

    /// Returns the filter that means these jobs, or all where none are named or selected, the newest first.
    ///
    /// # Errors
    /// As [`JobsArgs::filter`].
    pub(crate) async fn filter_or_all(
        &self,
        client: &Client,
        queue: Option<String>,
    ) -> anyhow::Result<JobFilter> {
        if queue.is_none() && !self.are_given() {
            return Ok(JobFilter::default());
        }
        Ok(JobFilter {
            order: Order::NewestFirst,
            ..self.filter(client, queue).await?
        })
    }

    /// Returns the filter that means these jobs, in the order of their submission.
    ///
    /// # Errors
    /// A usage error where nothing is selected, or twice; where an id is the beginning of several; where nothing can be read.
    pub(crate) async fn filter(&self, client: &Client, queue: Option<String>) -> anyhow::Result<JobFilter> {
        let is_selected = queue.is_some() || !self.selection.is_empty();
        match (self.ids.is_empty(), is_selected) {
            (true, false) => Err(Failed::usage(
                "give <ID>s of jobs, or select jobs, such as by --batch, --tag or --state; see --help",
            )
            .into()),
            (false, true) => {
                let message =
                    "give <ID>s of jobs, or select jobs by --batch, --tag, --state and the like, not both";
                Err(Failed::usage(message).into())
            }
            (true, true) => Ok(JobFilter {
                order: Order::OldestFirst,
                ..self.selection.filter(queue, client.clock().now_ms())
            }),
            (false, false) => Ok(JobFilter {
                ids: self.find(client).await?,
                order: Order::OldestFirst,
                ..JobFilter::default()
            }),
        }
    }

    /// Reads the ids of standard input, if they are asked for; before signals are listened to, since a read knows none.
    ///
    /// # Errors
    /// A usage error where there are none, or nothing that can be one.
    pub(crate) fn read(mut self) -> anyhow::Result<Self> {
        if !self.ids.iter().any(|id| id == "-") {
            return Ok(self);
        }
        let lines: Result<Vec<String>, _> = io::stdin().lock().lines().collect();
        let lines =
            lines.map_err(|error| Failed::usage(format!("cannot read ids from standard input: {error}")))?;
        // Some editors begin a file with a mark of the byte order.
        let lines = lines
            .iter()
            .map(|line| line.trim_start_matches('\u{feff}').trim());
        let lines: Vec<String> = lines
            .filter(|line| !line.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        let given = std::mem::take(&mut self.ids).into_iter();
        let given = given.flat_map(|id| if id == "-" { lines.clone() } else { vec![id] });
        self.ids = given.collect();
        if self.ids.is_empty() {
            return Err(Failed::usage("standard input has no ids").into());
        }
        if let Some(id) = self.ids.iter().find(|id| id.contains(char::is_control)) {
            return Err(Failed::usage(format!("{:?} on standard input is no id", shorten(id))).into());
        }
        Ok(self)
    }

    /// Returns the ids as they were given.
    pub(crate) fn named(&self) -> &[String] {
        &self.ids
    }

    /// Finds the jobs that are named; an id that no job has stays as it was given.
    async fn find(&self, client: &Client) -> anyhow::Result<Vec<JobId>> {
        let given = &self.ids;
        let found = client.find(given).await?;
        let is_nothing = |found: &&Found| matches!(found, Found::Nothing);
        if found.iter().filter(is_nothing).count() > MOST_BEGINNINGS {
            output::talk(format_args!(
                "of more than {MOST_BEGINNINGS} texts that are no ids of jobs none is taken for the beginning of one"
            ));
        }
        let named = given
            .iter()
            .zip(found)
            .map(|(text, found)| found_job(text, found));
        let mut named: Vec<JobId> = named.collect::<Result<_, _>>()?;
        // Two texts may have meant one job, which is to be changed, or waited for, once.
        let mut seen = HashSet::new();
        named.retain(|id| seen.insert(id.clone()));
        Ok(named)
    }
}

/// Finds the job of one id, or of the beginning of one; an id that no job has stays as it is.
///
/// # Errors
/// A usage error where it is the beginning of several.
pub(crate) async fn named(client: &Client, id: String) -> anyhow::Result<JobId> {
    let found = client.find(std::slice::from_ref(&id)).await?;
    let found = found.into_iter().next().unwrap_or(Found::Nothing);
    Ok(found_job(&id, found)?)
}

fn found_job(text: &str, found: Found) -> Result<JobId, Failed> {
    match found {
        Found::One(id) => Ok(id),
        Found::Nothing => Ok(JobId::new(text)),
        Found::Several([first, second]) => Err(Failed::usage(format!(
            "ids of several jobs begin with {text:?}, such as {first} and {second}; give more of it"
        ))),
    }
}
