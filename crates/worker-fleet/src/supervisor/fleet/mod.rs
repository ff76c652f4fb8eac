//! What a fleet is and should be, and the difference between the two.

mod commands;
mod view;

pub use commands::{MOST_WORKERS, check_workers};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::Event;
use super::control::Asked;
use super::ipc::FromWorker;
use super::process::{HealthChild, News, Program};
use super::reload::{NotStarted, Reload, Step};
use super::slot::{Failure, Slot, Times};
use crate::snapshot::{Phase, PrivateDatabase};
use view::Essence;

/// The longest pause of a slot while no other worker of the fleet takes jobs.
const LONGEST_PAUSE_ALONE: Duration = Duration::from_secs(5);

/// How a fleet is to be.
pub struct Plan {
    /// How a worker is started; the arguments of its slot come behind these.
    pub program: Program,
    /// The arguments of the worker in a slot, for a fleet of this size.
    pub worker_arguments: fn(slot: u32, fleet_size: u32) -> Vec<String>,
    /// How many workers there are to be.
    pub workers: u32,
    /// The slot of the first of them.
    pub first_slot: u32,
    /// The times that workers have.
    pub times: Times,
    /// The health process, if there is to be one.
    pub health: Option<HealthChild>,
    /// The queue that the workers take jobs from.
    pub queue: String,
    /// Where that queue is, fit to be shown.
    pub database: String,
    /// What is known of the private database, where it is the one in use.
    pub private_database: watch::Receiver<Option<PrivateDatabase>>,
}

/// A fleet as its supervisor knows it.
pub(crate) struct Fleet {
    program: Program,
    worker_arguments: fn(slot: u32, fleet_size: u32) -> Vec<String>,
    first_slot: u32,
    times: Times,
    pub(crate) queue: String,
    pub(crate) database: String,
    pub(crate) wanted: u32,
    pub(crate) phase: Phase,
    /// Until every worker of the first hour was ready once, or turned out to be hopeless.
    is_starting: bool,
    pub(crate) slots: BTreeMap<u32, Slot>,
    pub(crate) health: Option<HealthChild>,
    pub(crate) reload: Option<Reload>,
    pub(crate) private_database: Option<PrivateDatabase>,
    refusal: Option<(u8, String)>,
    events: mpsc::UnboundedSender<Event>,
    incarnations: u64,
    pub(crate) began: Instant,
    pub(crate) published: Option<(Instant, Essence)>,
}

impl Fleet {
    pub(crate) fn new(plan: Plan, events: mpsc::UnboundedSender<Event>) -> Self {
        let private_database = plan.private_database.borrow().clone();
        Self {
            program: plan.program,
            worker_arguments: plan.worker_arguments,
            first_slot: plan.first_slot,
            times: plan.times,
            queue: plan.queue,
            database: plan.database,
            wanted: plan.workers,
            phase: Phase::Running,
            is_starting: true,
            slots: BTreeMap::new(),
            health: plan.health,
            reload: None,
            private_database,
            refusal: None,
            events,
            incarnations: 0,
            began: Instant::now(),
            published: None,
        }
    }

    /// Takes in what happened; what follows from it is [`Fleet::reconcile`]'s.
    pub(crate) fn take_in(&mut self, event: Event, now: Instant) {
        match event {
            Event::Worker {
                slot,
                incarnation,
                news,
            } => self.take_in_worker(slot, incarnation, news, now),
            Event::Health { incarnation, news } => {
                if let Some(health) = &mut self.health {
                    health.take_in(incarnation, &news, now);
                }
            }
            Event::Database(seen) => self.private_database = Some(seen),
            Event::Asked(Asked { request, answer }) => self.answer(request, answer, now),
        }
    }

