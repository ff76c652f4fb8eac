//! The question whether the database answers and how the queue stands, asked once for all requests.
//!
//! There is at most one question under way, all who ask meanwhile wait for its answer, and a good answer is used again
//! for a while; a failure is the answer of those who came before it was asked, and of nobody later. However many
//! requests there are, the database is asked at most ten times a second. It is also asked when it becomes known, and
//! then every two seconds (twice a second while it fails), so that whoever looks, however seldom, finds a recent answer
//! instead of waiting for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use durable_jobs::Error;
use durable_jobs::client::{QueueProbe, QueueStatus};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::verdict::ProbeResult;

/// The time that the database has for its answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The oldest answer that will do for readiness.
const FRESH: Duration = Duration::from_millis(100);

/// The age of a good answer at which another one is asked for.
const RECENT: Duration = Duration::from_secs(1);

/// The wait for an answer, counted from its question, where an old one will do.
const SHORT_LIMIT: Duration = Duration::from_millis(5);

/// The time between two questions while nobody looks and the database answers.
const IDLE_INTERVAL: Duration = Duration::from_secs(2);

/// The time between two questions while it does not answer.
const OUTAGE_INTERVAL: Duration = Duration::from_millis(500);

/// Asks the database of one server how its queue stands. Cheap to clone.
#[derive(Clone)]
pub(super) struct DatabaseProbe(Arc<ProbeState>);

struct ProbeState {
    probes: watch::Receiver<Option<QueueProbe>>,
    /// The time of the question that is under way.
    under_way: Mutex<Option<Instant>>,
    answers: watch::Sender<ProbeAnswers>,
    /// The first answer is waited for a little longer: there is none before it that would do.
    began: Instant,
}

#[derive(Default)]
struct ProbeAnswers {
    last: Option<(Result<(), String>, Instant)>,
    queue: Option<(QueueStatus, Instant)>,
}

impl ProbeAnswers {
    fn is_good(&self) -> bool {
        matches!(self.last, Some((Ok(()), _)))
    }

    /// Returns the time of the last question, if its answer is recent enough; a failure is old sooner, since its end is
    /// waited for.
    fn asked_within(&self, max_age: Duration) -> Option<Instant> {
        let max_age = if self.is_good() {
            max_age
        } else {
            max_age.min(FRESH)
        };
        let asked_at = self.last.as_ref().map(|(_, asked_at)| *asked_at);
        asked_at.filter(|asked_at| asked_at.elapsed() < max_age)
    }
}

/// The state of the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// There, and recent enough.
    Recent { asked_at: Instant },
    /// Under way.
    UnderWay { asked_at: Instant },
    /// No database is known yet.
    NoDatabase,
}

impl DatabaseProbe {
    pub(super) fn new(probes: watch::Receiver<Option<QueueProbe>>) -> Self {
        Self(Arc::new(ProbeState {
            probes,
            under_way: Mutex::new(None),
            answers: watch::Sender::default(),
            began: Instant::now(),
        }))
    }

    /// Waits for an answer that is true now, for as long as the database may take.
    pub(super) async fn fresh(&self) -> ProbeResult {
        // A little longer than the question takes at most, so that its own failure is what is reported.
        let limit = TIMEOUT + TIMEOUT / 10;
        if timeout(limit, self.wait_for_truth()).await.is_ok() {
            return self.known();
        }
        let failure = Err(format!("no answer within {} s", TIMEOUT.as_secs()));
        ProbeResult {
            last: Some((failure, Duration::ZERO)),
            ..self.known()
        }
    }

    /// Returns the last answer, and makes sure that the next who looks finds a newer one.
    pub(super) async fn recent(&self) -> ProbeResult {
        // Subscribed before the question is asked, so that its answer cannot come unseen.
        let mut answers = self.0.answers.subscribe();
        let limit = match self.ask_unless_within(RECENT) {
            Freshness::Recent { .. } => return self.known(),
            // The last one does if this one takes its time.
            Freshness::UnderWay { asked_at } => SHORT_LIMIT.saturating_sub(asked_at.elapsed()),
            Freshness::NoDatabase => Duration::ZERO,
        };
        let limit = limit.max(self.first_limit());
        let _ = timeout(limit, answers.changed()).await;
        self.known()
    }

