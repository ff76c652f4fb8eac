//! `abaci fleet health`: the health process of a fleet, started by its supervisor and by nobody else.

use clap::Args;
use rustix::process::Signal;
use worker_fleet::child::{ServingEnd, ServingProcess};
use worker_fleet::die_with_parent;

use crate::exit::Exit;
use crate::this_process::{self, APPLICATION};

/// The health process of a fleet.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Process id of the supervisor
    #[arg(long)]
    supervisor: u32,
}

/// Returns the arguments of the health process, as they are parsed here.
pub(super) fn arguments() -> Vec<String> {
    let supervisor = std::process::id();
    super::words(&format!("fleet health --supervisor {supervisor}"))
}

impl HealthArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let process = ServingProcess::inherited()?;
        // Not a signal that ends it: a stopped process is to wake up, see the end of the channel and say so.
        die_with_parent(self.supervisor, Signal::CONT)?;
        this_process::take_name();
        Ok(
            match process
                .run_health(APPLICATION, self.supervisor, fibonacci_jobs::VERSION)
                .await?
            {
                ServingEnd::Stopped => Exit::Done,
                ServingEnd::SupervisorGone => Exit::Unreachable,
            },
        )
    }
}
