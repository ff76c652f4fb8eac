//! The loop that asks what has changed, for all listeners at once.
//!
//! It asks four times a second while anybody listens, and not at all otherwise. Each answer is one message to everybody,
//! whose id is a moment in the history of the database. A listener joins between two messages, and first gets what it
//! missed since the moment that it names: from the last messages, or by a question of its own with the same end, so that
//! nothing comes twice and nothing is lost, whichever server it heard before. While the database does not answer, who waits
//! for a subscription hears of it at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use durable_jobs::JobId;
use durable_jobs::client::{Changes, Moment};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::clients::Clients;
use crate::clock::now_ms;
use crate::messages::{ChangeSet, ChangesJson, Message, PendingSubscription, Subscription};
use crate::problem::Problem;
use crate::views::{JobView, ProgressView, WorkerView};
use crate::watched::{JobWatch, Watched};

/// The time between two questions.
const INTERVAL: Duration = Duration::from_millis(250);

/// So many messages may be ahead of a listener before it is ended.
const AHEAD: usize = 64;

/// So many messages are kept for listeners that come back, with so many jobs in all.
const KEPT: usize = 240;
const KEPT_JOBS: usize = 20_000;

/// The last moment counts for so long where nobody listens: longer than the client keeps it for its follower.
const MEMORY: Duration = Duration::from_secs(12);

/// The jobs that somebody listens to by their ids are looked for so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A listener without changes gets the moment so often, which also says that the server is there.
const QUIET: Duration = Duration::from_secs(15);

/// A request to join, with the last moment that the listener heard of.
struct Joining {
    after: Option<Moment>,
    subscription: oneshot::Sender<Subscription>,
}

/// The handle by which listeners join.
#[derive(Clone)]
pub(crate) struct Feed {
    joins: mpsc::Sender<Joining>,
    watched: Watched,
    outage: watch::Receiver<Option<i64>>,
}

impl Feed {
    /// Makes a feed, and the loop behind it, which is to be run.
    pub(crate) fn new() -> (Self, FeedLoop) {
        // More listeners than this that come within a round wait in `join` for the next one.
        let (joins, joining) = mpsc::channel(1024);
        let watched = Watched::default();
        let feed_loop = FeedLoop::new(joining, watched.clone());
        let feed = Self {
            joins,
            watched,
            outage: feed_loop.outage_ms.subscribe(),
        };
        (feed, feed_loop)
    }

    /// Watches a job, so that its listeners get a message when it is deleted.
    pub(crate) fn watch(&self, id: JobId) -> JobWatch {
        self.watched.watch(id)
    }

