//! `abaci resume`: puts jobs that ended without a value back into their queue.

use clap::Args;
use durable_jobs::State;
use durable_jobs::client::{ResumeOptions, ResumeOutcome};

use crate::config::{Bytes, Config};
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::flags::ResumeFlags;
use crate::output;
use crate::selection::{Consent, ConsentFlags, JobsArgs};

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
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let options = ResumeOptions {
            memory_bytes: self.job_memory.map(|size| size.0),
        };
        let ended = [State::Failed, State::Parked, State::Cancelled];
        let jobs = self
            .jobs
            .find_to("resume", &client, &ended, &self.consent)
            .await?;
        let Consent::Given(jobs) = jobs else {
            client.close().await;
            return Ok(Exit::Done);
        };
        let mut exit = Exit::Done;
        for id in jobs {
            let refusal = match client.resume(&id, options).await? {
                ResumeOutcome::Resumed => {
                    output::line(format_args!("resumed {id}"))?;
                    continue;
                }
                ResumeOutcome::ResumedOn(queue) => {
                    output::line(format_args!("resumed {id}"))?;
                    output::talk(format_args!(
                        "the queue of job {id} is not known any more; it waits on {queue:?}"
                    ));
                    continue;
                }
                ResumeOutcome::Refused(state) => format!(
                    "job {id} is {state}; only one that failed, was parked or was cancelled can be resumed"
                ),
                ResumeOutcome::NotFound => output::no_such_job(id),
            };
            output::error(refusal);
            exit = Exit::No;
        }
        client.close().await;
        Ok(exit)
    }
}
