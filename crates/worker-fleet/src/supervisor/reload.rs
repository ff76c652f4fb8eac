//! Replacing all workers of a fleet one by one, with no moment without a ready one.
//!
//! A spare worker in a slot of its own comes first: it tries the program and the configuration as they are now, before
//! anybody has gone, and covers for those who go. When it does not start, nothing has happened to the fleet.
//! A worker is asked to go only while another one is ready. The first new worker that does not start, or takes too long
//! to, ends the reload; the old ones that are left stay, and the answer names a slot that is left without a worker.
//!
//! If every slot for a spare one belongs to others, a fleet of two or more reloads without.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::control::FleetAnswer;
use super::worker_slot::WorkerSlot;

/// The number of slots that may belong to others before a spare worker is given up.
const MOST_TAKEN: u32 = 3;

/// A reload under way.
pub(super) struct Reload {
    waiting: VecDeque<u32>,
    /// The slot whose worker is being replaced, and the process that goes.
    current: Option<(u32, Option<u64>)>,
    spare: Spare,
    /// There are workers beside the one that is being replaced.
    has_others: bool,
    replaced: usize,
    failure: Option<String>,
    began: Instant,
    answer: Option<oneshot::Sender<FleetAnswer>>,
}

/// The spare worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spare {
    /// There is none yet; so many slots turned out to be somebody else's.
    Wanted { taken: u32 },
    /// It has this slot.
    In { slot: u32, taken: u32 },
    /// None can be had.
    Impossible,
}

impl Spare {
    /// Decides what follows after so many slots in which it could not be or stay.
    fn after(taken: u32) -> Self {
        if taken < MOST_TAKEN {
            Self::Wanted { taken }
        } else {
            Self::Impossible
        }
    }
}

/// The next step of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReloadStep {
    /// Something under way has to end.
    Wait,
    /// A spare worker is needed.
    Surge,
    /// Nothing.
    Over,
}

/// A failure to have a new worker in a slot.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) reason: String,
    /// Another slot may do better: this one is another process's, or the worker did start and was killed later.
    pub(super) is_of_the_slot: bool,
}

fn workers(count: usize) -> String {
    format!("{count} worker{}", if count == 1 { "" } else { "s" })
}

impl Reload {
    pub(super) fn new(
        slots: VecDeque<u32>,
        answer: Option<oneshot::Sender<FleetAnswer>>,
        now: Instant,
    ) -> Self {
        Self {
            has_others: slots.len() > 1,
            waiting: slots,
            current: None,
            spare: Spare::Wanted { taken: 0 },
            replaced: 0,
            failure: None,
            began: now,
            answer,
        }
    }

    /// The slot of the spare worker.
    pub(super) fn surge(&self) -> Option<u32> {
        match self.spare {
            Spare::In { slot, .. } => Some(slot),
            Spare::Wanted { .. } | Spare::Impossible => None,
        }
    }

    /// Puts the spare worker into the first slot from `slot` on that was not tried yet.
    pub(super) fn surge_from(&mut self, slot: u32) {
        if let Spare::Wanted { taken } = self.spare {
            let slot = slot + taken;
            self.spare = Spare::In { slot, taken };
        }
    }

    /// Says whether the end of this slot's process by itself ends the reload.
    pub(super) fn concerns(&self, slot: u32) -> bool {
        self.surge() == Some(slot) || self.current.is_some_and(|(current, _)| current == slot)
    }

    /// Records that there is no new worker in a slot. A spare one may try elsewhere.
    pub(super) fn failed(&mut self, slot: u32, why: NotStarted) {
        let NotStarted {
            reason,
            is_of_the_slot,
        } = why;
        match self.spare {
            Spare::In { slot: spare, taken } if spare == slot && is_of_the_slot => {
                self.spare = Spare::after(taken + 1);
                if self.spare == Spare::Impossible && !self.has_others {
                    self.fail(format!("{reason} (slot {slot})"));
                }
            }
            Spare::In { slot: spare, .. } if spare == slot => {
                self.fail(format!("{reason} (slot {slot}, a spare one)"));
            }
            _ => self.fail(format!("{reason} (slot {slot})")),
        }
    }

