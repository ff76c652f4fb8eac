//! The loop that asks what has changed, for all listeners at once.
//!
//! It asks four times a second while anybody listens, and not at all otherwise. Each answer is one message to everybody,
//! whose id is a moment in the history of the database. A listener joins between two messages, and is first told what it
//! missed since the moment that it names: from the last messages, or by a question of its own with the same end, so that
//! nothing comes twice and nothing is lost, whichever server it heard before. While the database does not answer, who waits
//! for a place is told so at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use durable_jobs::JobId;
use durable_jobs::client::{Changes, Moment};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::clients::Clients;
use crate::problem::Problem;
use crate::told::{Message, Queuing, Seat, TellJson, Told};
use crate::views::{JobView, ProgressView, WorkerView};
use crate::watched::{JobWatch, Watched};

/// The time between two questions.
const INTERVAL: Duration = Duration::from_millis(250);

/// So many messages may be ahead of a listener before it is ended.
const AHEAD: usize = 64;

/// So many messages are kept for listeners that come back, with so many jobs in all.
const KEPT: usize = 240;
const KEPT_JOBS: usize = 20_000;

/// The last moment counts for so long where nobody listens: longer than the client keeps it for the one who asks again.
const MEMORY: Duration = Duration::from_secs(12);

/// The jobs that somebody listens to by their ids are looked for so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A listener that hears of no change is told the moment so often, and that the server is there.
const QUIET: Duration = Duration::from_secs(15);

/// A listener that waits for a place, and the last moment that it heard of.
struct Joining {
    after: Option<Moment>,
    seat: oneshot::Sender<Seat>,
}

/// The way to join.
#[derive(Clone)]
pub(crate) struct Feed {
    joins: mpsc::Sender<Joining>,
    watched: Watched,
    outage: watch::Receiver<Option<u64>>,
}

impl Feed {
    /// Makes a feed, and the loop behind it, which is to be run.
    pub(crate) fn new() -> (Self, FeedLoop) {
        let (joins, joining) = mpsc::channel(1024);
        let watched = Watched::default();
        let feed = FeedLoop::new(joining, watched.clone());
        let outage = feed.outage_ms.subscribe();
        let joins = Self {
            joins,
            watched,
            outage,
        };
        (joins, feed)
    }

    /// Has those who listen told if this job is deleted, for as long as the watch lives.
    pub(crate) fn watch(&self, id: JobId) -> JobWatch {
        self.watched.watch(id)
    }

    /// Asks for a place; nothing when the server ends.
    pub(crate) async fn join(&self, after: Option<Moment>) -> Option<Queuing> {
        let (seat, taken) = oneshot::channel();
        self.joins.send(Joining { after, seat }).await.ok()?;
        let mut outage = self.outage.clone();
        // The one that lasts is news as well.
        outage.mark_changed();
        Some(Queuing { seat: taken, outage })
    }
}

/// The loop that asks.
pub(crate) struct FeedLoop {
    joining: mpsc::Receiver<Joining>,
    messages: broadcast::Sender<Message>,
    watched: Watched,
    asked: Instant,
    /// When the jobs that are watched were last looked for.
    looked: Instant,
    kept: VecDeque<Arc<Told>>,
    /// The last moment; absent while nobody listened.
    moment: Option<Moment>,
    /// The workers as they were at the last moment.
    workers: Vec<WorkerView>,
    /// The last workers and progress that were told, without their ages.
    last_view: String,
    last_told: Instant,
    /// Since when the database does not answer, in milliseconds since 1970; those who wait hear of it.
    outage_ms: watch::Sender<Option<u64>>,
}

impl FeedLoop {
    fn new(joining: mpsc::Receiver<Joining>, watched: Watched) -> Self {
        Self {
            joining,
            watched,
            asked: Instant::now(),
            looked: Instant::now(),
            messages: broadcast::Sender::new(AHEAD),
            kept: VecDeque::new(),
            moment: None,
            workers: Vec::new(),
            last_view: String::new(),
            last_told: Instant::now(),
            outage_ms: watch::Sender::default(),
        }
    }

