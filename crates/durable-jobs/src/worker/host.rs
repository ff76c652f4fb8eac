//! The lacks of this host, and when it is tried again.
//!
//! A program that cannot be executed, descriptors or processes that have run out, a disk that is full or gone: that is no
//! job's fault, and another host may have what is missing here. A job that meets it goes back to its queue uncounted
//! ([`super::execute`]), and this worker claims nothing for a second, and twice as long every time that it happens again,
//! up to half a minute. Then it looks for itself, by starting a computing process and writing a file, and claims again when
//! both can be done.
//!
//! A look does not find everything, such as a disk that has room for little. Where a job fails again after a good look, a
//! good look only means another trial: jobs are claimed, and the trouble is over when one has got what it needs, or when
//! none has failed for half a minute.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::artifact::Artifacts;
use crate::process::Children;

/// The pause of claims after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest time in which nothing is claimed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A disk that takes longer than this for one small file is not there.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a worker claims nothing, though it could reach the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostTrouble {
    /// The lack, in the system's words.
    pub reason: String,
    /// When it is tried again.
    pub retry_in_seconds: f64,
}

/// The host of one worker. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Host(Arc<HostShared>);

struct HostShared {
    executor_id: String,
    children: Children,
    artifacts: Artifacts,
    state: Mutex<HostState>,
    /// A look that has not ended: a disk that hangs keeps its thread, so there is no second one meanwhile.
    looking: tokio::sync::Mutex<Option<JoinHandle<Result<(), String>>>>,
}

#[derive(Default)]
struct HostState {
    /// Absent while no lack of the host is known.
    trouble: Option<Trouble>,
    /// The length of the last pause; none once a job has got what it needs.
    pause: Duration,
    /// True if a job failed after a good look, and none got what it needs since.
    is_doubted: bool,
}

struct Trouble {
    reason: String,
    /// When the pause ends, or the trial.
    until: Instant,
    /// True if jobs are claimed for a trial.
    is_tried: bool,
}

impl Host {
    pub(crate) fn new(executor_id: &str, children: Children, artifacts: Artifacts) -> Self {
        Self(Arc::new(HostShared {
            executor_id: executor_id.to_owned(),
            children,
            artifacts,
            state: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }))
    }

    /// Takes note that the host failed, for this reason.
    pub(crate) fn failed(&self, reason: &str) {
        if let Some(pause) = self.state().fail(reason, Instant::now()) {
            warn!(
                executor_id = self.0.executor_id,
                reason,
                retry_seconds = pause.as_secs_f64(),
                "this host cannot work; its jobs go back to the queue"
            );
        }
    }

    /// Takes note that a job got what it needs of the host.
    pub(crate) fn worked(&self) {
        if self.state().work() {
            self.say_good();
        }
    }

    /// Tests whether jobs may be claimed.
    pub(crate) fn takes_jobs(&self) -> bool {
        self.state()
            .trouble
            .as_ref()
            .is_none_or(|trouble| trouble.is_tried)
    }

    /// Why no jobs are claimed, if so.
    pub(crate) fn trouble(&self) -> Option<HostTrouble> {
        let state = self.state();
        let trouble = state.trouble.as_ref()?;
        let pause = trouble.until.saturating_duration_since(Instant::now());
        Some(HostTrouble {
            reason: trouble.reason.clone(),
            retry_in_seconds: if trouble.is_tried {
                0.0
            } else {
                pause.as_secs_f64()
            },
        })
    }

    /// Finds out whether the host is good again, if that is due. Cancel-safe.
    pub(crate) async fn look(&self) {
        let is_due = |trouble: &Trouble| trouble.until <= Instant::now();
        if !self.state().trouble.as_ref().is_some_and(is_due) {
            return;
        }
        match self.probe().await {
            Ok(()) => {
                if self.state().look_good(Instant::now()) {
                    self.say_good();
                }
            }
            Err(reason) => self.failed(&reason),
        }
    }

    fn say_good(&self) {
        info!(executor_id = self.0.executor_id, "this host can work again");
    }

    async fn probe(&self) -> Result<(), String> {
        let mut looking = self.0.looking.lock().await;
        let look = looking.get_or_insert_with(|| tokio::spawn(probe(Arc::clone(&self.0))));
        let Ok(ended) = timeout(TIMEOUT, look).await else {
            let seconds = TIMEOUT.as_secs();
            return Err(format!(
                "cannot start a process and write a file within {seconds} s"
            ));
        };
        // Only a look that has ended is forgotten: one that was given up is found here by the next caller.
        *looking = None;
        ended.unwrap_or_else(|panic| Err(panic.to_string()))
    }