    pub(super) fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    /// Asks the next worker to go, when the last one is replaced and others are ready.
    pub(super) fn step(&mut self, slots: &mut BTreeMap<u32, WorkerSlot>, now: Instant) -> ReloadStep {
        if let Some(reason) = self.lateness(slots, now) {
            self.fail(reason);
        }
        if self.failure.is_some() {
            return ReloadStep::Over;
        }
        if let Some((number, old)) = self.current {
            // The one that was asked to go stays in the slot until it has ended.
            let replacement = slots
                .get(&number)
                .filter(|slot| slot.process.incarnation() != old);
            if !replacement.is_some_and(|slot| slot.is_ready(now)) {
                return ReloadStep::Wait;
            }
            self.replaced += 1;
            self.current = None;
        }
        let Some(next) = self.waiting.front().copied() else {
            return ReloadStep::Over;
        };
        if let Spare::Wanted { .. } = self.spare {
            return ReloadStep::Surge;
        }
        if !self.is_covered(next, slots, now) {
            return ReloadStep::Wait;
        }
        self.waiting.pop_front();
        if let Some(slot) = slots.get_mut(&next) {
            self.current = Some((next, slot.process.incarnation()));
            slot.process.replace(now);
        }
        ReloadStep::Wait
    }

    /// Describes a new worker that takes too long to start, if one does.
    fn lateness(&self, slots: &BTreeMap<u32, WorkerSlot>, now: Instant) -> Option<String> {
        let current = self.current.map(|(number, _)| number);
        let starting = self.surge().into_iter().chain(current);
        let mut starting = starting.filter_map(|number| slots.get(&number));
        starting.find_map(|slot| slot.lateness(now))
    }

    /// Says whether others take jobs while the worker in this slot does not, the spare one among them if there is one.
    fn is_covered(&self, next: u32, slots: &BTreeMap<u32, WorkerSlot>, now: Instant) -> bool {
        match self.surge() {
            Some(spare) => slots.get(&spare).is_some_and(|slot| slot.takes_jobs(now)),
            None => slots
                .iter()
                .any(|(number, slot)| *number != next && slot.takes_jobs(now)),
        }
    }

    /// Logs and answers how it went, and which slot it leaves without a worker.
    pub(super) fn conclude(self, slots: &BTreeMap<u32, WorkerSlot>, now: Instant) {
        let (replaced, seconds) = (self.replaced, (now - self.began).as_secs_f64());
        let answer = match self.failure {
            None => {
                info!(replaced, seconds, "reloaded");
                FleetAnswer::Done {
                    message: format!("replaced {} in {seconds:.1} s", workers(replaced)),
                }
            }
            Some(reason) => {
                let left = self.current.and_then(|(number, _)| slots.get(&number));
                let vacant = left.filter(|slot| slot.process.is_empty());
                let slot_without_worker = vacant.map(|slot| slot.number);
                warn!(
                    replaced,
                    seconds, slot_without_worker, reason, "the reload was broken off"
                );
                FleetAnswer::Refused {
                    reason: format!("{reason}; {}", remains(replaced, vacant, now)),
                }
            }
        };
        if let Some(asked) = self.answer {
            // Whoever asked may have left.
            let _ = asked.send(answer);
        }
    }
}

/// Describes the slots after a reload that was broken off.
fn remains(replaced: usize, vacant: Option<&WorkerSlot>, now: Instant) -> String {
    let before = match replaced {
        0 => "no worker was replaced".to_owned(),
        replaced => format!("replaced before: {}", workers(replaced)),
    };
    let Some(slot) = vacant else { return before };
    let seconds = slot.restart_in(now).unwrap_or_default();
    format!(
        "{before}; slot {} has no worker now, and the next one is tried in {seconds:.1} s",
        slot.number
    )
}
