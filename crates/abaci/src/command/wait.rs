//! `abaci wait`: waits for jobs that were submitted before, from any process.

use clap::Args;
use durable_jobs::JobId;
use worker_fleet::signals::Signals;

use crate::cli::PatienceFlags;
use crate::config::{Config, Layer};
use crate::database::Access;
use crate::exit::Exit;
use crate::follow::Following;
use crate::output::{self, Format};

/// Wait for jobs that were submitted before, and print their results as they complete.
///
/// The jobs may be in different queues; a queue that nobody serves is named.
#[derive(Debug, Args)]
pub struct Wait {
    /// Ids of the jobs
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Print one JSON object per result
    #[arg(long)]
    json: bool,
    /// Of no use any more: a job's own queue counts
    #[arg(long, value_name = "NAME", hide = true)]
    queue: Option<String>,
    #[command(flatten)]
    patience: PatienceFlags,
}

impl Wait {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        self.patience.fill(layer);
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let Some(connected) = signals.unless_any(Access::connect_if_used(config)).await else {
            return Ok(Exit::Interrupted);
        };
        let Some((access, client)) = connected? else {
            for id in &self.ids {
                output::error(format_args!("no job has the id {id}; see: abaci list"));
            }
            return Ok(Exit::No);
        };
        let _kept = access.keep_running();
        let jobs = self.ids.into_iter().map(|id| (JobId::new(id), None));
        let following = Following::new(jobs, config, Format::of_flag(self.json));
        let exit = following.until_all_ended(&client, &mut signals).await;
        client.close().await;
        exit
    }
}
