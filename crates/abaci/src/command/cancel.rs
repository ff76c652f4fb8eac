//! `abaci cancel`: stops jobs, waiting or running.

use clap::Args;
use durable_jobs::client::BulkAction;
use durable_jobs::{JobId, State};

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::selection::{Change, ConsentFlags, JobsArgs, Left, Named, SelectedQueueFlag};

const CANCEL: Change = Change {
    action: BulkAction::Cancel,
    left,
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
        let changes = CANCEL.run(&client, &jobs, self.on.queue, &self.consent).await;
        client.close().await;
        changes.map(|changes| changes.exit)
    }
}

fn left(id: &JobId, state: State) -> Left {
    match state {
        State::Cancelled => Left::AsWished,
        state if state.is_final() => Left::Refused(format!("job {id} had ended before: {state}")),
        state => Left::Refused(format!("job {id} was resumed at the same moment: {state}")),
    }
}