    fn take_in_worker(&mut self, number: u32, incarnation: u64, news: News<FromWorker>, now: Instant) {
        let Some(slot) = self.slots.get_mut(&number) else {
            return;
        };
        let status = match news {
            News::Said(message) => return slot.hear(incarnation, message, now),
            News::Lives => return slot.lives(incarnation, now),
            News::Ended(status) => status,
        };
        let is_its_own = slot.incarnation() == Some(incarnation);
        let Some(failure) = slot.ended(incarnation, status, now) else {
            // One that was asked to go ends with 0, or with 130 where it had not begun.
            if is_its_own && !matches!(status.code(), Some(0 | 130)) {
                log_end(slot, now);
            }
            return;
        };
        self.take_in_failure(number, failure, now);
    }

    /// Takes note that a worker ended by itself.
    fn take_in_failure(&mut self, number: u32, failure: Failure, now: Instant) {
        self.shorten_pauses(now);
        let Some(slot) = self.slots.get(&number) else {
            return;
        };
        let was_ready = slot.was_ready();
        let Failure {
            refusal,
            is_slot_taken,
        } = failure;
        match refusal.filter(|_| self.is_starting && !was_ready) {
            Some((code, reason)) => self.refuse(code, reason),
            None => log_end(slot, now),
        }
        let end = self.slots.get(&number).and_then(|slot| slot.last_exit(now));
        let how = end.map(|end| end.how()).unwrap_or_default();
        let why = NotStarted {
            reason: format!("the new worker does not start: {how}"),
            is_of_the_slot: is_slot_taken || was_ready,
        };
        self.tell_reload(number, why);
    }

    /// Shortens the pauses of the slots while nobody takes jobs and nobody is about to.
    fn shorten_pauses(&mut self, now: Instant) {
        if !self
            .slots
            .values()
            .any(|slot| slot.is_promising(LONGEST_PAUSE_ALONE, now))
        {
            let slots = self.slots.values_mut();
            slots.for_each(|slot| slot.bring_forward(LONGEST_PAUSE_ALONE));
        }
    }

    /// Gives up the start of the fleet.
    fn refuse(&mut self, code: u8, reason: String) {
        self.refusal.get_or_insert((code, reason));
        self.drain();
    }

    /// Tells a reload that waits for a worker in this slot.
    fn tell_reload(&mut self, number: u32, why: NotStarted) {
        if let Some(reload) = self.reload.as_mut().filter(|reload| reload.concerns(number)) {
            reload.failed(number, why);
        }
    }

    /// Starts, stops and kills what is not as it should be.
    pub(crate) fn reconcile(&mut self, now: Instant) {
        self.advance_reload(now);
        for number in self.wanted_slots() {
            let times = self.times;
            self.slots
                .entry(number)
                .or_insert_with(|| Slot::new(number, times, now));
        }
        self.shorten_pauses(now);
        let numbers: Vec<u32> = self.slots.keys().copied().collect();
        for number in numbers {
            self.reconcile_slot(number, now);
        }
        if self.is_starting {
            self.judge_start(now);
        }
        self.reconcile_health(now);
    }

    fn reconcile_slot(&mut self, number: u32, now: Instant) {
        let is_wanted = self.is_wanted(number);
        let Some(slot) = self.slots.get_mut(&number) else {
            return;
        };
        if !is_wanted {
            slot.stop(now);
        }
        if let Some(reason) = slot.is_due_to_die(now) {
            warn!(slot = number, pid = slot.pid(), reason, "killing a worker");
            slot.kill(&reason);
        }
        if slot.is_empty() && !is_wanted {
            self.slots.remove(&number);
        } else if is_wanted && slot.is_due_to_start(now) {
            self.start(number, now);
        }
    }