    fn state(&self) -> MutexGuard<'_, HostState> {
        // Every change leaves it whole, so a panic elsewhere cannot leave it half-made.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn probe(host: Arc<HostShared>) -> Result<(), String> {
    let started = host.children.probe().await;
    started.map_err(|failure| failure.message)?;
    let written = host.artifacts.probe().await;
    written.map_err(|error| format!("cannot use the {error}"))
}

impl HostState {
    /// Begins a pause, unless one is under way; returns its length where that or the reason is news.
    fn fail(&mut self, reason: &str, now: Instant) -> Option<Duration> {
        let before = self.trouble.take();
        let was_claiming = before.as_ref().is_none_or(|before| before.is_tried);
        // Claims go on after a failure only once a look was good: another failure shows that it was not.
        self.is_doubted |= was_claiming && !self.pause.is_zero();
        let is_news = before.as_ref().is_none_or(|before| before.reason != reason);
        let until = match before {
            // Other jobs that meet the same fault at the same time do not make it last longer.
            Some(before) if before.until > now && !before.is_tried => before.until,
            // A trial that fails counts like a pause that is over: the next one is twice as long.
            _ => {
                self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                now + self.pause
            }
        };
        self.trouble = Some(Trouble {
            reason: reason.to_owned(),
            until,
            is_tried: false,
        });
        is_news.then_some(until - now)
    }

    /// Ends a pause after a look that found nothing; returns whether the trouble is over.
    fn look_good(&mut self, now: Instant) -> bool {
        match &mut self.trouble {
            // A job has failed while the look was under way.
            Some(trouble) if trouble.until > now => false,
            Some(trouble) if self.is_doubted && !trouble.is_tried => {
                trouble.is_tried = true;
                trouble.until = now + LONGEST_PAUSE;
                false
            }
            trouble => trouble.take().is_some(),
        }
    }

    /// Ends a trial by a job that got what it needs; returns whether there was one.
    fn work(&mut self) -> bool {
        (self.pause, self.is_doubted) = (Duration::ZERO, false);
        // A pause under way stays: the job may have got what it needs before the fault.
        self.trouble.take_if(|trouble| trouble.is_tried).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_stays_is_met_ever_more_seldom_and_said_once() {
        let (mut state, mut now) = (HostState::default(), Instant::now());
        assert_eq!(state.fail("full", now), Some(FIRST_PAUSE));
        assert_eq!(
            state.fail("full", now),
            None,
            "one fault of two jobs was said twice"
        );
        let mut pauses = Vec::new();
        for _ in 0..7 {
            now = state.trouble.as_ref().unwrap().until;
            assert_eq!(state.fail("full", now), None);
            pauses.push((state.trouble.as_ref().unwrap().until - now).as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30]);
        assert!(state.fail("gone", now).is_some(), "another reason was not said");
    }

    #[test]
    fn a_host_that_looks_good_and_fails_again_is_on_trial() {
        let (mut state, mut now) = (HostState::default(), Instant::now());
        now += state.fail("full", now).unwrap();
        assert!(state.look_good(now), "a first good look was not believed");
        assert!(!state.look_good(now), "no trouble was over");
        now += state.fail("full", now).unwrap();
        assert!(!state.look_good(now), "a look that had been wrong was believed");
        assert_eq!(state.fail("full", now), None, "one fault was said twice");
        assert!(
            !state.look_good(now),
            "a look that began before the fault ended the pause"
        );
        now += LONGEST_PAUSE;
        assert!(!state.look_good(now));
        assert!(
            state.work() && state.trouble.is_none(),
            "a job that ran meant nothing"
        );
        assert_eq!(state.fail("full", now), Some(FIRST_PAUSE));
        assert!(
            !state.work(),
            "a job that had what it needs before the fault ended the pause"
        );
    }

    #[test]
    fn a_trial_without_a_job_ends_as_well() {
        let (mut state, mut now) = (HostState::default(), Instant::now());
        now += state.fail("full", now).unwrap();
        assert!(state.look_good(now));
        now += state.fail("full", now).unwrap();
        assert!(!state.look_good(now));
        assert!(state.look_good(now + LONGEST_PAUSE) && state.trouble.is_none());
    }

    #[test]
    fn a_host_that_was_mended_is_believed_at_once() {
        let (mut state, mut now) = (HostState::default(), Instant::now());
        now += state.fail("no descriptors", now).unwrap();
        // Looks that fail are no jobs that do.
        state.fail("no descriptors", now);
        now = state.trouble.as_ref().unwrap().until;
        assert!(state.look_good(now));
    }
}
