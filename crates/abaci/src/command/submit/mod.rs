//! `abaci submit`: submits jobs and prints their results as they complete.
//!
//! Everything is checked before anything is queued. Once queued, a job no longer needs this process: `--detach` leaves
//! at once, and an interrupted wait is taken up again with `abaci wait`.
//! The jobs of one submission have ids that begin alike, so that those which were queued are found if it is cut short; a
//! large one prints that beginning beforehand, since it may be killed at any moment.

mod random;
mod workload;

use anyhow::Context;
use clap::Args;
use durable_jobs::client::SubmitOptions;
use durable_jobs::{Client, Error, JobId, State};
use fibonacci_jobs::record::RequestError;
use fibonacci_jobs::{Algorithm, Request, new_jobs};
use serde::Serialize;
use worker_fleet::signals::Signals;

use crate::config::{Config, Period};
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::flags::{LimitFlags, QueueFlags, TableFlags, WaitFlags, one_of};
use crate::output::{self, Format};
use crate::wait::JobWait;

use workload::Workload;

/// A submission of more jobs than this takes long enough to be cut short.
const LARGE: usize = 300;

/// Submit jobs and print their results as they complete.
///
/// Each result is one line on stdout; the summary and what is in the way go to stderr. Ctrl-C stops the waiting, not the
/// jobs.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    workload: Workload,
    /// Algorithm [default: doubling, and giant for n from 600000000 on]
    #[arg(long, value_name = "NAME", value_parser = one_of(Algorithm::ALL, Algorithm::name))]
    algorithm: Option<Algorithm>,
    /// Fault that each job is to meet, on servers with --enable-faults: segfault@57, abort@57, oom@57 or error@57 in the
    /// step of that index, or random:SEED; only with the algorithm stepwise
    #[arg(long, value_name = "FAULT")]
    fault: Option<String>,
    /// Id of the job, if it is only one: up to 128 letters, digits and signs; submitting the same again changes nothing
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Print the ids of the jobs and do not wait for them
    #[arg(long)]
    detach: bool,
    /// Print one JSON object per result
    #[arg(long)]
    json: bool,
    /// Cancel each job this long after its first start
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
    #[command(flatten)]
    _queue: QueueFlags,
    #[command(flatten)]
    _limits: LimitFlags,
    #[command(flatten)]
    _tables: TableFlags,
    #[command(flatten)]
    _wait: WaitFlags,
}

/// A job that was queued, as JSON.
#[derive(Serialize)]
struct Queued<'a> {
    workflow_id: &'a JobId,
    state: State,
    #[serde(flatten)]
    request: &'a Request,
}

impl SubmitArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let jobs = self.jobs(config)?;
        let mut signals = Signals::listen()?;
        let format = Format::of_flag(self.json);
        let requests = jobs.iter().map(|(id, request)| (id.clone(), Some(*request)));
        let job_wait = JobWait::new(requests, config, format);
        let Some(queued) = signals.unless_any(self.queue(&jobs, config)).await else {
            output::talk(format_args!(
                "interrupted while submitting; {}",
                what_was_queued(&jobs)
            ));
            return Ok(Exit::Interrupted);
        };
        let (access, client) = queued?;
        let _kept = access.keep_running();
        let exit = if self.detach {
            print_ids(&jobs, format)
        } else {
            job_wait.until_all_ended(&client, &mut signals).await
        };
        client.close().await;
        exit
    }

    async fn queue(
        &self,
        jobs: &[(JobId, Request)],
        config: &Config,
    ) -> anyhow::Result<(DatabaseAccess, Client)> {
        let (access, client) = DatabaseAccess::connect_to_write(config).await?;
        let options = SubmitOptions {
            timeout: self.timeout.map(|period| period.0),
        };
        if jobs.len() > LARGE {
            output::talk(format_args!(
                "submitting {} jobs; if that is cut short, {}",
                jobs.len(),
                what_was_queued(jobs)
            ));
        }
        let submitted = client.submit_all(&new_jobs(jobs), options).await;
        if let Err(
            Error::Unreachable { .. } | Error::Full { .. } | Error::Database { .. } | Error::CutShort { .. },
        ) = &submitted
        {
            output::talk(format_args!(
                "cut short while submitting; {}",
                what_was_queued(jobs)
            ));
        }
        submitted.context("submitting")?;
        Ok((access, client))
    }

    /// Reads and checks every request, and gives each an id.
    fn jobs(&self, config: &Config) -> anyhow::Result<Vec<(JobId, Request)>> {
        let refused = |error: RequestError| Failed::usage(error.to_string());
        let mut requests = self.workload.requests(self.algorithm)?;
        let fault = self
            .fault
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(refused)?;
        let limits = config.limits();
        for request in &mut requests {
            request.fault = request.fault.or(fault);
            limits.check(request).map_err(refused)?;
        }
        match (&self.id, requests.as_slice()) {
            (None, _) => Ok(JobId::fresh_batch().zip(requests).collect()),
            (Some(id), [request]) => {
                let id = id
                    .parse()
                    .map_err(|error| Failed::usage(format!("--id: {error}")))?;
                Ok(vec![(id, *request)])
            }
            (Some(_), _) => {
                let message = format!("--id names one job, and there are {}", requests.len());
                Err(Failed::usage(message).into())
            }
        }
    }
}

/// Advises how to find those of the jobs that were queued.
fn what_was_queued(jobs: &[(JobId, Request)]) -> String {
    match jobs {
        [(id, _)] => format!("see whether it was queued: {}", output::show_command(id)),
        jobs => {
            let list = output::list_command(jobs.iter().map(|(id, _)| id));
            format!("see what was queued: {list}")
        }
    }
}

fn print_ids(jobs: &[(JobId, Request)], format: Format) -> anyhow::Result<Exit> {
    for (workflow_id, request) in jobs {
        match format {
            Format::Human => output::line(workflow_id)?,
            Format::Json => output::json(&Queued {
                workflow_id,
                state: State::Queued,
                request,
            })?,
        }
    }
    Ok(Exit::Done)
}
