//! `abaci compute`: one heavy computation, started by a worker and by nobody else.
//!
//! It has no configuration, no log and no database: what it is to do comes from the worker's pipe, and so does its end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Args;
use durable_jobs::isolation;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use worker_fleet::die_with_parent;

use crate::exit::{Exit, Failed};
use crate::program;

/// One computation.
#[derive(Debug, Args)]
pub struct Compute {
    /// Process id of the worker
    #[arg(long, value_name = "PID")]
    worker: u32,
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

impl Compute {
    /// The arguments with which a worker starts its computing processes.
    pub(crate) fn arguments(worker: u32) -> Vec<String> {
        ["compute", "--worker"]
            .map(str::to_owned)
            .into_iter()
            .chain([worker.to_string()])
            .collect()
    }

    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        die_with_parent(self.worker, Signal::KILL)
            .map_err(|_| Failed::usage("this process belongs to a worker; start one with: abaci serve"))?;
        let _asked = outlast_signals()?;
        program::take_name();
        isolation::compute_for_worker().context("computing for a worker")?;
        Ok(Exit::Done)
    }
}
