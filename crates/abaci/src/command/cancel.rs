//! `abaci cancel`: stops jobs, waiting or running.

use clap::Args;
use durable_jobs::client::BulkAction;
use durable_jobs::{Client, JobId, State};

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::selection::{Change, Changed, ConsentFlags, JobsArgs, Named, SelectedQueueFlag, outcomes};

const CANCEL: Change = Change {
    verb: "cancel",
    done: "cancelled",
    states: BulkAction::Cancel.states(),
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
        let jobs = self.jobs.read()?;
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let cancel = async |ids: &[JobId]| cancel(&client, ids).await;
        let changes = CANCEL
            .run(&client, (&jobs, self.on.queue), &self.consent, cancel)
            .await;
        client.close().await;
        changes.map(|changes| changes.exit)
    }
}

async fn cancel(client: &Client, ids: &[JobId]) -> anyhow::Result<Vec<(JobId, Changed)>> {
    let cancelled = client.cancel_all(ids).await?;
    outcomes(client, ids, &cancelled, |id, state| match state {
        State::Cancelled => Changed::Before,
        state if state.is_final() => Changed::Refused(format!("job {id} had ended before: {state}")),
        state => Changed::Refused(format!("job {id} was resumed at the same moment: {state}")),
    })
    .await
}
