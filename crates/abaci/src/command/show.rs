//! `abaci show`: one job with its outcome, its steps, and what it is at while it runs.

mod draw;
mod value;
mod watch;

use clap::Args;
use durable_jobs::client::Waiting;
use durable_jobs::record::{JobDetail, RunningJob};
use durable_jobs::{Client, Error, JobId, State};
use serde::Serialize;
use value::ValueEnds;
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::wait::LocalFleet;

/// Show one job with its steps.
///
/// While the job runs, what its worker last said of it is shown as well, and while it waits, its place and the reason.
///
/// Digits are printed only after all of the value was checked as abaci verify does; what stands between both ends is one
/// line with an ellipsis.
///
/// With --watch, exit code 0: the job succeeded; 1: it ended otherwise; 130: interrupted, which stops the watching and not
/// the job.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Id of the job
    #[arg(value_name = "ID")]
    id: String,
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
    /// The progress that a worker reports while the job runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<RunningJob>,
    /// Why the job waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<Waiting>,
    /// The fleet that takes it as soon as its workers run, where nobody does now.
    #[serde(skip)]
    prospect: Option<String>,
}

impl ShowArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        if self.watch {
            let mut signals = Signals::listen()?;
            let watching = signals.unless_any(self.watch(config)).await;
            return watching.unwrap_or(Ok(Exit::Interrupted));
        }
        let id = JobId::new(self.id);
        let (_access, client) = DatabaseAccess::connect_to_look(config, &id).await?;
        let look = Look::take(&client, &id, &LocalFleet::of(config)).await;
        client.close().await;
        let look = look?;
        let ends = ValueEnds {
            head: self.head,
            tail: self.tail,
        };
        if self.value || self.head.is_some() || self.tail.is_some() {
            return value::print(&look.detail, ends, config.bucket_access()).await;
        }
        match Format::of_flag(self.json) {
            Format::Json => output::json(&look)?,
            Format::Human => draw::lines(&look).iter().try_for_each(output::line)?,
        }
        Ok(Exit::Done)
    }

    async fn watch(&self, config: &Config) -> anyhow::Result<Exit> {
        let id = JobId::new(&self.id);
        let (access, client) = DatabaseAccess::connect_to_look(config, &id).await?;
        let _kept = access.keep_running();
        let exit = watch::watch(&client, &id, Format::of_flag(self.json), config).await;
        client.close().await;
        exit
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
            detail,
            progress,
            waits: None,
            prospect: None,
        };
        if !look.detail.job.state.is_final() && look.progress.is_none() {
            look.waits = client.waiting(id).await?;
        }
        if let Some(lacking) = look.waits.as_ref().and_then(Waiting::lacking) {
            look.prospect = fleet.prospect(&lacking).await;
        }
        Ok(look)
    }
}