    fn start(&mut self, number: u32, now: Instant) {
        self.incarnations += 1;
        let (incarnation, events) = (self.incarnations, self.events.clone());
        let arguments = (self.worker_arguments)(number, self.wanted.max(1));
        // What a reload is for is the file; without one there is nothing to reload.
        let program = match self.reload {
            Some(_) => self.program.clone(),
            None => self.program.or_as_it_runs(),
        };
        let started = program.start(&arguments, None, move |news| {
            // Nobody listens any more only when the supervisor is ending.
            let _ = events.send(Event::Worker {
                slot: number,
                incarnation,
                news,
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
                self.tell_reload(number, why);
                if self.is_starting {
                    self.refuse(1, reason);
                }
            }
        }
    }

    fn reconcile_health(&mut self, now: Instant) {
        let is_last = self.is_draining() && self.slots.is_empty();
        let Some(health) = &mut self.health else { return };
        if is_last {
            health.stop(now);
        } else {
            health.start_if_due(&self.events, now);
        }
        health.kill_if_due(self.times.watchdog, now);
    }

    fn advance_reload(&mut self, now: Instant) {
        let Some(mut reload) = self.reload.take() else {
            return;
        };
        match reload.step(&mut self.slots, now) {
            Step::Wait => self.reload = Some(reload),
            Step::Surge => {
                // Nothing is scaled before the end of a reload, so those above are free, for this fleet at least.
                reload.surge_from(self.first_slot + self.wanted);
                self.reload = Some(reload);
            }
            Step::Over => {
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

    /// Asks every worker to hand back at once what it has; nothing is started any more.
    pub(crate) fn hurry_all(&mut self, now: Instant) {
        self.phase = Phase::Draining;
        self.slots.values_mut().for_each(|slot| slot.hurry(now));
        if let Some(health) = &mut self.health {
            health.kill(now);
        }
    }

    /// Kills every worker.
    pub(crate) fn kill_all(&mut self) {
        for slot in self.slots.values_mut() {
            slot.kill("the fleet was ended at once");
        }
    }

    /// Forgives silences that may be our own.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.slots.values_mut().for_each(|slot| slot.forgive(now));
        if let Some(health) = &mut self.health {
            health.forgive(now);
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    pub(crate) fn is_starting(&self) -> bool {
        self.is_starting
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.phase == Phase::Reloading
    }

    /// Whether it has come up and nothing unusual is going on.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running && !self.is_starting
    }

    pub(crate) fn wanted(&self) -> u32 {
        self.wanted
    }

    pub(crate) fn has_processes(&self) -> bool {
        let has_health = self.health.as_ref().is_some_and(|health| !health.is_empty());
        has_health || self.slots.values().any(|slot| !slot.is_empty())
    }

    /// Whether it was stopped and everything has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_draining() && !self.has_processes()
    }

    /// Why the fleet could not start, with the exit code of the worker that said so.
    pub(crate) fn take_refusal(&mut self) -> Option<(u8, String)> {
        self.refusal.take()
    }

    /// When something is due, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let slots = self.slots.values().filter_map(|slot| slot.deadline(now));
        let health = self.health.iter().filter_map(HealthChild::deadline);
        slots.chain(health).min()
    }

    /// Ends the start when every worker was ready once, or ends as soon as it starts; if they all do, the fleet does too.
    fn judge_start(&mut self, now: Instant) {
        let is_settled = |slot: &Slot| slot.was_ready() || slot.is_crash_looping();
        if self.is_draining() {
            self.is_starting = false;
        } else if self.slots.values().all(is_settled) {
            if self.slots.values().any(Slot::was_ready) {
                self.is_starting = false;
            } else {
                let last = self.slots.values().find_map(|slot| slot.last_exit(now));
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

    /// The slots that should have a worker now.
    pub(crate) fn wanted_slots(&self) -> impl Iterator<Item = u32> + use<> {
        let count = if self.is_draining() { 0 } else { self.wanted };
        let surge = self.reload.as_ref().and_then(Reload::surge);
        (self.first_slot..self.first_slot + count).chain(surge)
    }
}

/// Logs the end of a worker that ended by itself, or otherwise than it was asked to.
fn log_end(slot: &Slot, now: Instant) {
    let Some(end) = slot.last_exit(now) else { return };
    let (pid, code, signal, reason) = (end.pid, end.code, end.signal, end.reason);
    let restart_in_seconds = slot.restart_in(now);
    let said = match restart_in_seconds {
        None => "worker ended before it had finished; its jobs are taken up again",
        Some(_) if slot.is_crash_looping() => "worker ended, and did so too often; trying again later",
        Some(_) => "worker ended; starting another",
    };
    warn!(
        slot = slot.number,
        pid, code, signal, reason, restart_in_seconds, "{said}"
    );
}
