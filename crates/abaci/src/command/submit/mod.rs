//! `abaci submit`: submits jobs and prints their results as they complete.
//!
//! Everything is checked before anything is queued. Once queued, a job no longer needs this process: `--detach` leaves
//! at once, and an interrupted wait is taken up again with `abaci wait`.
//! Several jobs are a batch, whose id is said first, since this process may be killed at any moment: the ids of its jobs
//! follow from it, so that the same command with that batch queues those that are missing, and none twice.

mod place;
mod random;
mod refusal;
mod workload;

use anyhow::Context;
use clap::Args;
use durable_jobs::client::{Delay, NewJob, Priority, SubmitOptions, Submitted};
use durable_jobs::record::{Batch, Date, Label};
use durable_jobs::{Client, Error, JobId, State};
use fibonacci_jobs::record::{Entry, RequestError, parse_priority};
use fibonacci_jobs::{Algorithm, Request};
use serde::Serialize;
use worker_fleet::signals::Signals;

use crate::config::{Config, Period};
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::flags::{LimitFlags, QueueFlags, TableFlags, WaitFlags, one_of};
use crate::output::{self, Format};
use crate::wait::JobWait;

use place::EntryPlace;
use workload::{PlacedEntry, Workload};

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
    /// Id of the jobs as a batch, instead of a new one: the same submission again queues what is missing of it
    #[arg(long, value_name = "ID")]
    batch: Option<Batch>,
    /// Rank in the queue: a lower number is started sooner; 0, the default, is the first of all
    #[arg(long, value_name = "NUMBER", value_parser = parse_priority, allow_negative_numbers = true)]
    priority: Option<Priority>,
    /// Word that the jobs can be found by; may be given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Label>,
    /// Let the job wait this long, at least, before it is started
    #[arg(long, value_name = "TIME", conflicts_with = "at")]
    delay: Option<Period>,
    /// Let the job wait until this moment of UTC, such as 2026-12-24T18:00:00Z
    #[arg(long, value_name = "MOMENT", value_parser = Date::utc)]
    at: Option<i64>,
    /// Key that one job of the queue holds at a time: while it waits or runs, it is the job that this command names
    #[arg(long, value_name = "KEY", conflicts_with = "batch")]
    dedup: Option<Label>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a Batch>,
}

/// The jobs of one submission, in their order.
struct Submission {
    jobs: Vec<(NewJob, Request)>,
    /// Where each of them is written.
    places: Vec<EntryPlace>,
    /// The flag that a delay is given by.
    delay_flag: &'static str,
    /// Absent for a single job that was not said to be of one.
    batch: Option<Batch>,
    /// The seed of the indices that were drawn, if nobody gave it.
    fresh_seed: Option<u64>,
    options: SubmitOptions,
    /// Where the jobs stand once they are submitted.
    state: State,
}

impl SubmitArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        // Before signals are listened to: the requests may come from stdin, and that read knows no signal.
        let mut submission = self.submission(config)?;
        let mut signals = Signals::listen()?;
        let format = Format::of_flag(self.json);
        let Some(queued) = signals.unless_any(self.queue(&mut submission, config)).await else {
            let what = submission.what_was_queued();
            output::talk(format_args!("interrupted while submitting; {what}"));
            return Ok(Exit::Interrupted);
        };
        let (access, client) = queued?;
        let _kept = access.keep_running();
        let exit = if self.detach {
            submission.print_ids(format)
        } else {
            let jobs = submission.jobs.iter();
            let jobs = jobs.map(|(job, request)| (job.id.clone(), Some(*request)));
            let wait = JobWait::new(jobs, config, format);
            wait.until_all_ended(&client, &mut signals).await
        };
        client.close().await;
        exit
    }

    async fn queue(
        &self,
        submission: &mut Submission,
        config: &Config,
    ) -> anyhow::Result<(DatabaseAccess, Client)> {
        let (access, client) = DatabaseAccess::connect_to_write(config).await?;
        submission.announce(&client).await?;
        // By the database's clock, which decides when the jobs are due.
        if submission.is_delayed(client.clock().now_ms()) {
            submission.state = State::Delayed;
        }
        let submitted = match &self.dedup {
            Some(key) => submission.submit_once(&client, key).await,
            None => submission.submit(&client).await,
        };
        if submitted.as_ref().is_err_and(can_be_completed) {
            let what = submission.what_was_queued();
            output::talk(format_args!("cut short while submitting; {what}"));
        }
        submitted
            .map_err(|error| submission.explain(error))
            .context("submitting")?;
        Ok((access, client))
    }

    /// Reads and checks every job, and gives each an id.
    fn submission(&self, config: &Config) -> Result<Submission, Failed> {
        let (entries, fresh_seed) = self.entries(config)?;
        let batch = match &self.batch {
            None if entries.len() == 1 => None,
            None => Some(Batch::fresh()),
            given => given.clone(),
        };
        if entries.len() > Batch::MAX_JOBS {
            let message = format!(
                "{} jobs are too many; submit {} at a time",
                entries.len(),
                Batch::MAX_JOBS
            );
            return Err(Failed::usage(message));
        }
        if let (Some(_), [_, _, ..]) = (&self.dedup, entries.as_slice()) {
            let message = format!("--dedup is the key of one job, and there are {}", entries.len());
            return Err(Failed::usage(message));
        }
        let places = entries.iter().map(|entry| entry.place.clone()).collect();
        let mut ids = batch.iter().flat_map(Batch::ids);
        let jobs = entries.into_iter().map(|PlacedEntry { entry, .. }| {
            // A position counts also where the line names another id, so that the others keep theirs.
            let id = ids.next().unwrap_or_else(JobId::fresh);
            let request = entry.request;
            let mut job = request.job_as(entry.id.unwrap_or(id));
            job.priority = entry.priority.or(self.priority).unwrap_or_default();
            job.tags = self.tags.iter().chain(&entry.tags).cloned().collect();
            job.batch.clone_from(&batch);
            (job, request)
        });
        let jobs = jobs.collect();
        // It borrows the batch, which goes into the submission.
        drop(ids);
        let submission = Submission {
            jobs,
            places,
            delay_flag: if self.at.is_some() { "--at" } else { "--delay" },
            options: SubmitOptions {
                timeout: self.timeout.map(|period| period.0),
                delay: self.delay(),
                has_fresh_batch: self.batch.is_none() && batch.is_some(),
            },
            batch,
            fresh_seed,
            state: State::Queued,
        };
        submission.refuse_twice()?;
        Ok(submission)
    }

    /// Reads the jobs as they are written, and checks their requests.
    fn entries(&self, config: &Config) -> Result<(Vec<PlacedEntry>, Option<u64>), Failed> {
        let refused = |error: RequestError| Failed::usage(error.to_string());
        let (mut entries, fresh_seed) = self.workload.entries(self.algorithm)?;
        let fault = self
            .fault
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(refused)?;
        let limits = config.limits();
        for PlacedEntry {
            entry: Entry { request, .. },
            ..
        } in &mut entries
        {
            request.fault = request.fault.or(fault);
            limits.check(request).map_err(refused)?;
        }
        match (&self.id, entries.as_mut_slice()) {
            (None, _) => {}
            (Some(id), [PlacedEntry { entry, .. }]) => {
                let id = id
                    .parse()
                    .map_err(|error| Failed::usage(format!("--id: {error}")))?;
                entry.id = Some(id);
            }
            (Some(_), _) => {
                let message = format!("--id names one job, and there are {}", entries.len());
                return Err(Failed::usage(message));
            }
        }
        Ok((entries, fresh_seed))
    }

    fn delay(&self) -> Option<Delay> {
        let period = self.delay.map(|period| Delay::For(period.0));
        period.or(self.at.map(Delay::Until))
    }
}