    /// Asks a new database at once and each from time to time; never completes.
    pub(super) async fn keep_recent(&self) {
        let mut probes = self.0.probes.clone();
        loop {
            self.ask_unless_within(RECENT);
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

    /// Waits for a good answer, or for a failure of a question that was asked from now on: what failed before may have
    /// been mended since, by a worker that has made the tables for example. With nobody to ask there is nothing to wait
    /// for.
    async fn wait_for_truth(&self) {
        let came = Instant::now();
        let mut answers = self.0.answers.subscribe();
        loop {
            match self.ask_unless_within(FRESH) {
                Freshness::NoDatabase => {
                    let limit = self.first_limit();
                    if timeout(limit, answers.changed()).await.is_err() {
                        return;
                    }
                }
                Freshness::UnderWay { .. } => {
                    // The sender lives as long as we do.
                    let _ = answers.changed().await;
                    if self.0.answers.borrow().is_good() {
                        return;
                    }
                }
                Freshness::Recent { asked_at } if asked_at >= came || self.0.answers.borrow().is_good() => {
                    return;
                }
                Freshness::Recent { asked_at } => sleep(FRESH.saturating_sub(asked_at.elapsed())).await,
            }
        }
    }

    /// Returns how long the first answer is still waited for.
    fn first_limit(&self) -> Duration {
        match self.0.answers.borrow().last {
            None => TIMEOUT.saturating_sub(self.0.began.elapsed()),
            Some(_) => Duration::ZERO,
        }
    }

    /// Makes sure that a question is under way unless the last one was asked that recently.
    fn ask_unless_within(&self, max_age: Duration) -> Freshness {
        // Held until the question is marked as asked, so that two who come at once ask one.
        let mut under_way = self.under_way();
        if let Some(asked_at) = *under_way {
            return Freshness::UnderWay { asked_at };
        }
        if let Some(asked_at) = self.0.answers.borrow().asked_within(max_age) {
            return Freshness::Recent { asked_at };
        }
        let Some(probe) = self.0.probes.borrow().clone() else {
            return Freshness::NoDatabase;
        };
        let asked_at = Instant::now();
        *under_way = Some(asked_at);
        tokio::spawn(self.clone().ask(probe, asked_at));
        Freshness::UnderWay { asked_at }
    }

    async fn ask(self, probe: QueueProbe, asked_at: Instant) {
        // A task of its own and a bound of our own: whatever becomes of it, the next question can be asked.
        let question = tokio::spawn(async move { timeout(2 * TIMEOUT, probe.ask(TIMEOUT)).await });
        let answer = match question.await {
            Ok(Ok(answer)) => answer.map_err(|error| reason(&error)),
            Ok(Err(_)) => Err("no answer".to_owned()),
            Err(_) => Err("the question broke off".to_owned()),
        };
        // Held until the answer is stored, so that nobody asks once more in between.
        let mut under_way = self.under_way();
        self.0.answers.send_modify(|answers| {
            answers.last = Some((answer.as_ref().map(drop).map_err(Clone::clone), asked_at));
            if let Ok(status) = answer {
                answers.queue = Some((status, asked_at));
            }
        });
        *under_way = None;
    }

    fn known(&self) -> ProbeResult {
        let answers = self.0.answers.borrow();
        let last = answers.last.as_ref();
        let queue = answers.queue.as_ref();
        ProbeResult {
            last: last.map(|(answer, asked_at)| (answer.clone(), asked_at.elapsed())),
            queue: queue.map(|(status, asked_at)| (status.clone(), asked_at.elapsed())),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, Option<Instant>> {
        // Every change under the lock is one assignment, so a panic elsewhere cannot leave it half-made.
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the reason of a failure without the place, which the reader of these answers knows.
fn reason(error: &Error) -> String {
    match error {
        Error::Unreachable { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}
