//! `abaci resume`: puts jobs that ended without a value back into their queue.

use clap::Args;
use durable_jobs::client::{BulkAction, ResumeOptions};
use durable_jobs::{JobId, State};

use crate::config::{Bytes, Config, Source};
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::flags::ResumeFlags;
use crate::selection::{Change, ConsentFlags, JobsArgs, Left, Named};

/// Put jobs that failed, were parked or were cancelled back into their queue; recorded steps are kept.
///
/// A job goes back to its own queue, whatever queue is configured here.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    consent: ConsentFlags,
    /// Memory that these jobs may need from now on, whatever the limit of their server
    #[arg(long, value_name = "SIZE")]
    job_memory: Option<Bytes>,
    #[command(flatten)]
    _queue: ResumeFlags,
}

impl ResumeArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let jobs = self.jobs.read()?;
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let options = ResumeOptions {
            memory_bytes: self.job_memory.map(|size| size.0),
        };
        // As a flag it also names the queue of jobs that are selected; those whose own is not known have none.
        let queue =
            (config.queue.source == Source::Flag && !jobs.are_named()).then(|| config.queue.value.clone());
        let change = Change {
            action: BulkAction::Resume(options),
            left,
            named: Named::Each,
        };
        // Where it fails the client is closed all the same, before the error is returned.
        let changes = change.run(&client, &jobs, queue, &self.consent).await;
        client.close().await;
        changes.map(|changes| changes.exit)
    }
}

fn left(id: &JobId, state: State) -> Left {
    Left::Refused(format!(
        "job {id} is {state}; only one that failed, was parked or was cancelled can be resumed"
    ))
}