impl Submission {
    fn is_delayed(&self, now_ms: i64) -> bool {
        match self.options.delay {
            Some(Delay::For(delay)) => !delay.is_zero(),
            Some(Delay::Until(moment)) => moment > now_ms,
            None => false,
        }
    }

    fn new_jobs(&self) -> Vec<NewJob> {
        self.jobs.iter().map(|(job, _)| job.clone()).collect()
    }

    /// Says the batch of several jobs before any of them is queued, and how many were before.
    async fn announce(&self, client: &Client) -> anyhow::Result<()> {
        let (Some(batch), jobs @ 2..) = (&self.batch, self.jobs.len()) else {
            return Ok(());
        };
        let queued = client.count_queued(&self.new_jobs(), self.options).await;
        let queued = match queued
            .map_err(|error| self.explain(error))
            .context("submitting")?
        {
            0 => String::new(),
            queued => format!(", {queued} of them queued before"),
        };
        let advice = if jobs > LARGE {
            format!("; if this is cut short, {}", self.completion(batch))
        } else {
            String::new()
        };
        output::talk(format_args!("batch {batch}: {jobs} jobs{queued}{advice}"));
        Ok(())
    }

    async fn submit(&self, client: &Client) -> Result<(), Error> {
        client.submit_all(&self.new_jobs(), self.options).await
    }

    /// Submits the only job unless another one holds `key`, which takes its place here.
    async fn submit_once(&mut self, client: &Client, key: &Label) -> Result<(), Error> {
        for (job, _) in &mut self.jobs {
            if let Submitted::Joined(id) = client.submit_once(job, key, self.options).await? {
                output::talk(format_args!(
                    "job {id} holds the key {key} and is joined; nothing was queued"
                ));
                self.state = client.summary(&id).await?.job.state;
                job.id = id;
            }
        }
        Ok(())
    }

    /// Advises how to queue the jobs that are missing of a batch.
    fn completion(&self, batch: &Batch) -> String {
        let seed = self
            .fresh_seed
            .map_or_else(String::new, |seed| format!("--seed {seed} "));
        format!(
            "the same command with {seed}{} completes it",
            output::batch_flag(batch)
        )
    }

    /// Advises how to find those of the jobs that were queued, and to queue the others.
    fn what_was_queued(&self) -> String {
        let ids = self.jobs.iter().map(|(job, _)| &job.id);
        match (self.jobs.as_slice(), &self.batch) {
            ([(job, _)], _) => format!("see whether it was queued: {}", output::show_command(&job.id)),
            (_, Some(batch)) => format!(
                "{}; see what was queued: {}",
                self.completion(batch),
                output::list_command(ids)
            ),
            (_, None) => format!("see what was queued: {}", output::list_command(ids)),
        }
    }

    fn print_ids(&self, format: Format) -> anyhow::Result<Exit> {
        for (job, request) in &self.jobs {
            match format {
                Format::Human => output::line(&job.id)?,
                Format::Json => output::json(&Queued {
                    workflow_id: &job.id,
                    state: self.state,
                    request,
                    batch: self.batch.as_ref(),
                })?,
            }
        }
        Ok(Exit::Done)
    }
}

/// Tests whether a submission that failed so may have queued jobs, and the same one completes it.
fn can_be_completed(error: &Error) -> bool {
    match error {
        Error::CutShort { cause, .. } => can_be_completed(cause),
        Error::Unreachable { .. } | Error::Full { .. } | Error::Database { .. } => true,
        _ => false,
    }
}
