//! `abaci wait`: waits for jobs that were submitted before, from any process.

use clap::Args;
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::flags::WaitFlags;
use crate::output::{self, Format};
use crate::selection::JobsArgs;
use crate::wait::JobWait;

/// Wait for jobs that were submitted before, and print their results as they complete.
///
/// The jobs may be in different queues; a queue that nobody serves is named.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    jobs: JobsArgs,
    /// Print one JSON object per result
    #[arg(long)]
    json: bool,
    /// Of no use any more: a job's own queue counts
    #[arg(long, value_name = "NAME", hide = true)]
    queue: Option<String>,
    #[command(flatten)]
    _wait: WaitFlags,
}

impl WaitArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let Some(connected) = signals.unless_any(DatabaseAccess::connect_if_used(config)).await else {
            return Ok(Exit::Interrupted);
        };
        let Some((access, client)) = connected? else {
            for id in self.jobs.named() {
                output::error(output::no_such_job(id));
            }
            return match self.jobs.named() {
                [] => Err(Failed::no("no job matches; all of them: abaci list").into()),
                _ => Ok(Exit::No),
            };
        };
        let _kept = access.keep_running();
        let jobs = self.jobs.find(&client, &[]).await?;
        let jobs = jobs.into_iter().map(|id| (id, None));
        let job_wait = JobWait::new(jobs, config, Format::of_flag(self.json));
        let exit = job_wait.until_all_ended(&client, &mut signals).await;
        client.close().await;
        exit
    }
}
