//! `abaci compute`: one heavy computation, started by a worker and by nobody else.
//!
//! It has no configuration, no log and no database: what it is to do comes from the worker's pipe, and so does its end.

use anyhow::Context;
use clap::Args;
use durable_jobs::process;
use rustix::process::getppid;

use crate::exit::{Exit, Failed};
use crate::flags::ComputeFlags;
use crate::this_process;

/// One computation.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    #[command(flatten)]
    parent: ComputeFlags,
}

impl ComputeArgs {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let parent = getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
        // For people who find the command: that it ends with its worker is seen to below.
        if parent != Some(self.parent.worker) {
            let message = "this process belongs to a worker; start one with: abaci serve";
            return Err(Failed::usage(message).into());
        }
        this_process::take_name();
        process::compute_for_worker(&fibonacci_jobs::tasks()).context("computing for a worker")?;
        Ok(Exit::Done)
    }
}
