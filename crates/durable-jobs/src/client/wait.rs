//! Waiting for many jobs with one question.
//!
//! However many jobs are waited for, one statement asks for all of them, on one connection; nothing else polls.
//! It asks every 2 ms at first and less often the longer nothing ended, up to every 100 ms, and never spends more than a
//! fifth of the time in the database.
//! An outage ends nothing: the wait says that the database is gone and goes on asking.
//! Once a second it looks whether somebody takes the jobs, each by its own queue and version, whatever the client's are.
//! Where nobody does and connections are few, it gives its own back between two looks: a worker that starts needs four.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{WorkflowFilter, WorkflowRecord, WorkflowStatus};
use futures_util::future::BoxFuture;
use sqlx::Row;
use tokio::time::Instant;

use super::Client;
use super::job_row::{Ending, workflow_of};
use super::listeners::{OpenJobs, QueueVersion, ToldLimits};
use super::wait_event::{Others, Outcome, WaitEvent};
use crate::Error;
use crate::database::Connections;
use crate::database::workflow_rows::STATUSES;
use crate::job::JobType;
use crate::record::{Failure, JobId};

const FASTEST: Duration = Duration::from_millis(2);
const SLOWEST: Duration = Duration::from_millis(100);

/// The time between two looks at the presence rows, and after which a standing trouble is told again.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Bounds one question; an outage is noticed after this at the latest.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So few places that a worker which starts may not get all of its own.
const FEW_PLACES: u32 = 2 * Connections::FEWEST;

/// The number of outcomes that are read at once: small rows, but thousands may end between two looks.
const OUTCOMES_AT_ONCE: usize = 500;

/// A wait for a set of jobs. Dropping it at any point loses nothing.
pub struct Waiter {
    client: Client,
    /// The jobs not reported yet, in the order given.
    open: Vec<JobId>,
    ready: VecDeque<WaitEvent>,
    counts: (usize, usize),
    last_end: Instant,
    next_question: Instant,
    next_look_around: Instant,
    /// Since when nobody takes the jobs of a queue and version.
    unlistened: BTreeMap<QueueVersion, Instant>,
    /// The queues of which it was told that they are paused or limited.
    told: ToldLimits,
    lost_since: Option<(Instant, Instant)>,
    /// True if nobody takes the jobs and a worker may be without a place for its connections, as this wait has one.
    is_in_the_way: bool,
}

impl Client {
    /// Waits for all of `ids`.
    #[must_use]
    pub fn wait(&self, ids: impl IntoIterator<Item = JobId>) -> Waiter {
        let now = Instant::now();
        Waiter {
            client: self.clone(),
            open: ids.into_iter().collect(),
            ready: VecDeque::new(),
            counts: (0, 0),
            last_end: now,
            next_question: now,
            next_look_around: now + LOOK_AROUND,
            unlistened: BTreeMap::new(),
            told: ToldLimits::default(),
            lost_since: None,
            is_in_the_way: false,
        }
    }
}

impl Client {
    /// Waits for one job of type `T` and returns its output.
    ///
    /// It waits through outages and while no worker is there; [`Client::wait`] tells of them.
    ///
    /// # Errors
    /// The reason why there is no output; named `NotFound` where there is no such job.
    pub async fn output_of<T: JobType>(&self, id: &JobId) -> Result<T::Output, Failure> {
        let mut waiter = self.wait([id.clone()]);
        while let Some(event) = waiter.next().await {
            if let WaitEvent::Finished(outcome) = event {
                return outcome.result?.read();
            }
        }
        Err(Failure::terminal("NotFound", format!("there is no job {id}")))
    }
}

