//! One run of the demo: the jobs, the crash in the middle, the end.
//!
//! The crash is not timed: it comes once half of the jobs are done and facts say that a worker is in the middle of another.
//! Jobs so short that none is caught running are all done before any crash, and the last lines say so.
//!
//! Lines come in order: results from before the crash are printed before it, and results from before the
//! successor's start after that.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use durable_jobs::client::{Outcome, SubmitOptions, WaitEvent, Waiter};
use durable_jobs::database::Tables;
use durable_jobs::{Client, JobId};
use fibonacci_jobs::{JobResult, Request, new_jobs};
use tokio::sync::mpsc;

use super::crash::{self, Crash};
use super::fleet::DemoFleet;
use super::output::{self, Recovery};
use super::sandbox::DemoSandbox;
use crate::database_access::{DatabaseAccess, on_blocking_thread};
use crate::exit::{Exit, Failed};
use crate::wait::{Checked, ProgressLine, Response, Tally, WaitTimeouts, checked};

/// Interval at which the rows are looked at for a job that runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The longest that the workers or the database may be away.
const PATIENCE: Duration = Duration::from_mins(1);

/// The events of a wait, as they come.
type Events = mpsc::UnboundedReceiver<WaitEvent>;

/// One run of the demo.
pub(super) struct Scenario<'a> {
    sandbox: &'a DemoSandbox,
    access: &'a DatabaseAccess,
    jobs: Vec<(JobId, Request)>,
    tally: Tally,
    timeouts: WaitTimeouts,
    crash: Option<Crash>,
    /// Another process took the place of the killed one.
    is_replaced: bool,
    recovery: Option<Recovery>,
    /// Outcomes that are not printed yet.
    held_back: Vec<Checked>,
}

impl<'a> Scenario<'a> {
    pub(super) fn new(
        sandbox: &'a DemoSandbox,
        access: &'a DatabaseAccess,
        jobs: Vec<(JobId, Request)>,
    ) -> Self {
        let tally = Tally::start(jobs.len());
        let timeouts = WaitTimeouts::new(PATIENCE, PATIENCE);
        Self {
            sandbox,
            access,
            jobs,
            tally,
            timeouts,
            crash: None,
            is_replaced: false,
            recovery: None,
            held_back: Vec::new(),
        }
    }

    /// Runs to the end and returns the exit code of the demo.
    pub(super) async fn run(mut self) -> anyhow::Result<Exit> {
        output::opening(self.sandbox, output::KILLED_BY_US)?;
        let client = self
            .access
            .client_with(&self.sandbox.config, Tables::Make)
            .await?;
        let (fleet, snapshot) = DemoFleet::start(self.sandbox, self.access).await?;
        output::fleet_started(fleet.pid(), &snapshot)?;
        // Anew, so that the start of the fleet does not count as time of the jobs.
        self.tally = Tally::start(self.jobs.len());
        client
            .submit_all(&new_jobs(&self.jobs), SubmitOptions::default())
            .await
            .context("submitting")?;
        output::submitted(&self.jobs)?;
        self.follow(&client, &fleet).await?;
        on_blocking_thread(move || drop(fleet)).await?;
        client.close().await;
        output::ending(&self.tally, self.crash.as_ref(), self.recovery.as_ref())?;
        Ok(if self.tally.has_failures() {
            Exit::No
        } else {
            Exit::Done
        })
    }

