//! A fleet: what it is, what it should be, and the difference between the two.
//!
//! # Layout
//!
//! This file is the state; the others build on it.
//!
//! | module | holds |
//! |---|---|
//! | `commands` | what a fleet can be asked: scale, reload, status |
//! | `view` | the state of a fleet as others see it |
//! | `self` | the state of a fleet |
//! | `plan` | the fleet that there is to be |

mod commands;
mod plan;
mod view;

pub use commands::{MOST_WORKERS, check_workers};
pub use plan::FleetPlan;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::control::PendingRequest;
use super::event::{Event, ServingRole};
use super::ipc::WorkerFailure;
use super::process::ChildEvent;
use super::reload::{NotStarted, Reload, ReloadStep};
use super::worker_slot::{UnexpectedEnd, WorkerSlot};
use crate::snapshot::{Phase, WorkerState};

/// The part of the state whose change is published at once: the phase, the serving processes, and of each worker slot,
/// process and state.
type StateFingerprint = (Phase, Vec<Option<u32>>, Vec<(u32, Option<u32>, WorkerState)>);

/// The longest pause of a slot while no other worker of the fleet takes jobs.
const LONGEST_PAUSE_ALONE: Duration = Duration::from_secs(5);

/// The state of a fleet.
pub(crate) struct FleetState {
    /// The fleet that there is to be; the number of workers may change.
    plan: FleetPlan,
    phase: Phase,
    /// True until every first worker was ready once or is in a crash loop.
    is_starting: bool,
    slots: BTreeMap<u32, WorkerSlot>,
    reload: Option<Reload>,
    refusal: Option<(u8, String)>,
    events: mpsc::UnboundedSender<Event>,
    incarnations: u64,
    began: Instant,
    published: Option<(Instant, StateFingerprint)>,
}

impl FleetState {
    pub(crate) fn new(plan: FleetPlan, events: mpsc::UnboundedSender<Event>) -> Self {
        Self {
            plan,
            phase: Phase::Running,
            is_starting: true,
            slots: BTreeMap::new(),
            reload: None,
            refusal: None,
            events,
            incarnations: 0,
            began: Instant::now(),
            published: None,
        }
    }

