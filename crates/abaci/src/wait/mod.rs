//! Waiting for jobs to end: results as they complete, obstacles, and the summary.
//!
//! Results go to stdout, one line each, and one failed job hides none of the others; progress, notices and the summary
//! go to stderr.
//! Each value is checked here against a certificate computed here: a value that does not stand counts as failed.
//! The output of another program's job is printed as it was recorded.
//!
//! Giving up, being interrupted or being killed loses nothing: the jobs are in the database, and the last line shows how
//! to wait for them again.

mod fleet;
mod progress;
mod report;
mod tally;
mod timeouts;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use durable_jobs::client::{Outcome, WaitEvent};
use durable_jobs::record::WaitReason;
use durable_jobs::{Client, JobId, State};
use fibonacci_jobs::Request;
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::recorded::is_fibonacci;

pub(crate) use fleet::LocalFleet;
pub(crate) use progress::ProgressLine;
pub(crate) use report::{Checked, checked};
pub(crate) use tally::Tally;
pub(crate) use timeouts::{Response, WaitTimeouts};
pub(crate) use words::{nobody_listens, why};

/// Number of ids that a notice spells out before it refers to the list.
const IDS_IN_A_NOTICE: usize = 20;

/// A wait without a result for this long says what it is for.
const WORTH_A_WORD: Duration = Duration::from_secs(5);

/// Bounds the question for that.
const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(1);

/// A wait for jobs, with their requests where those are known.
pub(crate) struct JobWait {
    requests: HashMap<JobId, Option<Request>>,
    open: BTreeSet<JobId>,
    timeouts: WaitTimeouts,
    fleet: LocalFleet,
    tally: Tally,
    format: Format,
}

/// An end of the wait before the end of the jobs.
enum EarlyEnd {
    /// A signal came.
    Interrupted,
    /// An obstacle lasted for too long; the message names it.
    GaveUp(String),
}

impl JobWait {
    /// Prepares a wait for `jobs` with the timeouts of the configuration.
    pub(crate) fn new(
        jobs: impl IntoIterator<Item = (JobId, Option<Request>)>,
        config: &Config,
        format: Format,
    ) -> Self {
        let requests: HashMap<JobId, Option<Request>> = jobs.into_iter().collect();
        let open = requests.keys().cloned().collect();
        let timeouts = WaitTimeouts::new(config.wait_for_server.value.0, config.wait_for_database.value.0);
        Self {
            tally: Tally::start(requests.len()),
            requests,
            open,
            timeouts,
            fleet: LocalFleet::of(config),
            format,
        }
    }

    /// Prints every outcome as it comes, then the summary.
    pub(crate) async fn until_all_ended(
        mut self,
        client: &Client,
        signals: &mut Signals,
    ) -> anyhow::Result<Exit> {
        let mut progress = ProgressLine::new(self.requests.len());
        progress.look_at(client, self.requests.keys().cloned());
        let mut waiter = client.wait(self.requests.keys().cloned());
        let mut is_explained = false;
        let first_word = tokio::time::sleep(WORTH_A_WORD);
        // Pinned outside of the loop: made inside, each event would begin it anew.
        tokio::pin!(first_word);
        let end = loop {
            tokio::select! {
                () = &mut first_word, if !is_explained => {
                    is_explained = true;
                    self.explain(client, &progress).await;
                }
                event = waiter.next() => match event {
                    Some(event) => if let Some(end) = self.handle(event, &progress).await? { break Some(end) },
                    None => break None,
                },
                _ = signals.next() => break Some(EarlyEnd::Interrupted),
            }
        };
        // The line goes first, or it would be drawn between the last words.
        drop(progress);
        Ok(self.conclude(end))
    }

