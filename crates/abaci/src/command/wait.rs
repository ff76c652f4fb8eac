//! `abaci wait`: waits for jobs that were submitted before, from any process.

use clap::Args;
use durable_jobs::{Client, JobFilter, JobId};
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::flags::WaitFlags;
use crate::output::{self, Format};
use crate::selection::{JobsArgs, NO_MATCH, SelectedQueueFlag};
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
    #[command(flatten)]
    on: SelectedQueueFlag,
    #[command(flatten)]
    _wait: WaitFlags,
}

impl WaitArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let jobs = self.jobs.read()?;
        let mut signals = Signals::listen()?;
        let Some(connected) = signals.unless_any(DatabaseAccess::connect_if_used(config)).await else {
            return Ok(Exit::Interrupted);
        };
        let Some((access, client)) = connected? else {
            if !jobs.are_named() {
                return Err(Failed::no(NO_MATCH).into());
            }
            for id in jobs.named() {
                output::error(output::no_such_job(id));
            }
            return Ok(Exit::No);
        };
        let _kept = access.keep_running();
        // Where jobs are named, their own queues count.
        let queue = self.on.queue.filter(|_| !jobs.are_named());
        let found = Box::pin(async {
            let filter = jobs.filter(&client, queue).await?;
            if jobs.are_named() {
                return Ok(filter.ids);
            }
            matching(&client, &filter).await
        });
        let Some(found) = signals.unless_any(found).await else {
            return Ok(Exit::Interrupted);
        };
        // Without their requests, which only the command that submitted them knows.
        let jobs = found?.into_iter().map(|id| (id, None));
        let job_wait = JobWait::new(jobs, config, Format::of_flag(self.json));
        let exit = job_wait.until_all_ended(&client, &mut signals).await;
        client.close().await;
        exit
    }
}

/// Finds the jobs that match.
async fn matching(client: &Client, filter: &JobFilter) -> anyhow::Result<Vec<JobId>> {
    let (mut pages, mut found) = (client.pages(filter), Vec::new());
    while let Some(jobs) = pages.next().await? {
        found.extend(jobs.into_iter().map(|job| job.workflow_id));
    }
    if found.is_empty() {
        return Err(Failed::no(NO_MATCH).into());
    }
    Ok(found)
}