impl Waiter {
    /// The next event, or `None` when every job was reported.
    ///
    /// Cancel-safe: dropping the future loses no event. It does lose the question under way, so a caller that drops it
    /// every few milliseconds may never get an answer; such a caller runs the wait in a task of its own.
    #[expect(clippy::should_implement_trait, reason = "its answer is awaited")]
    pub fn next(&mut self) -> BoxFuture<'_, Option<WaitEvent>> {
        Box::pin(async move {
            loop {
                if let Some(event) = self.ready.pop_front() {
                    return Some(event);
                }
                if self.open.is_empty() {
                    return None;
                }
                tokio::time::sleep_until(self.next_question).await;
                let asked = Instant::now();
                let answer = self.ask().await;
                self.note(answer);
                self.plan(asked.elapsed());
                if self.is_in_the_way {
                    self.client.database.let_go().await;
                    self.next_question = Instant::now() + LOOK_AROUND;
                }
            }
        })
    }

    /// Asks for every open job at once, then for the outcomes of those that ended, then looks around if it is time.
    async fn ask(&self) -> Result<WaitAnswer, Error> {
        let statuses = self.bounded(self.statuses()).await?;
        let is_final = |status: &str| !matches!(status, "PENDING" | "ENQUEUED" | "DELAYED");
        // The engine reads no list with a row whose status it does not know, so those are read one by one.
        let (finals, strange): (Vec<_>, Vec<_>) = statuses
            .iter()
            .filter(|(_, status)| is_final(status))
            .take(OUTCOMES_AT_ONCE)
            .partition(|(_, status)| WorkflowStatus::parse(status).is_some());
        let finals: Vec<&str> = finals.into_iter().map(|(id, _)| id.as_str()).collect();
        let strange = strange.into_iter().map(|(id, _)| JobId::new(id));
        let strange = self.strange_ends(strange.collect()).await?;
        let ended = if finals.is_empty() {
            Vec::new()
        } else {
            self.bounded(self.outcomes(finals)).await?
        };
        let is_time = Instant::now() >= self.next_look_around;
        let around = if is_time {
            Some(self.look_around().await?)
        } else {
            None
        };
        let stands = around
            .as_ref()
            .is_some_and(|jobs| !jobs.attended.values().any(|is_attended| *is_attended));
        let are_places_few = stands && self.client.tightest_limit().await?.left <= FEW_PLACES;
        Ok(WaitAnswer {
            statuses,
            ended,
            strange,
            are_places_few,
            around,
        })
    }

    async fn statuses(&self) -> Result<HashMap<String, String>, sqlx::Error> {
        let ids: Vec<&str> = self.open.iter().map(JobId::as_str).collect();
        let rows = sqlx::query(STATUSES)
            .bind(ids)
            .fetch_all(&self.client.database.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("workflow_uuid")?, row.try_get("status")?)))
            .collect()
    }

    async fn outcomes(&self, ids: Vec<&str>) -> Result<Vec<WorkflowRecord>, dbos::sysdb::Error> {
        let filter = WorkflowFilter {
            workflow_ids: ids,
            load_input: false,
            load_output: true,
            ..WorkflowFilter::default()
        };
        self.client.database.engine.list_workflows(&filter, None).await
    }

    /// Reads how jobs ended whose status no program of ours knows.
    async fn strange_ends(&self, ids: Vec<JobId>) -> Result<Vec<Outcome>, Error> {
        let mut ends = Vec::new();
        for id in ids {
            match self.client.summary(&id).await {
                Ok(summary) => ends.extend(Outcome::of_summary(summary)),
                // Deleted since, which the next round says.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ends)
    }

    /// Reads where the open jobs are, and whether somebody takes them there.
    async fn look_around(&self) -> Result<OpenJobs, Error> {
        let workers = self.client.workers().await?;
        self.bounded(OpenJobs::read(&self.client.database, &self.open, &workers))
            .await
    }

    async fn bounded<T, E: std::fmt::Display>(
        &self,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        self.client
            .database
            .bounded("waiting for jobs", TIMEOUT, question)
            .await
    }

    /// Turns an answer, or the lack of one, into events.
    fn note(&mut self, answer: Result<WaitAnswer, Error>) {
        match answer {
            Ok(answer) => {
                if self.lost_since.take().is_some() {
                    self.ready.push_back(WaitEvent::DatabaseBack);
                }
                if let Some(around) = &answer.around {
                    self.note_listeners(&around.attended);
                    let news = self.told.news(&around.limited);
                    self.ready.extend(news.into_iter().map(WaitEvent::of_limits));
                    self.is_in_the_way = answer.are_places_few;
                }
                self.note_jobs(answer);
            }
            Err(error) => self.note_outage(&error),
        }
    }

    fn note_jobs(&mut self, answer: WaitAnswer) {
        let before = self.open.len();
        let mut done: HashSet<String> = HashSet::new();
        for outcome in answer.strange {
            done.insert(outcome.id.to_string());
            self.ready.push_back(WaitEvent::Finished(outcome));
        }
        let mut ended = answer.ended;
        ended.sort_by_key(|row| row.completed_at);
        for row in ended {
            let ending = Ending::of_record(&row);
            // It was resumed between the two statements, and is waited for again.
            let Some(result) = ending.outcome() else {
                continue;
            };
            self.ready.push_back(WaitEvent::Finished(Outcome {
                id: JobId::new(&row.workflow_id),
                state: ending.state(),
                workflow: workflow_of(&row),
                result,
            }));
            done.insert(row.workflow_id);
        }
        self.open.retain(|id| !done.contains(id.as_str()));
        let missing = self
            .open
            .extract_if(.., |id| !answer.statuses.contains_key(id.as_str()));
        self.ready.extend(missing.map(WaitEvent::Missing));
        if self.open.len() < before {
            self.last_end = Instant::now();
        }
        self.note_counts(&answer.statuses);
    }

    fn note_counts(&mut self, statuses: &HashMap<String, String>) {
        let is_running = |id: &&JobId| statuses.get(id.as_str()).is_some_and(|s| s == "PENDING");
        let running = self.open.iter().filter(is_running).count();
        let queued = self.open.len() - running;
        if self.counts != (queued, running) {
            self.counts = (queued, running);
            self.ready.push_back(WaitEvent::Progress { queued, running });
        }
    }

    fn note_listeners(&mut self, attended: &BTreeMap<QueueVersion, bool>) {
        let now = Instant::now();
        self.next_look_around = now + LOOK_AROUND;
        // Where no job is open any more nobody has to listen.
        let over = self.unlistened.extract_if(.., |of, _| !attended.contains_key(of));
        self.ready.extend(over.map(|(of, _)| WaitEvent::NoneLeft(of)));
        let others = if attended.values().any(|is_attended| *is_attended) {
            Others::GoOn
        } else {
            Others::Stand
        };
        for (of, is_attended) in attended {
            let of = of.clone();
            if !is_attended {
                // The look around came a second into the wait, and nobody was there all the while.
                let since = *self.unlistened.entry(of.clone()).or_insert(now - LOOK_AROUND);
                let since = now - since;
                self.ready.push_back(WaitEvent::NoWorker { of, since, others });
            } else if self.unlistened.remove(&of).is_some() {
                self.ready.push_back(WaitEvent::WorkerBack(of));
            }
        }
    }

    fn note_outage(&mut self, error: &Error) {
        let now = Instant::now();
        // As if it had been told a second ago, so that the first word comes at once.
        let (since, told) = *self.lost_since.get_or_insert((now, now - LOOK_AROUND));
        if now - told >= LOOK_AROUND {
            self.lost_since = Some((since, now));
            self.ready.push_back(WaitEvent::DatabaseLost {
                since: now - since,
                reason: error.to_string(),
            });
        }
    }

    /// Sets when to ask again: soon after something ended, later the longer nothing did.
    fn plan(&mut self, took: Duration) {
        let now = Instant::now();
        let quiet = (now - self.last_end) / 20;
        // A pause of four times the question leaves four fifths of the time to others.
        // No pause is longer than a second, in which a standing trouble is told again.
        self.next_question = now + quiet.clamp(FASTEST, SLOWEST).max(took * 4).min(LOOK_AROUND);
    }
}

/// The outcome of one round of questions.
struct WaitAnswer {
    statuses: HashMap<String, String>,
    ended: Vec<WorkflowRecord>,
    /// The ends of those whose status is unknown.
    strange: Vec<Outcome>,
    /// True if nobody takes any of the jobs, and a worker may find no place for its connections.
    are_places_few: bool,
    /// The places of the open jobs and what holds them up there; absent where it was not asked.
    around: Option<OpenJobs>,
}
