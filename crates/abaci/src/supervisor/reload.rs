//! Replacing all workers of a fleet one by one, with no moment without a ready one.
//!
//! A worker is asked to go only while another one is ready. Where there is no other, as in a fleet of one, a spare worker
//! in a slot of its own covers for it and goes when the reload is over.
//! The first new worker that does not start, or takes too long to, ends the reload: the remaining old ones stay, and
//! nothing is lost by a bad release but the worker that tried it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::control::Answer;
use super::slot::Slot;

/// How many slots may be somebody else's before a spare worker is given up.
const MOST_TAKEN: u32 = 2;

/// A reload under way.
pub(super) struct Reload {
    waiting: VecDeque<u32>,
    /// The slot whose worker is being replaced, and the process that goes.
    current: Option<(u32, Option<u64>)>,
    surge: Option<u32>,
    /// How many slots a spare worker could not have.
    taken: u32,
    replaced: usize,
    failure: Option<String>,
    began: Instant,
    answer: Option<oneshot::Sender<Answer>>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something under way has to end.
    Wait,
    /// A spare worker is needed.
    Surge,
    /// Nothing.
    Over,
}

fn workers(count: usize) -> String {
    format!("{count} worker{}", if count == 1 { "" } else { "s" })
}

impl Reload {
    pub(super) fn new(slots: VecDeque<u32>, answer: Option<oneshot::Sender<Answer>>, now: Instant) -> Self {
        Self {
            waiting: slots,
            current: None,
            surge: None,
            taken: 0,
            replaced: 0,
            failure: None,
            began: now,
            answer,
        }
    }

    /// The slot of the spare worker.
    pub(super) fn surge(&self) -> Option<u32> {
        self.surge
    }

    /// Puts the spare worker into the first slot from `slot` on that was not tried yet.
    pub(super) fn surge_from(&mut self, slot: u32) {
        self.surge = Some(slot + self.taken);
    }

    /// Whether the end of this slot's process by itself is the end of the reload.
    pub(super) fn concerns(&self, slot: u32) -> bool {
        self.surge == Some(slot) || self.current.is_some_and(|(current, _)| current == slot)
    }

    /// Takes note that a new worker does not start. A spare one may be in the way of somebody else's, and tries elsewhere.
    pub(super) fn failed(&mut self, slot: u32, reason: String) {
        if self.surge == Some(slot) && self.taken < MOST_TAKEN {
            self.taken += 1;
            self.surge = None;
        } else {
            self.fail(reason);
        }
    }

    pub(super) fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    /// Asks the next worker to go, when the last one is replaced and another one is ready.
    pub(super) fn step(&mut self, slots: &mut BTreeMap<u32, Slot>, now: Instant) -> Step {
        let starting = self
            .surge
            .into_iter()
            .chain(self.current.map(|(number, _)| number));
        let late = starting
            .filter_map(|number| slots.get(&number))
            .find_map(|slot| slot.lateness(now));
        if let Some(reason) = late {
            self.fail(reason);
        }
        if self.failure.is_some() {
            return Step::Over;
        }
        if let Some((number, old)) = self.current {
            let replacement = slots.get(&number).filter(|slot| slot.incarnation() != old);
            if !replacement.is_some_and(|slot| slot.is_ready(now)) {
                return Step::Wait;
            }
            self.replaced += 1;
            self.current = None;
        }
        let Some(next) = self.waiting.front().copied() else {
            return Step::Over;
        };
        let is_covered = slots
            .iter()
            .any(|(number, slot)| *number != next && slot.takes_jobs(now));
        if !is_covered {
            return if self.surge.is_none() {
                Step::Surge
            } else {
                Step::Wait
            };
        }
        self.waiting.pop_front();
        if let Some(slot) = slots.get_mut(&next) {
            self.current = Some((next, slot.incarnation()));
            slot.replace(now);
        }
        Step::Wait
    }

    /// Says how it went.
    pub(super) fn conclude(self, now: Instant) {
        let (replaced, seconds) = (self.replaced, (now - self.began).as_secs_f64());
        let answer = match self.failure {
            None => {
                info!(replaced, seconds, "reloaded");
                Answer::Done {
                    message: format!("replaced {} in {seconds:.1} s", workers(replaced)),
                }
            }
            Some(reason) => {
                warn!(replaced, seconds, reason, "the reload was broken off");
                Answer::Refused {
                    reason: format!("{reason}; replaced before: {}", workers(replaced)),
                }
            }
        };
        if let Some(asked) = self.answer {
            // Whoever asked may have left.
            let _ = asked.send(answer);
        }
    }
}
