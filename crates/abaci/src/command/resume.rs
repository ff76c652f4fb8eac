//! `abaci resume`: puts jobs that ended without a value back into their queue.

use abaci_engine::JobId;
use abaci_engine::client::{ResumeOptions, ResumeOutcome};
use clap::Args;

use crate::cli::QueueFlags;
use crate::config::{Bytes, Config, Layer};
use crate::database::Access;
use crate::exit::Exit;
use crate::output;

/// Put jobs that failed, were parked or were cancelled back into their queue; recorded steps are kept.
#[derive(Debug, Args)]
pub struct Resume {
    /// Ids of the jobs
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Memory that these jobs may need from now on, whatever the limit of their server
    #[arg(long, value_name = "SIZE")]
    job_memory: Option<Bytes>,
    #[command(flatten)]
    queue: QueueFlags,
}

impl Resume {
    pub(crate) fn fill(&self, layer: &mut Layer) {
        self.queue.fill(layer);
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let (_access, client) = Access::connect(config).await?;
        let options = ResumeOptions {
            memory_bytes: self.job_memory.map(|size| size.0),
        };
        let mut exit = Exit::Done;
        for id in self.ids.into_iter().map(JobId::new) {
            match client.resume(&id, options).await? {
                ResumeOutcome::Resumed => {
                    output::line(format_args!("resumed {id}"))?;
                    continue;
                }
                ResumeOutcome::Refused(state) => output::error(format_args!(
                    "job {id} is {state}; only one that failed, was parked or was cancelled can be resumed"
                )),
                ResumeOutcome::NotFound => {
                    output::error(format_args!("no job has the id {id}; see: abaci list"));
                }
            }
            exit = Exit::No;
        }
        client.close().await;
        Ok(exit)
    }
}
