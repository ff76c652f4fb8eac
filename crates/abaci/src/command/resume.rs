//! `abaci resume`: puts jobs that ended without a value back into their queue.

use clap::Args;
use durable_jobs::client::{BulkAction, ResumeOptions, ResumeOutcome};
use durable_jobs::{Client, JobId};

use crate::config::{Bytes, Config, Source};
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::flags::ResumeFlags;
use crate::output;
use crate::selection::{Change, Changed, ConsentFlags, JobsArgs, Named};

const RESUME: Change = Change {
    verb: "resume",
    done: "resumed",
    states: BulkAction::Resume.states(),
    named: Named::Each,
};

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
        let resume = async |ids: &[JobId]| resume(&client, ids, options).await;
        let changes = RESUME.run(&client, (&jobs, queue), &self.consent, resume).await;
        client.close().await;
        changes.map(|changes| changes.exit)
    }
}

async fn resume(
    client: &Client,
    ids: &[JobId],
    options: ResumeOptions,
) -> anyhow::Result<Vec<(JobId, Changed)>> {
    let mut outcomes = client.resume_all(ids, options).await?;
    let mut outcome = |id: &JobId| match outcomes.remove(id).unwrap_or(ResumeOutcome::NotFound) {
        ResumeOutcome::Resumed => Changed::Now,
        ResumeOutcome::ResumedOn(queue) => {
            output::talk(format_args!(
                "the queue of job {id} is not known any more; it waits on {queue:?}"
            ));
            Changed::Now
        }
        ResumeOutcome::Refused(state) => Changed::Refused(format!(
            "job {id} is {state}; only one that failed, was parked or was cancelled can be resumed"
        )),
        ResumeOutcome::NotFound => Changed::Refused(output::no_such_job(id)),
    };
    Ok(ids.iter().map(|id| (id.clone(), outcome(id))).collect())
}
