//! `abaci demo`: kills a worker in the middle of a job and shows that every result still comes.
//!
//! On a fresh private database in a temporary directory a fleet of two workers computes some jobs; one worker is killed
//! with SIGKILL while it computes; another process takes its place and its job is finished; every value is checked against
//! its certificate and against another algorithm. The last lines sum it up with the numbers of this very run.
//!
//! With `--open` it is on the page instead: whoever looks kills the workers, until Ctrl-C.
//!
//! Whatever way it ends, with success, an error, Ctrl-C or SIGTERM, it leaves no process and no file behind. Only a
//! SIGKILL of the demo itself leaves the directory; the processes notice and end by themselves.

mod crash;
mod fleet;
mod output;
mod page;
mod sandbox;
mod scenario;

use clap::Args;
use durable_jobs::JobId;
use fibonacci_jobs::{Algorithm, Request};
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::database_access::{DatabaseAccess, on_blocking_thread};
use crate::exit::{Exit, Failed};
use crate::output::talk;

use sandbox::DemoSandbox;
use scenario::Scenario;

/// Show it all at work: jobs, a worker killed in the middle, every result exact.
///
/// It needs no configuration, changes nothing outside of a temporary directory and cleans up after itself.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Indices to compute with the algorithm recursive
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "37,39,37,39,39"
    )]
    jobs: Vec<String>,
    /// Show it on the page, where each worker has a button that kills it, until Ctrl-C
    #[arg(long, conflicts_with = "jobs")]
    open: bool,
}

impl DemoArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let jobs = self.jobs()?;
        let mut signals = Signals::listen()?;
        let sandbox = DemoSandbox::build(config)?;
        // Opening is not interrupted half-way: a signal that comes meanwhile is seen right after it.
        let outcome = match DatabaseAccess::open(&sandbox.config).await {
            Ok(access) if self.open => page::show(&sandbox, &access, &mut signals).await,
            Ok(access) => perform(&sandbox, access, jobs, &mut signals).await,
            Err(error) => Err(error),
        };
        on_blocking_thread(move || drop(sandbox)).await?;
        if self.open && matches!(outcome, Ok(Exit::Done)) {
            talk("ended; nothing is left");
        }
        outcome
    }

    fn jobs(&self) -> anyhow::Result<Vec<(JobId, Request)>> {
        let refused = |error: fibonacci_jobs::record::RequestError| Failed::usage(error.to_string());
        let mut jobs = Vec::new();
        for text in &self.jobs {
            let request = Request::with(Request::parse_n(text).map_err(refused)?, Algorithm::Recursive);
            fibonacci_jobs::Limits::default()
                .check(&request)
                .map_err(refused)?;
            jobs.push((JobId::fresh(), request));
        }
        Ok(jobs)
    }
}

async fn perform(
    sandbox: &DemoSandbox,
    access: DatabaseAccess,
    jobs: Vec<(JobId, Request)>,
    signals: &mut Signals,
) -> anyhow::Result<Exit> {
    // Biased: a signal that came while the database was opened ends this before anything begins.
    tokio::select! {
        biased;
        _ = signals.next() => {
            talk("interrupted; cleaning up");
            Ok(Exit::Interrupted)
        }
        outcome = Scenario::new(sandbox, &access, jobs).run() => outcome,
    }
}
