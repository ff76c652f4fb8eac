//! `abaci cancel`: stops jobs, waiting or running.

use clap::Args;
use durable_jobs::client::CancelOutcome;
use durable_jobs::{JobId, State};

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::output;

/// Cancel jobs, waiting or running.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Ids of the jobs
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

impl CancelArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let mut exit = Exit::Done;
        for id in self.ids.into_iter().map(JobId::new) {
            let refusal = match client.cancel(&id).await? {
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