    /// Asks and tells, until the last way to join is gone.
    pub(crate) async fn run(mut self, clients: Arc<Clients>) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            if self.messages.receiver_count() == 0 && waiting.is_empty() {
                // Nobody asks whether it has passed.
                self.outage_ms.send_replace(None);
                let Some(first) = self.joining.recv().await else {
                    return;
                };
                if self.asked.elapsed() >= MEMORY {
                    self.forget();
                }
                waiting.push(first);
            }
            ticks.tick().await;
            while let Ok(joining) = self.joining.try_recv() {
                waiting.push(joining);
            }
            match self.ask(&clients).await {
                Ok(changes) => {
                    self.tell(changes);
                    self.seat(&clients, &mut waiting).await;
                    self.look(&clients).await;
                }
                Err(problem) => self.lose(&problem, &mut waiting),
            }
        }
    }

    /// Forgets the last moment: nobody listened for a while, and changes that nobody asks for are not looked for.
    fn forget(&mut self) {
        self.moment = None;
        self.kept.clear();
        self.last_view.clear();
    }

    async fn ask(&mut self, clients: &Clients) -> Result<Changes, Problem> {
        self.asked = Instant::now();
        Ok(clients.get().await?.changes(self.moment.clone()).await?)
    }

    /// Tells all what has changed.
    fn tell(&mut self, changes: Changes) {
        if let Some(since_ms) = self.outage_ms.send_replace(None) {
            let seconds = now_ms().saturating_sub(since_ms) / 1000;
            info!(seconds, "the database answers again");
            // With the view forgotten, the next message is told though nothing changed: it takes the outage back.
            self.last_view.clear();
        }
        let told = Arc::new(self.told(changes));
        if told.json.is_some() || self.last_told.elapsed() >= QUIET {
            self.last_told = Instant::now();
            // Nobody listens yet, perhaps.
            let _ = self.messages.send(Message::Changes(Arc::clone(&told)));
        }
        self.kept.push_back(told);
        while self.kept.len() > KEPT || self.kept_jobs() > KEPT_JOBS {
            self.kept.pop_front();
        }
    }

    fn kept_jobs(&self) -> usize {
        self.kept.iter().map(|told| told.jobs.len()).sum()
    }

    /// Tells which of the jobs that are watched are gone.
    async fn look(&mut self, clients: &Clients) {
        let ids = self.watched.ids();
        if ids.is_empty() || self.looked.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked = Instant::now();
        let absent = async { Ok::<_, Problem>(clients.get().await?.absent(&ids).await?) };
        // Where the database does not answer, the next question for changes says so.
        if let Ok(gone) = absent.await
            && !gone.is_empty()
        {
            let _ = self.messages.send(Message::Gone(Arc::new(gone)));
        }
    }

    /// Makes a message of changes; without JSON where nothing is new.
    fn told(&mut self, changes: Changes) -> Told {
        let Changes {
            moment,
            jobs,
            workers,
            is_cut,
        } = changes;
        self.moment = Some(moment.clone());
        let jobs: Vec<JobView> = jobs.into_iter().map(JobView::from).collect();
        let workers: Vec<WorkerView> = workers.iter().map(WorkerView::from).collect();
        let view = ageless(&workers);
        let has_news = is_cut || !jobs.is_empty() || view != self.last_view;
        self.last_view = view;
        let progress = workers.iter().flat_map(|worker| worker.running.clone()).collect();
        let json = has_news.then(|| {
            TellJson {
                jobs: &jobs,
                workers: &workers,
                reset: is_cut,
            }
            .text()
        });
        self.workers = workers;
        Told {
            moment,
            jobs,
            progress,
            json,
            is_cut,
        }
    }

    /// Gives those who wait their places, with what each missed.
    async fn seat(&mut self, clients: &Clients, waiting: &mut Vec<Joining>) {
        let mut asked: HashMap<Moment, Arc<Told>> = HashMap::new();
        for Joining { after, seat } in waiting.drain(..) {
            let missed = match after.map(|after| (self.kept_after(&after), after)) {
                None => self.standing().map(Arc::new).into_iter().collect(),
                Some((Some(kept), _)) => kept,
                Some((None, after)) => {
                    let told = match asked.get(&after) {
                        Some(told) => Arc::clone(told),
                        None => Arc::new(self.missed(clients, after.clone()).await),
                    };
                    asked.insert(after, Arc::clone(&told));
                    VecDeque::from([told])
                }
            };
            let messages = self.messages.subscribe();
            // Who left meanwhile misses nothing.
            let _ = seat.send(Seat { missed, messages });
        }
    }

    /// Tells one who has heard nothing how the workers stand, and which moment that is.
    fn standing(&self) -> Option<Told> {
        let moment = self.moment.clone()?;
        Some(Told {
            moment,
            json: Some(
                TellJson {
                    jobs: &[],
                    workers: &self.workers,
                    reset: false,
                }
                .text(),
            ),
            jobs: Vec::new(),
            progress: Vec::new(),
            is_cut: false,
        })
    }

    /// Returns the messages after a moment, if it is one of theirs.
    fn kept_after(&self, after: &Moment) -> Option<VecDeque<Arc<Told>>> {
        let position = self.kept.iter().position(|told| told.moment == *after)?;
        Some(self.kept.iter().skip(position + 1).cloned().collect())
    }

    /// Asks what has changed between a moment and the last message.
    async fn missed(&self, clients: &Clients, after: Moment) -> Told {
        let moment = self.moment.clone().unwrap_or_else(|| after.clone());
        let asked = async { Ok::<_, Problem>(clients.get().await?.missed(after, moment.clone()).await?) };
        let (jobs, is_cut) = match asked.await {
            Ok(changes) => (changes.jobs, changes.is_cut),
            // What cannot be told is to be read anew.
            Err(_) => (Vec::new(), true),
        };
        let jobs: Vec<JobView> = jobs.into_iter().map(JobView::from).collect();
        Told {
            moment,
            json: (is_cut || !jobs.is_empty()).then(|| {
                TellJson {
                    jobs: &jobs,
                    workers: &[],
                    reset: is_cut,
                }
                .text()
            }),
            jobs,
            progress: Vec::new(),
            is_cut,
        }
    }

    /// Tells all that the database does not answer; who wants to join waits until it does.
    fn lose(&mut self, problem: &Problem, waiting: &mut Vec<Joining>) {
        let begun_ms = *self.outage_ms.borrow();
        let since_ms = begun_ms.unwrap_or_else(now_ms);
        if begun_ms.is_none() {
            warn!(problem = problem.detail, "the changes of jobs cannot be told");
            self.outage_ms.send_replace(Some(since_ms));
        }
        waiting.retain(|joining| !joining.seat.is_closed());
        let _ = self.messages.send(Message::Outage(since_ms));
    }
}

/// Writes the workers without what changes by itself.
fn ageless(workers: &[WorkerView]) -> String {
    let still = workers.iter().cloned().map(|worker| WorkerView {
        heartbeat_age_seconds: 0.0,
        running: worker
            .running
            .into_iter()
            .map(|job| ProgressView { seconds: 0.0, ..job })
            .collect(),
        ..worker
    });
    serde_json::to_string(&still.collect::<Vec<_>>()).unwrap_or_default()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