    /// Asks for a subscription; nothing when the server ends.
    pub(crate) async fn join(&self, after: Option<Moment>) -> Option<PendingSubscription> {
        let (subscription, taken) = oneshot::channel();
        self.joins.send(Joining { after, subscription }).await.ok()?;
        let mut outage = self.outage.clone();
        // One that has begun is reported as well.
        outage.mark_changed();
        Some(PendingSubscription {
            subscription: taken,
            outage,
        })
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
    kept: VecDeque<Arc<ChangeSet>>,
    /// The last moment; absent before the first answer, and after a pause of [`MEMORY`] without listeners.
    moment: Option<Moment>,
    /// The workers as they were at the last moment.
    workers: Vec<WorkerView>,
    /// The last workers and progress that were published, without their ages.
    last_view: String,
    last_published: Instant,
    /// The start of the outage, in milliseconds since 1970; those who wait hear of it.
    outage_ms: watch::Sender<Option<i64>>,
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
            last_published: Instant::now(),
            outage_ms: watch::Sender::default(),
        }
    }

    /// Asks and publishes, until the last handle is dropped.
    pub(crate) async fn run(mut self, clients: Arc<Clients>) {
        let mut ticks = interval(INTERVAL);
        // Rounds that fell out, in a pause or behind a slow answer, are not made up for in a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            if self.messages.receiver_count() == 0 && waiting.is_empty() {
                // Without listeners nothing notices its end.
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
            // All who came until now join in this round, so that its question is for each of them.
            while let Ok(joining) = self.joining.try_recv() {
                waiting.push(joining);
            }
            match self.ask(&clients).await {
                Ok(changes) => {
                    // In this order: who is admitted has missed what was just published as well,
                    // and subscribes to what comes after it.
                    self.publish(changes);
                    self.admit(&clients, &mut waiting).await;
                    self.find_deleted(&clients).await;
                }
                Err(problem) => self.report_outage(&problem, &mut waiting),
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
        // Only an answer moves the moment, so that a question that failed is asked again from there.
        self.asked = Instant::now();
        Ok(clients.get().await?.changes(self.moment.clone()).await?)
    }

    /// Publishes what has changed.
    fn publish(&mut self, changes: Changes) {
        if let Some(since_ms) = self.outage_ms.send_replace(None) {
            let seconds = now_ms().saturating_sub(since_ms) / 1000;
            info!(seconds, "the database answers again");
            // With the view forgotten, the next message is published though nothing changed: it takes the outage back.
            self.last_view.clear();
        }
        let set = Arc::new(self.change_set(changes));
        // A round without news is not sent: a listener's last id may be older than the last moment.
        if set.json.is_some() || self.last_published.elapsed() >= QUIET {
            self.last_published = Instant::now();
            // Nobody listens yet, perhaps.
            let _ = self.messages.send(Message::Changes(Arc::clone(&set)));
        }
        // Also one without news: its moment may be the last that a listener has heard of.
        self.kept.push_back(set);
        while self.kept.len() > KEPT || self.kept_jobs() > KEPT_JOBS {
            self.kept.pop_front();
        }
    }

    fn kept_jobs(&self) -> usize {
        self.kept.iter().map(|set| set.jobs.len()).sum()
    }

    /// Publishes which of the watched jobs are gone.
    async fn find_deleted(&mut self, clients: &Clients) {
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
            let _ = self.messages.send(Message::Deleted(Arc::new(gone)));
        }
    }

    /// Makes a message of changes; without JSON where nothing is new.
    fn change_set(&mut self, changes: Changes) -> ChangeSet {
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
            ChangesJson {
                jobs: &jobs,
                workers: &workers,
                reset: is_cut,
            }
            .text()
        });
        self.workers = workers;
        ChangeSet {
            moment,
            jobs,
            progress,
            json,
            is_cut,
        }
    }

    /// Admits those who wait, with what each missed.
    async fn admit(&mut self, clients: &Clients, waiting: &mut Vec<Joining>) {
        // When a server is started again, all of its listeners come back with the same few moments.
        let mut asked: HashMap<Moment, Arc<ChangeSet>> = HashMap::new();
        for Joining { after, subscription } in waiting.drain(..) {
            let missed = match after.map(|after| (self.kept_after(&after), after)) {
                None => self.standing().map(Arc::new).into_iter().collect(),
                Some((Some(kept), _)) => kept,
                Some((None, after)) => {
                    let set = match asked.get(&after) {
                        Some(set) => Arc::clone(set),
                        None => Arc::new(self.missed(clients, after.clone()).await),
                    };
                    asked.insert(after, Arc::clone(&set));
                    VecDeque::from([set])
                }
            };
            // Only this loop publishes, so nothing falls between what was missed and the first message.
            let messages = self.messages.subscribe();
            // Who left meanwhile misses nothing.
            let _ = subscription.send(Subscription { missed, messages });
        }
    }

    /// Returns the workers as they are and their moment, for one who has heard nothing.
    fn standing(&self) -> Option<ChangeSet> {
        let moment = self.moment.clone()?;
        Some(ChangeSet {
            moment,
            json: Some(
                ChangesJson {
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
    fn kept_after(&self, after: &Moment) -> Option<VecDeque<Arc<ChangeSet>>> {
        // A moment of another server is none of these: what came after it is read from the database.
        let position = self.kept.iter().position(|set| set.moment == *after)?;
        Some(self.kept.iter().skip(position + 1).cloned().collect())
    }

    /// Asks what has changed between a moment and the last message.
    async fn missed(&self, clients: &Clients, after: Moment) -> ChangeSet {
        // Listeners are admitted after an answer, so there is a moment.
        let moment = self.moment.clone().unwrap_or_else(|| after.clone());
        let asked = async { Ok::<_, Problem>(clients.get().await?.missed(after, moment.clone()).await?) };
        let (jobs, is_cut) = match asked.await {
            Ok(changes) => (changes.jobs, changes.is_cut),
            // What is not known is to be read anew.
            Err(_) => (Vec::new(), true),
        };
        let jobs: Vec<JobView> = jobs.into_iter().map(JobView::from).collect();
        ChangeSet {
            moment,
            json: (is_cut || !jobs.is_empty()).then(|| {
                ChangesJson {
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

    /// Publishes once that the database does not answer; who wants to join waits until it does.
    fn report_outage(&mut self, problem: &Problem, waiting: &mut Vec<Joining>) {
        // Nobody is admitted during an outage, and those who come and go would pile up here.
        waiting.retain(|joining| !joining.subscription.is_closed());
        let is_known = self.outage_ms.borrow().is_some();
        if is_known {
            // All who are admitted have its message, and those who wait hear of it by themselves.
            return;
        }
        let since_ms = now_ms();
        warn!(problem = problem.detail, "the changes of jobs cannot be read");
        self.outage_ms.send_replace(Some(since_ms));
        // Nobody listens, perhaps.
        let _ = self.messages.send(Message::Outage(since_ms));
    }
}

/// Writes the workers without what changes by itself.
fn ageless(workers: &[WorkerView]) -> String {
    // Ages grow in each round, and would make each of them news.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_many_rounds_is_one_message() {
        let (_feed, mut feed_loop) = Feed::new();
        let mut messages = feed_loop.messages.subscribe();
        for _ in 0..=AHEAD {
            feed_loop.report_outage(&Problem::unanswered(), &mut Vec::new());
        }
        assert!(matches!(messages.try_recv(), Ok(Message::Outage(_))));
        assert!(messages.try_recv().is_err(), "the outage was told again");
    }
}