    /// Says what the first of the jobs waits for, if none has ended and nothing else says so.
    async fn explain(&self, client: &Client, progress: &ProgressLine) {
        let Some(id) = self.open.first().filter(|_| self.tally.done() == 0) else {
            return;
        };
        let asked = tokio::time::timeout(EXPLANATION_TIMEOUT, client.waiting(id)).await;
        let Ok(Ok(Some(waiting))) = asked else { return };
        // The other reasons are told when they begin.
        if matches!(
            waiting.reason,
            WaitReason::Busy { .. } | WaitReason::Delayed { .. }
        ) {
            let said = why(&waiting, None);
            progress.apart(|| output::talk(format_args!("job {id} waits: {said}")));
        }
    }

    async fn handle(
        &mut self,
        event: WaitEvent,
        progress: &ProgressLine,
    ) -> anyhow::Result<Option<EarlyEnd>> {
        match event {
            WaitEvent::Finished(outcome) => self.finished(outcome, progress)?,
            WaitEvent::Missing(id) => {
                self.open.remove(&id);
                self.tally.failed();
                progress.apart(|| output::error(output::no_such_job(id)));
            }
            WaitEvent::Progress { queued, running } => progress.counts(queued, running),
            other => return Ok(self.obstacle(&other, progress).await),
        }
        progress.done(self.tally.done());
        Ok(None)
    }

    fn finished(&mut self, outcome: Outcome, progress: &ProgressLine) -> anyhow::Result<()> {
        self.open.remove(&outcome.id);
        if !is_fibonacci(&outcome.workflow) {
            match outcome.state {
                // Nobody here knows for how long another program's job computed.
                State::Succeeded => self.tally.succeeded(0.0),
                _ => self.tally.failed(),
            }
            return progress.apart(|| report::print_foreign(&outcome, self.format));
        }
        let request = self.requests.get(&outcome.id).copied().flatten();
        let outcome = checked(outcome);
        match &outcome.result {
            Ok(result) => self.tally.succeeded(result.seconds),
            Err(_) => self.tally.failed(),
        }
        progress.apart(|| report::print(&outcome, request, self.format))
    }

    async fn obstacle(&mut self, event: &WaitEvent, progress: &ProgressLine) -> Option<EarlyEnd> {
        let prospect = match event {
            WaitEvent::NoWorker { of, .. } => self.fleet.prospect(of).await.map(|said| (of, said)),
            _ => None,
        };
        let response = match prospect {
            Some((of, prospect)) => self.timeouts.between_workers(of, prospect),
            None => self.timeouts.consider(event),
        };
        match response? {
            Response::Notice(notice) => {
                progress.apart(|| output::talk(notice));
                None
            }
            Response::GaveUp(reason) => Some(EarlyEnd::GaveUp(reason)),
        }
    }

    fn conclude(self, end: Option<EarlyEnd>) -> Exit {
        let left = self.open.len();
        match end {
            None => {
                output::talk(self.summary());
                if self.tally.has_failures() {
                    Exit::No
                } else {
                    Exit::Done
                }
            }
            Some(EarlyEnd::Interrupted) => {
                output::talk(format_args!("stopped waiting; {}", self.way_back(left)));
                Exit::Interrupted
            }
            Some(EarlyEnd::GaveUp(reason)) => {
                output::error(format_args!("{reason}; {}", self.way_back(left)));
                Exit::Unreachable
            }
        }
    }

    /// Sums up the jobs; only of those that were submitted here is it known that the clock began with them.
    fn summary(&self) -> String {
        if self.requests.values().all(Option::is_some) {
            self.tally.summary()
        } else {
            self.tally.totals()
        }
    }

    /// Writes the command that waits for the jobs again.
    fn way_back(&self, left: usize) -> String {
        let jobs = if left == 1 {
            "the job stays".to_owned()
        } else {
            format!("{left} jobs stay")
        };
        let wait = output::wait_command(self.open.iter().take(IDS_IN_A_NOTICE));
        let rest = if left > IDS_IN_A_NOTICE {
            format!(" … (all of them: {})", output::list_command(self.open.iter()))
        } else {
            String::new()
        };
        format!("{jobs} in the database, get the results later with: {wait}{rest}")
    }
}
