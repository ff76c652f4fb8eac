//! Following jobs to their end: results as they complete, what is in the way, and the summary.
//!
//! Results go to stdout, one line each, and one failed job hides none of the others; progress, notices and the summary
//! go to stderr.
//! Each value is checked here against a certificate computed here: a value that does not stand counts as failed.
//!
//! Giving up, being interrupted or being killed loses nothing: the jobs are in the database, and the last line says how
//! to wait for them again.

mod fleet;
mod patience;
mod progress;
mod report;
mod tally;

use std::collections::{BTreeSet, HashMap};

use durable_jobs::client::{Outcome, WaitEvent};
use durable_jobs::{Client, JobId, Request};
use worker_fleet::signals::Signals;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{self, Format};

pub(crate) use fleet::LocalFleet;
pub(crate) use patience::{Patience, nobody_listens};
pub(crate) use progress::Progress;
pub(crate) use report::checked;
pub(crate) use tally::Tally;

/// How many ids a notice spells out before it refers to the list.
const IDS_IN_A_NOTICE: usize = 20;

/// Jobs to be followed, with what was asked for where that is known.
pub(crate) struct Following {
    requests: HashMap<JobId, Option<Request>>,
    open: BTreeSet<JobId>,
    patience: Patience,
    fleet: LocalFleet,
    tally: Tally,
    format: Format,
}

/// Why following ended before the jobs did.
enum End {
    /// A signal came.
    Interrupted,
    /// What is in the way stayed for too long; the message says what it is.
    GaveUp(String),
}

impl Following {
    /// Follows `jobs` as patiently as the configuration says.
    pub(crate) fn new(
        jobs: impl IntoIterator<Item = (JobId, Option<Request>)>,
        config: &Config,
        format: Format,
    ) -> Self {
        let requests: HashMap<JobId, Option<Request>> = jobs.into_iter().collect();
        let open = requests.keys().cloned().collect();
        let patience = Patience::new(config.wait_for_server.value.0, config.wait_for_database.value.0);
        Self {
            tally: Tally::start(requests.len()),
            requests,
            open,
            patience,
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
        let mut progress = Progress::new(self.requests.len());
        progress.look_at(client, self.requests.keys().cloned());
        let mut waiter = client.wait(self.requests.keys().cloned());
        let end = loop {
            tokio::select! {
                event = waiter.next() => match event {
                    Some(event) => if let Some(end) = self.handle(event, &progress).await? { break Some(end) },
                    None => break None,
                },
                _ = signals.next() => break Some(End::Interrupted),
            }
        };
        progress.clear();
        Ok(self.conclude(end))
    }

    async fn handle(&mut self, event: WaitEvent, progress: &Progress) -> anyhow::Result<Option<End>> {
        match event {
            WaitEvent::Finished(outcome) => self.finished(outcome, progress)?,
            WaitEvent::Missing(id) => {
                self.open.remove(&id);
                self.tally.failed();
                progress.apart(|| output::error(format_args!("no job has the id {id}; see: abaci list")));
            }
            WaitEvent::Progress { queued, running } => progress.counts(queued, running),
            other => return Ok(self.obstacle(&other, progress).await),
        }
        progress.done(self.tally.done());
        Ok(None)
    }

    fn finished(&mut self, outcome: Outcome, progress: &Progress) -> anyhow::Result<()> {
        self.open.remove(&outcome.id);
        let request = self.requests.get(&outcome.id).copied().flatten();
        let outcome = checked(outcome);
        match &outcome.result {
            Ok(result) => self.tally.succeeded(result.seconds),
            Err(_) => self.tally.failed(),
        }
        progress.apart(|| report::print(&outcome, request, self.format))
    }

    async fn obstacle(&mut self, event: &WaitEvent, progress: &Progress) -> Option<End> {
        let prospect = match event {
            WaitEvent::NoWorker { of, .. } => self.fleet.prospect(of).await.map(|said| (of, said)),
            _ => None,
        };
        let verdict = match prospect {
            Some((of, prospect)) => self.patience.between_workers(of, prospect),
            None => self.patience.consider(event),
        };
        if let Some(notice) = verdict.notice {
            progress.apart(|| output::talk(notice));
        }
        verdict.gave_up.map(End::GaveUp)
    }

    fn conclude(self, end: Option<End>) -> Exit {
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
            Some(End::Interrupted) => {
                output::talk(format_args!("stopped waiting; {}", self.way_back(left)));
                Exit::Interrupted
            }
            Some(End::GaveUp(reason)) => {
                output::error(format_args!("{reason}; {}", self.way_back(left)));
                Exit::Unreachable
            }
        }
    }

    /// Sums up what the jobs took; what they ask for is known only of those that were submitted here, as the clock began.
    fn summary(&self) -> String {
        if self.requests.values().all(Option::is_some) {
            self.tally.summary()
        } else {
            self.tally.totals()
        }
    }

    /// Says that the jobs go on without us, and how to get back to them.
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
