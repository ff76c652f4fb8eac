//! `abaci cancel`: stops jobs, waiting or running.

use clap::Args;
use durable_jobs::client::CancelOutcome;
use durable_jobs::{Client, JobId, State};

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::output;
use crate::selection::{Change, Changed, ConsentFlags, JobsArgs, Named, SelectedQueueFlag};

const CANCEL: Change = Change {
    verb: "cancel",
    done: "cancelled",
    states: &[State::Queued, State::Delayed, State::Running],
    named: Named::Each,
};

/// Cancel jobs, waiting or running.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    on: SelectedQueueFlag,
    #[command(flatten)]
    consent: ConsentFlags,
}

impl CancelArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let cancel = async |ids: &[JobId]| cancel(&client, ids).await;
        let changes = CANCEL
            .run(&client, (&self.jobs, self.on.queue), &self.consent, cancel)
            .await;
        client.close().await;
        changes.map(|changes| changes.exit)
    }
}

async fn cancel(client: &Client, ids: &[JobId]) -> anyhow::Result<Vec<(JobId, Changed)>> {
    let cancelled = client.cancel_all(ids).await?;
    let mut outcomes = Vec::with_capacity(ids.len());
    for id in ids {
        let outcome = if cancelled.contains(id) {
            Changed::Now
        } else {
            match client.cancel(id).await? {
                CancelOutcome::Cancelled => Changed::Now,
                CancelOutcome::AlreadyFinal(State::Cancelled) => Changed::Before,
                CancelOutcome::AlreadyFinal(state) => {
                    Changed::Refused(format!("job {id} had ended before: {state}"))
                }
                CancelOutcome::NotFound => Changed::Refused(output::no_such_job(id)),
            }
        };
        outcomes.push((id.clone(), outcome));
    }
    Ok(outcomes)
}
