//! `abaci compute`: one heavy computation, started by a worker and by nobody else.
//!
//! It has no configuration, no log and no database: what it is to do comes from the worker's pipe, and so does its end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Args;
use durable_jobs::process;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::{Exit, Failed};
use crate::flags::ComputeFlags;
use crate::parent::die_with_parent;
use crate::this_process;

/// One computation.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    #[command(flatten)]
    parent: ComputeFlags,
}

/// Outlasts the signals that a service manager sends to all processes of a service: the worker decides what becomes of the
/// computation, and one that ended by them would count as a death.
fn outlast_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&asked)).context("listening for signals")?;
    }
    Ok(asked)
}

impl ComputeArgs {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        die_with_parent(self.parent.worker, Signal::KILL)
            .map_err(|_| Failed::usage("this process belongs to a worker; start one with: abaci serve"))?;
        let _asked = outlast_signals()?;
        this_process::take_name();
        process::compute_for_worker(&fibonacci_jobs::tasks()).context("computing for a worker")?;
        Ok(Exit::Done)
    }
}
