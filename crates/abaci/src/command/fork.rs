//! `abaci fork`: makes a job that goes on from the middle of another one.

use clap::Args;
use durable_jobs::JobId;
use durable_jobs::client::{Forked, StepName};
use durable_jobs::record::StepRecord;
use serde::Serialize;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::output::{self, Format};
use crate::selection;

/// Make a job that keeps the recorded steps of another one up to a step, and runs from there.
///
/// Its id goes to stdout, what it keeps to stderr. The other job stays as it is.
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// Id of the job to fork
    #[arg(value_name = "ID")]
    origin: String,
    /// First step that runs anew, by its name or its position, as show has them
    #[arg(long, value_name = "STEP", allow_negative_numbers = true)]
    from_step: StepName,
    /// Id of the new job
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A fork, as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    workflow_id: &'a JobId,
    forked_from: &'a JobId,
    queue: &'a str,
    kept: &'a [StepRecord],
}

impl ForkArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let id = match &self.id {
            None => JobId::fresh(),
            Some(id) => id
                .parse()
                .map_err(|error| Failed::usage(format!("--id: {error}")))?,
        };
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let origin = selection::named(&client, self.origin).await?;
        let forked = client.fork(&origin, &self.from_step, &id).await;
        client.close().await;
        print(&origin, &forked?, Format::of_flag(self.json))?;
        Ok(Exit::Done)
    }
}

fn print(origin: &JobId, forked: &Forked, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&Shown {
            workflow_id: &forked.id,
            forked_from: origin,
            queue: &forked.queue,
            kept: &forked.kept,
        }),
        Format::Human => {
            let kept = match forked.kept.as_slice() {
                [] => "no step".to_owned(),
                [only] => format!("step {}", only.name),
                [first, .., last] => format!("{} steps, {} to {}", forked.kept.len(), first.name, last.name),
            };
            output::talk(format_args!("keeps {kept} of job {origin}"));
            output::line(&forked.id)
        }
    }
}
