//! What happens: the jobs, the crash in the middle, the end.
//!
//! The crash is not timed. The rows say which worker computes which job, and then that worker is killed: once half of the
//! jobs are done and the next has run for a moment.
//! Jobs so short that none is seen running are all done before any crash, and the end says so.

use std::time::{Duration, Instant, SystemTime};

use abaci_engine::client::{ListFilter, Outcome, SubmitOptions, WaitEvent, Waiter};
use abaci_engine::{Client, Job, JobId, JobResult, Request, State};
use anyhow::{Context, anyhow, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use super::cast::Fleet;
use super::narration::{self, Crash, Recovery};
use super::stage::Stage;
use crate::database::{Access, on_blocking_thread};
use crate::exit::{Exit, Failed};
use crate::follow::{Patience, Progress, Tally, checked};

/// How often the rows are looked at for a job that runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How long a job has to have run for the crash to cost it something.
const A_MOMENT: Duration = Duration::from_millis(50);

/// The same for the last job, after which there is no other chance.
const A_BLINK: Duration = Duration::from_millis(10);

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
        }
    }

    /// Plays to the end and returns what the demo ends with.
    pub(super) async fn play(mut self) -> anyhow::Result<Exit> {
        narration::opening(self.stage)?;
        let client = self.access.client(self.stage.config()).await?;
        let (fleet, snapshot) = Fleet::start(self.stage, self.access).await?;
        narration::fleet_started(fleet.pid(), &snapshot)?;
        self.tally = Tally::start(self.jobs.len());
        client
            .submit_all(&self.jobs, SubmitOptions::default())
            .await
            .context("submitting")?;
        narration::submitted(&self.jobs)?;
        self.follow(&client, &fleet).await?;
        on_blocking_thread(move || fleet.stop()).await?;
        client.close().await;
        narration::ending(&self.tally, self.crash.as_ref(), self.recovery.as_ref())?;
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
        let Some((done, victim)) = self.victim_if_time_to_crash(client).await? else {
            return Ok(());
        };
        if let Some(crash) = kill(client, fleet, &victim).await? {
            self.tell_until(done, events, progress).await?;
            progress.apart(|| narration::crashed(&crash))?;
            self.crash = Some(crash);
        }
        Ok(())
    }

    /// Tells of what was done before the crash, so that the order of the lines is that of the events.
    async fn tell_until(
        &mut self,
        done: usize,
        events: &mut Events,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        while self.tally.done() < done
            && let Some(event) = events.recv().await
        {
            self.handle(event, progress)?;
        }
        Ok(())
    }

    /// Tells that another process has taken the place of the killed one, once that is so.
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
            progress.apart(|| narration::replaced(heir, crash.at.elapsed()))?;
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
                progress.apart(|| narration::result(result))?;
            }
            Err(failure) => {
                self.tally.failed();
                progress.apart(|| narration::failure(&outcome.id, failure))?;
            }
        }
        progress.done(self.tally.done());
        Ok(())
    }

    /// The job that was cut off says what the crash cost: what had been computed, and the time until it was taken up again.
    fn note_recovery(&mut self, id: &JobId, result: &JobResult) {
        let Some(crash) = &self.crash else {
            return;
        };
        if crash.victim.as_ref() != Some(id) {
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

    /// How many jobs are done and which one is being computed, if it is the middle of the story.
    ///
    /// The rows are asked and not the events, which lag behind by as much as a short job takes.
    async fn victim_if_time_to_crash(&self, client: &Client) -> anyhow::Result<Option<(usize, Job)>> {
        let jobs = client.list(&ListFilter::default()).await?;
        let done = jobs.iter().filter(|job| job.state.is_final()).count();
        let moment = if done + 1 == self.jobs.len() {
            A_BLINK
        } else {
            A_MOMENT
        };
        let now = SystemTime::now();
        let is_computed = |job: &Job| job.state == State::Running && has_run_for(job, now) >= moment;
        let is_time = done >= self.jobs.len() / 2;
        let victim = jobs.into_iter().filter(|_| is_time).find(is_computed);
        Ok(victim.map(|job| (done, job)))
    }
}

/// Kills the worker that computes a job, the way a crash does, and finds out what that hit; nothing when the worker has
/// gone by itself.
async fn kill(client: &Client, fleet: &Fleet, victim: &Job) -> anyhow::Result<Option<Crash>> {
    let Some(executor_id) = victim.executor_id.clone() else {
        return Ok(None);
    };
    let pid = fleet.worker(&executor_id).await?.and_then(|worker| worker.pid);
    let Some(pid) = pid else { return Ok(None) };
    let process = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id")?;
    match kill_process(process, Signal::KILL) {
        Err(Errno::SRCH) => return Ok(None),
        killed => killed.context("killing a worker")?,
    }
    let (at, died) = (Instant::now(), SystemTime::now());
    // The row has the last word on what the crash hit: the job may have ended in the very last moment.
    let hit = client.show(&victim.workflow_id).await?.job;
    let hit = Some(hit).filter(|job| !job.state.is_final());
    Ok(Some(Crash {
        pid,
        executor_id,
        n: hit.as_ref().and_then(|job| job.n),
        ran_for: hit.as_ref().map_or(Duration::ZERO, |_| has_run_for(victim, died)),
        victim: hit.map(|job| job.workflow_id),
        at,
    }))
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

/// How long a job had run at a moment; the database's clock is this machine's, since the database is here.
fn has_run_for(job: &Job, at: SystemTime) -> Duration {
    let started_ms = job.started_at_ms.and_then(|moment| u64::try_from(moment).ok());
    let started = started_ms.map(|moment| SystemTime::UNIX_EPOCH + Duration::from_millis(moment));
    started
        .and_then(|moment| at.duration_since(moment).ok())
        .unwrap_or_default()
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