    /// Records an event; what follows from it is [`FleetState::reconcile`]'s.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Worker {
                slot,
                incarnation,
                event,
            } => self.handle_worker(slot, incarnation, event, now),
            Event::Serving {
                role,
                incarnation,
                event,
            } => {
                let child = match role {
                    ServingRole::Health => &mut self.plan.health,
                    ServingRole::Web => &mut self.plan.web,
                };
                if let Some(child) = child {
                    child.handle(incarnation, &event, now);
                }
            }
            Event::Request(PendingRequest { request, answer }) => self.answer(request, answer, now),
        }
    }

    fn handle_worker(&mut self, number: u32, incarnation: u64, event: ChildEvent, now: Instant) {
        let Some(slot) = self.slots.get_mut(&number) else {
            return;
        };
        let status = match event {
            ChildEvent::Received(message) => return slot.handle(incarnation, message, now),
            ChildEvent::Ended(status) => status,
        };
        // Asked first, since ended() empties the slot.
        let is_its_own = slot.process.incarnation() == Some(incarnation);
        let Some(end) = slot.ended(incarnation, status, now) else {
            // One that was asked to go ends with 0, or with 130 where it had not begun.
            if is_its_own && !matches!(status.code(), Some(0 | 130)) {
                slot.log_end(now);
            }
            return;
        };
        self.handle_unexpected_end(number, end, now);
    }

    /// Decides what the end of a worker by itself means for the start of the fleet and for a reload.
    fn handle_unexpected_end(&mut self, number: u32, end: UnexpectedEnd, now: Instant) {
        // Before the end is logged: the line has the time of the next start, which this may change.
        self.shorten_pauses(now);
        let Some(slot) = self.slots.get(&number) else {
            return;
        };
        let was_ready = slot.was_ready();
        let is_slot_taken = end.failure.as_ref().is_some_and(|failure| failure.is_slot_taken);
        match end.failure.filter(|_| self.is_starting && !was_ready) {
            Some(WorkerFailure { code, reason, .. }) => self.refuse(code, reason),
            None => slot.log_end(now),
        }
        let end = self
            .slots
            .get(&number)
            .and_then(|slot| slot.process.last_exit(now));
        let how = end.map(|end| end.how()).unwrap_or_default();
        let why = NotStarted {
            reason: format!("the new worker does not start: {how}"),
            is_of_the_slot: is_slot_taken || was_ready,
        };
        self.notify_reload(number, why);
    }

    /// Shortens the pauses of the slots while nobody takes jobs and nobody is about to.
    fn shorten_pauses(&mut self, now: Instant) {
        if !self
            .slots
            .values()
            .any(|slot| slot.is_promising(LONGEST_PAUSE_ALONE, now))
        {
            let slots = self.slots.values_mut();
            slots.for_each(|slot| slot.process.bring_forward(LONGEST_PAUSE_ALONE));
        }
    }

    /// Gives up the start of the fleet.
    fn refuse(&mut self, code: u8, reason: String) {
        self.refusal.get_or_insert((code, reason));
        self.drain();
    }

    /// Notifies a reload that waits for a worker in this slot.
    fn notify_reload(&mut self, number: u32, why: NotStarted) {
        if let Some(reload) = self.reload.as_mut().filter(|reload| reload.concerns(number)) {
            reload.failed(number, why);
        }
    }

    /// Starts, stops and kills what is not as it should be.
    pub(crate) fn reconcile(&mut self, now: Instant) {
        // First, since a reload decides whether there is a spare slot to fill.
        self.advance_reload(now);
        for number in self.wanted_slots() {
            let times = self.plan.times;
            self.slots
                .entry(number)
                .or_insert_with(|| WorkerSlot::new(number, times, now));
        }
        // Again, since time alone changes it: a start that takes long promises nothing any more.
        self.shorten_pauses(now);
        let numbers: Vec<u32> = self.slots.keys().copied().collect();
        for number in numbers {
            self.reconcile_slot(number, now);
        }
        if self.is_starting {
            self.judge_start(now);
        }
        // After the slots, the last of which may just have gone.
        self.reconcile_serving(now);
    }

    fn reconcile_slot(&mut self, number: u32, now: Instant) {
        let is_wanted = self.is_wanted(number);
        let Some(slot) = self.slots.get_mut(&number) else {
            return;
        };
        if !is_wanted {
            slot.process.stop(now);
        }
        if let Some(reason) = slot.due_death(now) {
            warn!(
                slot = number,
                pid = slot.process.pid(),
                reason,
                "killing a worker"
            );
            slot.process.kill(&reason);
        }
        if slot.process.is_empty() && !is_wanted {
            self.slots.remove(&number);
        } else if is_wanted && slot.process.is_due_to_start(now) {
            self.start(number, now);
        }
    }

    fn start(&mut self, number: u32, now: Instant) {
        self.incarnations += 1;
        let (incarnation, events) = (self.incarnations, self.events.clone());
        let arguments = (self.plan.worker_arguments)(number, self.plan.workers.max(1));
        // What a reload is for is the file; without one there is nothing to reload.
        let program = match self.reload {
            Some(_) => self.plan.program.clone(),
            None => self.plan.program.or_as_it_runs(),
        };
        let started = program.start(arguments, None, move |event| {
            // Nobody listens any more only when the supervisor is ending.
            let _ = events.send(Event::Worker {
                slot: number,
                incarnation,
                event,
            });
        });
        let Some(slot) = self.slots.get_mut(&number) else {
            return;
        };
        match started {
            Ok(child) => {
                info!(slot = number, pid = child.pid, "worker started");
                slot.fill(child, incarnation);
            }
            Err(error) => {
                let reason = format!("the program cannot be started: {error}");
                slot.could_not_start(reason.clone(), now);
                error!(slot = number, reason);
                let why = NotStarted {
                    reason: reason.clone(),
                    is_of_the_slot: false,
                };
                self.notify_reload(number, why);
                if self.is_starting {
                    self.refuse(1, reason);
                }
            }
        }
    }

    fn reconcile_serving(&mut self, now: Instant) {
        // The serving processes answer until the last worker is gone.
        let is_last = self.is_draining() && self.slots.is_empty();
        let watchdog = self.plan.times.watchdog;
        for child in self.plan.serving_mut() {
            if is_last {
                child.process.stop(now);
            } else {
                child.start_if_due(&self.events, now);
            }
            child.kill_if_due(watchdog, now);
        }
    }

    fn advance_reload(&mut self, now: Instant) {
        let Some(mut reload) = self.reload.take() else {
            return;
        };
        match reload.step(&mut self.slots, now) {
            ReloadStep::Wait => self.reload = Some(reload),
            ReloadStep::Surge => {
                // Nothing is scaled before the end of a reload, so those above are free, for this fleet at least.
                reload.surge_from(self.plan.first_slot + self.plan.workers);
                self.reload = Some(reload);
            }
            ReloadStep::Over => {
                self.phase = Phase::Running;
                reload.conclude(&self.slots, now);
            }
        }
    }

    /// Stops all workers in order; nothing is started any more.
    pub(crate) fn drain(&mut self) {
        self.phase = Phase::Draining;
        if let Some(mut reload) = self.reload.take() {
            reload.fail("the fleet is stopping".to_owned());
            reload.conclude(&self.slots, Instant::now());
        }
    }

    /// Asks every worker to hand back at once what it has, and kills the serving processes; nothing is started any more.
    pub(crate) fn hand_back_all(&mut self, now: Instant) {
        self.phase = Phase::Draining;
        self.slots.values_mut().for_each(|slot| slot.hand_back(now));
        self.plan.serving_mut().for_each(|child| child.kill(now));
    }

    /// Kills every worker.
    pub(crate) fn kill_all(&mut self) {
        for slot in self.slots.values_mut() {
            slot.process.kill("the fleet was ended at once");
        }
    }

    /// Counts every silence and delay from `now` on: the supervisor did not listen until then.
    pub(crate) fn reset_deadlines(&mut self, now: Instant) {
        self.slots
            .values_mut()
            .for_each(|slot| slot.process.reset_deadlines(now));
        self.plan
            .serving_mut()
            .for_each(|child| child.process.reset_deadlines(now));
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    pub(crate) fn is_starting(&self) -> bool {
        self.is_starting
    }

    pub(crate) fn has_processes(&self) -> bool {
        let is_serving = self.plan.serving().any(|child| !child.process.is_empty());
        is_serving || self.slots.values().any(|slot| !slot.process.is_empty())
    }

    /// Says whether it was stopped and everything has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_draining() && !self.has_processes()
    }

    /// Takes the reason why the fleet could not start, with the exit code of the worker that gave it.
    pub(crate) fn take_refusal(&mut self) -> Option<(u8, String)> {
        self.refusal.take()
    }

    /// Returns when something is due, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let slots = self.slots.values().filter_map(|slot| slot.deadline(now));
        let serving = self.plan.serving().filter_map(|child| child.process.next_start());
        slots.chain(serving).min()
    }

    /// Ends the start when every worker was ready once, or ends as soon as it starts; if they all do, the fleet does
    /// too.
    fn judge_start(&mut self, now: Instant) {
        let is_settled = |slot: &WorkerSlot| slot.was_ready() || slot.process.is_crash_looping();
        if self.is_draining() {
            self.is_starting = false;
        } else if self.slots.values().all(is_settled) {
            if self.slots.values().any(WorkerSlot::was_ready) {
                self.is_starting = false;
            } else {
                let last = self.slots.values().find_map(|slot| slot.process.last_exit(now));
                let how = last.map(|end| end.how()).unwrap_or_default();
                self.refuse(
                    1,
                    format!("every worker ends as soon as it starts, the last one by {how}"),
                );
            }
        }
    }

    fn is_wanted(&self, number: u32) -> bool {
        self.wanted_slots().any(|wanted| wanted == number)
    }

    /// Returns the slots that should have a worker now.
    pub(crate) fn wanted_slots(&self) -> impl Iterator<Item = u32> + use<> {
        // Nothing of `self` is borrowed (`use<>`): `reconcile` fills slots while it goes through these.
        let count = if self.is_draining() { 0 } else { self.plan.workers };
        let surge = self.reload.as_ref().and_then(Reload::surge);
        (self.plan.first_slot..self.plan.first_slot + count).chain(surge)
    }
}
