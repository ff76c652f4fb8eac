//! The question whether the database answers and how the queue stands, asked once for everyone who wants to know.
//!
//! There is at most one question under way, all who ask meanwhile wait for its answer, and an answer is used again for
//! a while: however many requests there are, the database is asked at most ten times a second.
//! It is also asked when it becomes known, and then every two seconds (twice a second while it fails) until nobody has
//! looked for some minutes, so that an occasional reader finds a recent answer instead of waiting for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abaci_engine::Error;
use abaci_engine::client::{QueueProbe, QueueStatus};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::verdict::Asked;

/// How long the database may take for its answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How old an answer may be for readiness.
const FRESH: Duration = Duration::from_millis(100);

/// How old a good answer may be before another one is wanted.
const RECENT: Duration = Duration::from_secs(1);

/// How long an answer is waited for where an old one will do.
const SHORT_PATIENCE: Duration = Duration::from_millis(5);

/// How often a database that answers is asked while nobody looks just now.
const IDLE_INTERVAL: Duration = Duration::from_secs(2);

/// How often one is asked that does not answer.
const OUTAGE_INTERVAL: Duration = Duration::from_millis(500);

/// How long after the last reader it is asked still; longer than the pauses of any usual reader.
const WATCHED: Duration = Duration::from_secs(150);

/// All questions of one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Questions(Arc<Shared>);

struct Shared {
    probes: watch::Receiver<Option<QueueProbe>>,
    asking: Mutex<Asking>,
    answers: watch::Sender<Answers>,
}

struct Asking {
    is_under_way: bool,
    last_wanted: Instant,
}

#[derive(Default)]
struct Answers {
    last: Option<(Result<(), String>, Instant)>,
    queue: Option<(QueueStatus, Instant)>,
}

impl Answers {
    fn is_good(&self) -> bool {
        matches!(self.last, Some((Ok(()), _)))
    }

    /// Whether the last answer is that recent; a failure is doubted sooner, since its end is what is waited for.
    fn are_within(&self, max_age: Duration) -> bool {
        let max_age = if self.is_good() {
            max_age
        } else {
            max_age.min(FRESH)
        };
        let last = self.last.as_ref();
        last.is_some_and(|(_, asked)| asked.elapsed() < max_age)
    }
}

impl Questions {
    pub(super) fn new(probes: watch::Receiver<Option<QueueProbe>>) -> Self {
        let asking = Asking {
            is_under_way: false,
            last_wanted: Instant::now(),
        };
        Self(Arc::new(Shared {
            probes,
            asking: Mutex::new(asking),
            answers: watch::Sender::default(),
        }))
    }

    /// Waits for an answer that is true now, for as long as the database may take.
    pub(super) async fn fresh(&self) -> Asked {
        // A little longer than the question takes at most, so that its own failure is what is reported.
        if self.wait_for(FRESH, TIMEOUT + TIMEOUT / 10).await {
            return self.known();
        }
        let failure = Err(format!("no answer within {} s", TIMEOUT.as_secs()));
        Asked {
            last: Some((failure, Duration::ZERO)),
            ..self.known()
        }
    }

    /// Returns the last answer, and makes sure that the next who looks finds a newer one.
    pub(super) async fn recent(&self) -> Asked {
        self.wait_for(RECENT, SHORT_PATIENCE).await;
        self.known()
    }

    /// Asks a new database at once and each from time to time while anyone looks; never completes.
    pub(super) async fn keep_recent(&self) {
        let mut probes = self.0.probes.clone();
        loop {
            let is_watched = self.asking().last_wanted.elapsed() < WATCHED;
            if is_watched {
                self.ask_unless_within(RECENT);
            }
            let pause = if self.0.answers.borrow().is_good() {
                IDLE_INTERVAL
            } else {
                OUTAGE_INTERVAL
            };
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = probes.changed() => {}
            }
        }
    }

    /// Returns whether there is an answer of that age, after waiting for it. With nobody to ask there is nothing to
    /// wait for.
    async fn wait_for(&self, max_age: Duration, patience: Duration) -> bool {
        let mut answers = self.0.answers.subscribe();
        self.asking().last_wanted = Instant::now();
        if !self.ask_unless_within(max_age) {
            return true;
        }
        matches!(timeout(patience, answers.changed()).await, Ok(Ok(())))
    }

    /// Makes sure that a question is under way unless the last one was asked that recently; returns whether one is.
    fn ask_unless_within(&self, max_age: Duration) -> bool {
        let mut asking = self.asking();
        if asking.is_under_way {
            return true;
        }
        if self.0.answers.borrow().are_within(max_age) {
            return false;
        }
        let Some(probe) = self.0.probes.borrow().clone() else {
            return false;
        };
        asking.is_under_way = true;
        tokio::spawn(self.clone().ask(probe));
        true
    }

    async fn ask(self, probe: QueueProbe) {
        let asked = Instant::now();
        // A task of its own and a bound of our own: whatever becomes of it, the next question can be asked.
        let question = tokio::spawn(async move { timeout(2 * TIMEOUT, probe.ask(TIMEOUT)).await });
        let answer = match question.await {
            Ok(Ok(answer)) => answer.map_err(|error| reason(&error)),
            Ok(Err(_)) => Err("no answer".to_owned()),
            Err(_) => Err("the question broke off".to_owned()),
        };
        let mut asking = self.asking();
        self.0.answers.send_modify(|answers| {
            answers.last = Some((answer.as_ref().map(drop).map_err(Clone::clone), asked));
            if let Ok(status) = answer {
                answers.queue = Some((status, asked));
            }
        });
        asking.is_under_way = false;
    }

    fn known(&self) -> Asked {
        let answers = self.0.answers.borrow();
        let last = answers.last.as_ref();
        let queue = answers.queue.as_ref();
        Asked {
            last: last.map(|(answer, asked)| (answer.clone(), asked.elapsed())),
            queue: queue.map(|(status, asked)| (status.clone(), asked.elapsed())),
        }
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        // Every change under the lock is one assignment, so a panic elsewhere cannot leave it half-made.
        self.0.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the engine says, without the place, which the reader of these answers knows.
fn reason(error: &Error) -> String {
    match error {
        Error::Unreachable { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}