    async fn follow(&mut self, client: &Client, fleet: &DemoFleet) -> anyhow::Result<()> {
        let progress = ProgressLine::new(self.jobs.len());
        let mut events = events_of(client.wait(self.jobs.iter().map(|(id, _)| id.clone())));
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event, &progress)?,
                    None => break,
                },
                _ = look.tick() => self.advance(client, fleet, &mut events, &progress).await?,
            }
        }
        // All jobs may be done before the place of the killed worker is taken again.
        while self.crash.is_some() && !self.is_replaced {
            look.tick().await;
            self.report_replacement(fleet, &progress).await?;
        }
        Ok(())
    }

    /// Causes the crash when it is time, and then waits for the successor.
    async fn advance(
        &mut self,
        client: &Client,
        fleet: &DemoFleet,
        events: &mut Events,
        progress: &ProgressLine,
    ) -> anyhow::Result<()> {
        if self.crash.is_some() {
            return self.report_replacement(fleet, progress).await;
        }
        let Some(crash) = crash::bring_about(client, fleet, &self.jobs).await? else {
            return Ok(());
        };
        // Before more events are read: from here on, results from after the crash are held back.
        self.crash = Some(crash.clone());
        // The events may be late to say what ended before.
        while self.tally.done() - self.held_back.len() < crash.ended_before.len()
            && let Some(event) = events.recv().await
        {
            self.handle(event, progress)?;
        }
        progress.apart(|| output::crashed(&crash))
    }

    /// Prints that another process has taken the place of the killed one, once that is so, and then the results held back.
    async fn report_replacement(&mut self, fleet: &DemoFleet, progress: &ProgressLine) -> anyhow::Result<()> {
        let Some(crash) = self.crash.as_ref().filter(|_| !self.is_replaced) else {
            return Ok(());
        };
        ensure!(
            crash.at.elapsed() < PATIENCE,
            "nobody took the place of process {} within {PATIENCE:?}",
            crash.pid
        );
        let worker = fleet.worker(&crash.executor_id).await?;
        let successor = worker
            .filter(|worker| worker.state.is_ready())
            .and_then(|worker| worker.pid);
        if let Some(successor) = successor.filter(|successor| *successor != crash.pid) {
            self.is_replaced = true;
            progress.apart(|| output::replaced(successor, crash.at.elapsed()))?;
            let held_back = std::mem::take(&mut self.held_back);
            held_back
                .iter()
                .try_for_each(|outcome| print_outcome(outcome, progress))?;
        }
        Ok(())
    }

    fn handle(&mut self, event: WaitEvent, progress: &ProgressLine) -> anyhow::Result<()> {
        match event {
            WaitEvent::Finished(outcome) => self.finished(outcome, progress),
            WaitEvent::Progress { queued, running } => {
                progress.counts(queued, running);
                Ok(())
            }
            WaitEvent::Missing(id) => Err(anyhow!("job {id} is gone")),
            other => match self.timeouts.consider(&other) {
                Some(Response::GaveUp(reason)) => Err(Failed::unreachable(reason).into()),
                Some(Response::Notice(_)) | None => Ok(()),
            },
        }
    }

    fn finished(&mut self, outcome: Outcome, progress: &ProgressLine) -> anyhow::Result<()> {
        let outcome = checked(outcome);
        match &outcome.result {
            Ok(result) => {
                check_against_doubling(result)?;
                self.tally.succeeded(result.seconds);
                self.note_recovery(&outcome.id, result);
            }
            Err(_) => self.tally.failed(),
        }
        progress.done(self.tally.done());
        if self.is_due(&outcome.id) {
            return print_outcome(&outcome, progress);
        }
        self.held_back.push(outcome);
        Ok(())
    }

    /// Returns whether the outcome of a job is printed as it comes, and not held back until the successor is there.
    fn is_due(&self, id: &JobId) -> bool {
        let came_before = |crash: &Crash| crash.ended_before.contains(id);
        self.is_replaced || self.crash.as_ref().is_none_or(came_before)
    }

    /// Notes the cost of the crash to the job that was cut off: lost computing, and the time until it was taken up again.
    fn note_recovery(&mut self, id: &JobId, result: &JobResult) {
        let Some(crash) = &self.crash else {
            return;
        };
        if crash.job != *id {
            return;
        }
        let was_recorded = result.pid == crash.pid;
        let again = if was_recorded {
            0.0
        } else {
            result.seconds.max(0.0)
        };
        let thrown_away = if was_recorded {
            Duration::ZERO
        } else {
            crash.ran_for
        };
        // The computation that came of it is no cost of the crash: it had to be done anyway.
        let away = crash.at.elapsed().saturating_sub(Duration::from_secs_f64(again));
        self.recovery = Some(Recovery {
            computed_by: result.pid,
            attempts: result.attempts,
            lost: away + thrown_away,
        });
    }
}

fn print_outcome(outcome: &Checked, progress: &ProgressLine) -> anyhow::Result<()> {
    progress.apart(|| match &outcome.result {
        Ok(result) => output::result(result),
        Err(failure) => output::failure(&outcome.id, failure),
    })
}

/// Waits in a task of its own: a question to the database that is given up whenever it is time to look at something else
/// might never be answered.
fn events_of(mut waiter: Waiter) -> Events {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = waiter.next().await {
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Compares the value with another algorithm's, computed here and now.
fn check_against_doubling(result: &JobResult) -> anyhow::Result<()> {
    let value = fibonacci::doubling(result.n, &fibonacci::unobserved).context("computing F(n) again")?;
    let agrees = result.value.as_deref() == Some(value.to_string().as_str());
    ensure!(
        agrees,
        "F({}) by recursion is not F({}) by doubling",
        result.n,
        result.n
    );
    Ok(())
}
