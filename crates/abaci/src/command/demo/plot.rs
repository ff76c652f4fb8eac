//! What happens: the jobs, the crash in the middle, the end.
//!
//! The crash is not timed. The rows say when a job is being computed, and then the server is killed: once half of the
//! jobs are done and the next has run for a moment.
//! Jobs so short that none is seen running are all done before any crash, and the end says so.

use std::time::{Duration, Instant, SystemTime};

use abaci_engine::client::{ListFilter, Outcome, SubmitOptions, WaitEvent, Waiter};
use abaci_engine::{Client, Job, JobId, JobResult, Request, State};
use anyhow::{Context, anyhow, ensure};
use tokio::sync::mpsc;

use super::cast::Server;
use super::narration::{self, Crash, Recovery};
use super::stage::Stage;
use crate::database::Access;
use crate::exit::{Exit, Failed};
use crate::follow::{Patience, Progress, Tally, checked};

/// How often the rows are looked at for a job that runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How long a job has to have run for the crash to cost it something.
const A_MOMENT: Duration = Duration::from_millis(50);

/// The same for the last job, after which there is no other chance.
const A_BLINK: Duration = Duration::from_millis(10);

/// The longest that a server or the database may be away.
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
    /// The process of the server that took over.
    heir: u32,
    away: Option<Duration>,
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
            heir: 0,
            away: None,
            recovery: None,
        }
    }

    /// Plays to the end and returns what the demo ends with.
    pub(super) async fn play(mut self) -> anyhow::Result<Exit> {
        narration::opening(self.stage)?;
        let client = self.access.client(self.stage.config()).await?;
        let mut server = Server::start(self.stage, self.access, &client).await?;
        narration::server_started(server.pid())?;
        self.tally = Tally::start(self.jobs.len());
        client
            .submit_all(&self.jobs, SubmitOptions::default())
            .await
            .context("submitting")?;
        narration::submitted(&self.jobs)?;
        self.follow(&client, &mut server).await?;
        server.stop().await;
        client.close().await;
        narration::ending(&self.tally, self.crash.as_ref(), self.recovery.as_ref())?;
        Ok(if self.tally.has_failures() {
            Exit::No
        } else {
            Exit::Done
        })
    }

    async fn follow(&mut self, client: &Client, server: &mut Server) -> anyhow::Result<()> {
        let progress = Progress::new(self.jobs.len());
        let mut events = events_of(client.wait(self.jobs.iter().map(|(id, _)| id.clone())));
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event, &progress)?,
                    None => return Ok(()),
                },
                _ = look.tick(), if self.crash.is_none() => {
                    let Some(done) = self.done_if_time_to_crash(client).await? else { continue };
                    let crash = kill(client, server).await?;
                    self.tell_until(done, &mut events, &progress).await?;
                    self.crash = Some(crash);
                    *server = self.successor(client, &progress).await?;
                }
            }
        }
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

    /// Tells of the crash and starts the server that takes over.
    async fn successor(&mut self, client: &Client, progress: &Progress) -> anyhow::Result<Server> {
        let crash = self.crash.as_ref().context("there was no crash")?;
        progress.apart(|| narration::crashed(crash))?;
        let server = Server::start(self.stage, self.access, client).await?;
        self.heir = server.pid();
        progress.apart(|| narration::took_over(server.pid(), crash.at.elapsed()))?;
        Ok(server)
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

    /// The first value after the crash says how long nothing was computed; the job that was cut off, who finished it.
    fn note_recovery(&mut self, id: &JobId, result: &JobResult) {
        let Some(crash) = &self.crash else {
            return;
        };
        let has_recorded_it = result.pid == crash.pid;
        let computing = if has_recorded_it {
            0.0
        } else {
            result.seconds.max(0.0)
        };
        let since = crash
            .at
            .elapsed()
            .saturating_sub(Duration::from_secs_f64(computing));
        let away = *self.away.get_or_insert(since);
        if crash.victim.as_ref() == Some(id) {
            let thrown_away = if has_recorded_it {
                Duration::ZERO
            } else {
                crash.ran_for
            };
            self.recovery = Some(Recovery {
                computed_by: result.pid,
                finished_by: self.heir,
                attempts: result.attempts,
                lost: away + thrown_away,
            });
        }
    }

    /// How many jobs are done, if one is being computed and it is the middle of the story.
    ///
    /// The rows are asked and not the events, which lag behind by as much as a short job takes.
    async fn done_if_time_to_crash(&self, client: &Client) -> anyhow::Result<Option<usize>> {
        let jobs = client.list(&ListFilter::default()).await?;
        let done = jobs.iter().filter(|job| job.state.is_final()).count();
        let moment = if done + 1 == self.jobs.len() {
            A_BLINK
        } else {
            A_MOMENT
        };
        let now = SystemTime::now();
        let is_computed = |job: &Job| job.state == State::Running && has_run_for(job, now) >= moment;
        let is_time = done >= self.jobs.len() / 2 && jobs.iter().any(is_computed);
        Ok(is_time.then_some(done))
    }
}

/// Kills the server and finds out what that hit.
async fn kill(client: &Client, server: &mut Server) -> anyhow::Result<Crash> {
    server.kill()?;
    let (at, died) = (Instant::now(), SystemTime::now());
    // The rows have the last word on what the crash hit: the job may have ended in the very last moment.
    let filter = ListFilter {
        states: vec![State::Running],
        limit: Some(1),
    };
    let victim = client.list(&filter).await?.pop();
    Ok(Crash {
        pid: server.pid(),
        n: victim.as_ref().and_then(|job| job.n),
        ran_for: victim
            .as_ref()
            .map_or(Duration::ZERO, |job| has_run_for(job, died)),
        victim: victim.map(|job| job.workflow_id),
        at,
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
