//! What happens: the jobs, the crash in the middle, the end.
//!
//! The crash is not timed: it comes once half of the jobs are done and facts say that a worker is in the middle of another.
//! Jobs so short that none is caught running are all done before any crash, and the end says so.
//!
//! Lines come in the order of the story: what was done before the crash is told before it, and what is done before the
//! successor is there is told after it.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use durable_jobs::client::{Outcome, SubmitOptions, WaitEvent, Waiter};
use durable_jobs::database::Tables;
use durable_jobs::{Client, JobId, JobResult, Request};
use tokio::sync::mpsc;

use super::crash::{self, Crash};
use super::fleet::Fleet;
use super::output::{self, Recovery};
use super::sandbox::Stage;
use crate::database_access::{Access, on_blocking_thread};
use crate::exit::{Exit, Failed};
use crate::wait::{Patience, Progress, Tally, checked};

/// How often the rows are looked at for a job that runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The longest that the workers or the database may be away.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a wait has to say, as it comes.
type Events = mpsc::UnboundedReceiver<WaitEvent>;

/// One run of the demo.
pub(super) struct Plot<'a> {
    stage: &'a Stage,
    access: &'a Access,
    jobs: Vec<(JobId, Request)>,
    tally: Tally,
    patience: Patience,
    crash: Option<Crash>,
    /// Whether another process took the place of the killed one.
    is_replaced: bool,
    recovery: Option<Recovery>,
    /// What has ended and was not told yet.
    untold: Vec<Outcome>,
}

impl<'a> Plot<'a> {
    pub(super) fn new(stage: &'a Stage, access: &'a Access, jobs: Vec<(JobId, Request)>) -> Self {
        let tally = Tally::start(jobs.len());
        let patience = Patience::new(PATIENCE, PATIENCE);
        Self {
            stage,
            access,
            jobs,
            tally,
            patience,
            crash: None,
            is_replaced: false,
            recovery: None,
            untold: Vec::new(),
        }
    }

    /// Plays to the end and returns what the demo ends with.
    pub(super) async fn play(mut self) -> anyhow::Result<Exit> {
        output::opening(self.stage)?;
        let client = self.access.client_with(self.stage.config(), Tables::Make).await?;
        let (fleet, snapshot) = Fleet::start(self.stage, self.access).await?;
        output::fleet_started(fleet.pid(), &snapshot)?;
        self.tally = Tally::start(self.jobs.len());
        client
            .submit_all(&self.jobs, SubmitOptions::default())
            .await
            .context("submitting")?;
        output::submitted(&self.jobs)?;
        self.follow(&client, &fleet).await?;
        on_blocking_thread(move || fleet.stop()).await?;
        client.close().await;
        output::ending(&self.tally, self.crash.as_ref(), self.recovery.as_ref())?;
        Ok(if self.tally.has_failures() {
            Exit::No
        } else {
            Exit::Done
        })
    }

    async fn follow(&mut self, client: &Client, fleet: &Fleet) -> anyhow::Result<()> {
        let progress = Progress::new(self.jobs.len());
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
            self.tell_of_replacement(fleet, &progress).await?;
        }
        Ok(())
    }

    /// Brings about the crash when it is time, and then waits for its end.
    async fn advance(
        &mut self,
        client: &Client,
        fleet: &Fleet,
        events: &mut Events,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        if self.crash.is_some() {
            return self.tell_of_replacement(fleet, progress).await;
        }
        let Some(crash) = crash::bring_about(client, fleet, &self.jobs).await? else {
            return Ok(());
        };
        self.crash = Some(crash.clone());
        // The events may be late to say what ended before.
        while self.tally.done() - self.untold.len() < crash.ended_before.len()
            && let Some(event) = events.recv().await
        {
            self.handle(event, progress)?;
        }
        progress.apart(|| output::crashed(&crash))
    }

    /// Tells that another process has taken the place of the killed one, once that is so, and what ended meanwhile.
    async fn tell_of_replacement(&mut self, fleet: &Fleet, progress: &Progress) -> anyhow::Result<()> {
        let Some(crash) = self.crash.as_ref().filter(|_| !self.is_replaced) else {
            return Ok(());
        };
        ensure!(
            crash.at.elapsed() < PATIENCE,
            "nobody took the place of process {} within {PATIENCE:?}",
            crash.pid
        );
        let worker = fleet.worker(&crash.executor_id).await?;
        let heir = worker
            .filter(|worker| worker.state.is_ready())
            .and_then(|worker| worker.pid);
        if let Some(heir) = heir.filter(|heir| *heir != crash.pid) {
            self.is_replaced = true;
            progress.apart(|| output::replaced(heir, crash.at.elapsed()))?;
            let untold = std::mem::take(&mut self.untold);
            untold.iter().try_for_each(|outcome| tell(outcome, progress))?;
        }
        Ok(())
    }

    fn handle(&mut self, event: WaitEvent, progress: &Progress) -> anyhow::Result<()> {
        match event {
            WaitEvent::Finished(outcome) => self.finished(outcome, progress),
            WaitEvent::Progress { queued, running } => {
                progress.counts(queued, running);
                Ok(())
            }
            WaitEvent::Missing(id) => Err(anyhow!("job {id} is gone")),
            other => match self.patience.consider(&other).gave_up {
                Some(reason) => Err(Failed::unreachable(reason).into()),
                None => Ok(()),
            },
        }
    }

    fn finished(&mut self, outcome: Outcome, progress: &Progress) -> anyhow::Result<()> {
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
            return tell(&outcome, progress);
        }
        self.untold.push(outcome);
        Ok(())
    }

    /// Reports that the end of a job is told as it comes, and not held back until the successor is there.
    fn is_due(&self, id: &JobId) -> bool {
        let came_before = |crash: &Crash| crash.ended_before.contains(id);
        self.is_replaced || self.crash.as_ref().is_none_or(came_before)
    }

    /// The job that was cut off says what the crash cost: what had been computed, and the time until it was taken up again.
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
        let away = crash.at.elapsed().saturating_sub(Duration::from_secs_f64(again));
        self.recovery = Some(Recovery {
            computed_by: result.pid,
            attempts: result.attempts,
            lost: away + thrown_away,
        });
    }
}

fn tell(outcome: &Outcome, progress: &Progress) -> anyhow::Result<()> {
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

/// Compares the value with what another algorithm says, here and now.
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
