//! `abaci show`: jobs with their outcomes, their steps, and what they are at while they run.

mod draw;
mod value;
mod watch;

use clap::Args;
use durable_jobs::client::Waiting;
use durable_jobs::record::{Attempt, JobDetail, RunningJob};
use durable_jobs::{Client, Error, JobFilter, JobId, State};
use serde::Serialize;
use value::ValueEnds;
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::output::{self, Format};
use crate::selection::{JobsArgs, NO_MATCH, SelectedQueueFlag};
use crate::wait::LocalFleet;

/// Show jobs with their steps.
///
/// While a job runs, what its worker last said of it is shown as well, and while it waits, its place and the reason.
///
/// Digits are printed only after all of the value was checked as abaci verify does; what stands between both ends is one
/// line with an ellipsis.
///
/// With --watch, exit code 0: the job succeeded; 1: it ended otherwise; 130: interrupted, which stops the watching and not
/// the job.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    on: SelectedQueueFlag,
    /// Look again twice a second until the job has ended
    #[arg(long, conflicts_with_all = ["value", "head", "tail"])]
    watch: bool,
    /// Print one JSON object, or one per look
    #[arg(long, conflicts_with_all = ["value", "head", "tail"])]
    json: bool,
    /// Print the value with all its digits, and nothing else
    #[arg(long)]
    value: bool,
    /// Print only the first N digits of the value, and with --tail the last ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    head: Option<u64>,
    /// Print only the last N digits of the value, and with --head the first ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tail: Option<u64>,
}

/// A job at one moment.
#[derive(Debug, Serialize)]
struct Look {
    #[serde(flatten)]
    detail: JobDetail,
    /// Its starts, the last one last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempt_history: Vec<Attempt>,
    /// The progress that a worker reports while the job runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<RunningJob>,
    /// The reason why the job waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<Waiting>,
    /// The fleet that takes it as soon as its workers run, where nobody does now.
    #[serde(skip)]
    prospect: Option<String>,
}

impl ShowArgs {
    pub(crate) async fn run(mut self, config: &Config) -> anyhow::Result<Exit> {
        self.jobs = self.jobs.read()?;
        if self.watch {
            let mut signals = Signals::listen()?;
            let watching = signals.unless_any(self.watch(config)).await;
            return watching.unwrap_or(Ok(Exit::Interrupted));
        }
        let (_access, client) = self.connect(config).await?;
        let shown = self.show(&client, config).await;
        client.close().await;
        shown
    }

    async fn show(&self, client: &Client, config: &Config) -> anyhow::Result<Exit> {
        let ends = ValueEnds {
            head: self.head,
            tail: self.tail,
        };
        let filter = self.jobs.filter(client, self.on.queue.clone()).await?;
        if self.value || self.head.is_some() || self.tail.is_some() {
            let look = Look::take(client, the_one(&filter)?, &LocalFleet::of(config)).await?;
            return value::print(&look.detail, ends, config.bucket_access()).await;
        }
        let mut printer = Printer::new(Format::of_flag(self.json), LocalFleet::of(config));
        if self.jobs.are_named() {
            for id in &filter.ids {
                printer.show(client, id).await?;
            }
            return Ok(printer.exit);
        }
        let mut pages = client.pages(&filter);
        while let Some(jobs) = pages.next().await? {
            for job in jobs {
                printer.show(client, &job.workflow_id).await?;
            }
        }
        match printer.shown {
            0 => Err(Failed::no(NO_MATCH).into()),
            _ => Ok(printer.exit),
        }
    }

    async fn watch(&self, config: &Config) -> anyhow::Result<Exit> {
        let (access, client) = self.connect(config).await?;
        let _kept = access.keep_running();
        let exit = async {
            let filter = self.jobs.filter(&client, self.on.queue.clone()).await?;
            watch::watch(&client, the_one(&filter)?, Format::of_flag(self.json), config).await
        };
        let exit = exit.await;
        client.close().await;
        exit
    }

    /// Connects to a database that has jobs.
    async fn connect(&self, config: &Config) -> anyhow::Result<(DatabaseAccess, Client)> {
        match DatabaseAccess::connect_if_used(config).await? {
            Some(connected) => Ok(connected),
            None if self.jobs.are_named() => Err(Error::NotFound {
                id: self.jobs.named().join(" "),
            }
            .into()),
            None => Err(Failed::no(NO_MATCH).into()),
        }
    }
}

/// The job that is named, alone.
fn the_one(filter: &JobFilter) -> anyhow::Result<&JobId> {
    match &filter.ids[..] {
        [id] => Ok(id),
        _ => Err(
            Failed::usage("give the <ID> of one job; only one is watched, or has its value printed").into(),
        ),
    }
}

/// Prints one job after the other.
struct Printer {
    format: Format,
    fleet: LocalFleet,
    shown: u64,
    exit: Exit,
}

impl Printer {
    fn new(format: Format, fleet: LocalFleet) -> Self {
        Self {
            format,
            fleet,
            shown: 0,
            exit: Exit::Done,
        }
    }

    async fn show(&mut self, client: &Client, id: &JobId) -> anyhow::Result<()> {
        let look = match Look::take(client, id, &self.fleet).await {
            Ok(look) => look,
            // Also a job of the page before, which may have been deleted since.
            Err(Error::NotFound { .. }) => {
                output::error(output::no_such_job(id));
                self.exit = Exit::No;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match self.format {
            Format::Json => output::json(&look)?,
            Format::Human => {
                if self.shown > 0 {
                    output::line("")?;
                }
                draw::lines(&look).iter().try_for_each(output::line)?;
            }
        }
        self.shown += 1;
        Ok(())
    }
}

impl Look {
    /// Reads a job, while it runs what it is at, and while it waits why.
    async fn take(client: &Client, id: &JobId, fleet: &LocalFleet) -> Result<Self, Error> {
        let detail = client.show(id).await?;
        let progress = match detail.job.state {
            State::Running => client.progress(std::slice::from_ref(id)).await?.remove(id),
            _ => None,
        };
        let mut look = Self {
            attempt_history: client.attempts(id).await?,
            detail,
            progress,
            waits: None,
            prospect: None,
        };
        // Also one that is running and of which no worker says anything: its worker may be gone.
        if !look.detail.job.state.is_final() && look.progress.is_none() {
            look.waits = client.waiting(id).await?;
        }
        if let Some(lacking) = look.waits.as_ref().and_then(Waiting::lacking) {
            look.prospect = fleet.prospect(&lacking).await;
        }
        Ok(look)
    }
}
