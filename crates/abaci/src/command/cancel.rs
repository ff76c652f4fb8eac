//! `abaci cancel`: stops jobs, waiting or running.

use clap::Args;
use durable_jobs::State;
use durable_jobs::client::CancelOutcome;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::output;
use crate::selection::{Consent, ConsentFlags, JobsArgs};

/// Cancel jobs, waiting or running.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    consent: ConsentFlags,
}

impl CancelArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let open = [State::Queued, State::Delayed, State::Running];
        let jobs = self.jobs.find_to("cancel", &client, &open, &self.consent).await?;
        let Consent::Given(jobs) = jobs else {
            client.close().await;
            return Ok(Exit::Done);
        };
        let cancelled = client.cancel_all(&jobs).await?;
        let mut exit = Exit::Done;
        for id in jobs {
            let outcome = if cancelled.contains(&id) {
                CancelOutcome::Cancelled
            } else {
                client.cancel(&id).await?
            };
            let refusal = match outcome {
                CancelOutcome::Cancelled | CancelOutcome::AlreadyFinal(State::Cancelled) => {
                    output::line(format_args!("cancelled {id}"))?;
                    continue;
                }
                CancelOutcome::AlreadyFinal(state) => format!("job {id} had ended before: {state}"),
                CancelOutcome::NotFound => output::no_such_job(id),
            };
            output::error(refusal);
            exit = Exit::No;
        }
        client.close().await;
        Ok(exit)
    }
}
