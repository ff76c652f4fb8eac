//! The supervisor of a fleet: it starts worker processes and the health process, watches them, and does nothing else.
//!
//! It computes nothing and opens no database connection, so there is little that could go wrong with it; what it knows of
//! its workers they have told it over a socket pair each, or the kernel did when they ended.
//!
//! How it decides: everything that happens is an [`Event`]; after each one, and at the next moment that something is due,
//! it compares what is with what should be ([`fleet::Fleet::reconcile`]) and does the difference.
//! Nothing else starts, stops or kills anything but the second signal: it asks all workers to hand back at once what they
//! have, and kills those that are not gone a second later.
//!
//! It does not promise that a job goes on without interruption: a worker that dies costs the steps that it was in, and a
//! worker that is silent for the watchdog's time is killed on suspicion.

mod control;
mod fleet;
mod fleet_signals;
mod ipc;
mod process;
mod reload;
mod slot;

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

pub use control::{Answer, Request, Seat, ask, directory_in};
pub use fleet::{MOST_WORKERS, Plan, check_workers};
pub use fleet_signals::Orders;
pub use ipc::{FromHealth, FromWorker, Heard, Receiver, Sender, ToHealth, inherited, say_at_once};
pub use process::{HealthChild, Intensity, Program};
pub use slot::Times;

use fleet::Fleet;
use fleet_signals::Order;
use process::News;

use crate::Error;
use crate::signals::Insistence;
use crate::snapshot::PrivateDatabase;
use crate::systemd::Notifier;

/// The longest time between two looks at everything with any watchdog.
const LONGEST_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// So many looks belong into a watchdog's time, or a loop in good order would seem to be late.
const LOOKS_PER_WATCHDOG: u32 = 8;

/// The shortest, so that nothing that is overdue keeps the loop busy.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The most that the loop may be late before it counts as not running.
const LATE: Duration = Duration::from_secs(2);

/// How long what was said meanwhile may take to be heard, when the loop goes on.
const SETTLE: Duration = Duration::from_millis(200);

/// Bounds the time in which workers hand back at once what they have: twice what each of them gives itself.
const HURRY_PATIENCE: Duration = Duration::from_secs(1);

/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// To a worker's process.
    Worker {
        slot: u32,
        incarnation: u64,
        news: News<FromWorker>,
    },
    /// To the health process.
    Health {
        incarnation: u64,
        news: News<FromHealth>,
    },
    /// To the private database.
    Database(PrivateDatabase),
    /// Somebody asked over the control socket.
    Asked(control::Asked),
}

/// Runs a fleet until it is told to stop, or `stop` completes with a reason to, or it cannot start.
///
/// # Errors
/// [`Error::NotStarted`], with the line and the exit code of the first worker that could not start.
pub async fn run(
    plan: Plan,
    seat: Seat,
    mut orders: Orders,
    stop: impl Future<Output = &'static str>,
) -> Result<Pace, Error> {
    let (mut stop, mut is_stopped) = (pin!(stop), false);
    let (events, mut happened) = mpsc::unbounded_channel();
    let _answering = AbortOnDrop(tokio::spawn(control::serve(seat, events.clone())));
    let mut private_database = plan.private_database.clone();
    let mut supervisor = Supervisor::new(plan, events);
    while !supervisor.look() {
        let due = supervisor.next_look();
        let pace = tokio::select! {
            Some(event) = happened.recv() => {
                supervisor.take_in(event, &mut happened);
                Pace::InOrder
            }
            Ok(()) = private_database.changed() => {
                let seen = private_database.borrow_and_update().clone();
                if let Some(seen) = seen {
                    supervisor.take_in(Event::Database(seen), &mut happened);
                }
                Pace::InOrder
            }
            order = orders.next() => supervisor.follow(order),
            reason = &mut stop, if !is_stopped => {
                is_stopped = true;
                supervisor.stop(reason);
                Pace::InOrder
            }
            () = tokio::time::sleep_until(due.into()) => Pace::InOrder,
        };
        if pace == Pace::AtOnce {
            end_at_once(&mut supervisor.fleet, &mut happened).await;
            return supervisor.conclude(Pace::AtOnce);
        }
    }
    info!(pid = std::process::id(), "fleet stopped");
    supervisor.conclude(Pace::InOrder)
}

/// How a fleet ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Every worker finished or handed back what it had.
    InOrder,
    /// A second signal asked for it.
    AtOnce,
}

struct Supervisor {
    fleet: Fleet,
    notifier: Notifier,
    /// The longest time between two looks at everything, whatever happens.
    look_interval: Duration,
    /// A loop that is this late was not running itself, and blames nobody for the silence.
    late: Duration,
    last_look: Instant,
    /// Nothing is judged before this moment.
    settles: Instant,
    last_beat: Option<Instant>,
    last_status: String,
    /// Knows whether a signal asks for the end, or for the end at once.
    insistence: Insistence,
    /// Whether systemd knows of the reload that is under way.
    has_told_of_reload: bool,
}

impl Supervisor {
    fn new(plan: Plan, events: mpsc::UnboundedSender<Event>) -> Self {
        let now = Instant::now();
        Self {
            look_interval: (plan.times.watchdog / LOOKS_PER_WATCHDOG).min(LONGEST_LOOK_INTERVAL),
            late: (plan.times.watchdog / 2).min(LATE),
            fleet: Fleet::new(plan, events),
            notifier: Notifier::new(),
            last_look: now,
            settles: now,
            last_beat: None,
            last_status: String::new(),
            insistence: Insistence::default(),
            has_told_of_reload: false,
        }
    }

    /// Does what is due; returns whether the fleet has come to its end.
    fn look(&mut self) -> bool {
        let now = Instant::now();
        self.notice_absence(now);
        self.beat(now);
        if now < self.settles {
            return false;
        }
        let was_starting = self.fleet.is_starting();
        if self.fleet.is_reloading() && !std::mem::replace(&mut self.has_told_of_reload, true) {
            self.notifier.reloading();
        }
        self.fleet.reconcile(now);
        self.fleet.publish(now);
        if self.fleet.is_running() {
            self.tell_of_readiness(was_starting);
        }
        self.tell_status(now);
        self.fleet.is_over()
    }

    /// Says that the start is over, or the reload.
    fn tell_of_readiness(&mut self, was_starting: bool) {
        if was_starting {
            info!(pid = std::process::id(), "fleet ready");
        }
        if std::mem::take(&mut self.has_told_of_reload) || was_starting {
            self.notifier.ready();
        }
    }

    /// Notices that this process was not running, and gives what was said meanwhile the time to be heard.
    fn notice_absence(&mut self, now: Instant) {
        let last_look = std::mem::replace(&mut self.last_look, now);
        let absence = now.saturating_duration_since(last_look);
        if absence > self.late {
            warn!(
                seconds = absence.as_secs_f64(),
                "the supervisor was not running; nobody is blamed for the silence"
            );
            self.settles = now + SETTLE;
            self.fleet.forgive(self.settles);
        }
    }

    /// Tells systemd that this loop turns, where it wants to know.
    fn beat(&mut self, now: Instant) {
        let Some(interval) = self.notifier.watchdog_interval() else {
            return;
        };
        if self.last_beat.is_none_or(|last| now - last >= interval / 2) {
            self.last_beat = Some(now);
            self.notifier.watchdog();
        }
    }

    /// Tells systemd how things stand, when that has changed.
    fn tell_status(&mut self, now: Instant) {
        let status = self.fleet.summary(now);
        if status != self.last_status {
            self.notifier.status(&status);
            self.last_status = status;
        }
    }

    /// Takes in what happened, and all that happened meanwhile.
    fn take_in(&mut self, event: Event, happened: &mut mpsc::UnboundedReceiver<Event>) {
        self.fleet.take_in(event, Instant::now());
        while let Ok(event) = happened.try_recv() {
            self.fleet.take_in(event, Instant::now());
        }
    }

    fn next_look(&self) -> Instant {
        let latest = self.last_look + self.look_interval;
        let due = self.fleet.deadline(self.last_look);
        // What is overdue was done, or waits for something that will be heard of.
        let soonest = self.settles.max(self.last_look + SHORTEST_PAUSE);
        due.map_or(latest, |due| due.min(latest)).max(soonest)
    }

    fn follow(&mut self, order: Order) -> Pace {
        match order {
            Order::Stop(signal) if self.insistence.ask(Instant::now()) => {
                warn!(signal, "ending at once; what runs goes back to the queue");
                return Pace::AtOnce;
            }
            Order::Stop(signal) => self.stop(signal),
            Order::LoseTerminal => self.stop("SIGHUP"),
            Order::Reload => self.reload(),
            Order::More => self.scale_by(1),
            Order::Fewer => self.scale_by(-1),
        }
        Pace::InOrder
    }

    /// Begins to drain, if that has not begun.
    fn stop(&mut self, reason: &'static str) {
        if self.fleet.is_draining() {
            return;
        }
        info!(signal = reason, "asked to stop; a second signal ends it at once");
        self.notifier.stopping();
        self.fleet.drain();
        // The word that it is not ready is on its way before any worker is asked to go.
        self.fleet.publish(Instant::now());
    }

    fn reload(&mut self) {
        let Err(reason) = self.fleet.reload(None, Instant::now()) else {
            return;
        };
        warn!(reason, "not reloaded");
        if self.fleet.is_reloading() {
            // systemd waits for the end of a reload that it was told of after its signal: that of this one.
            self.notifier.reloading();
        }
    }

    fn scale_by(&mut self, change: i32) {
        let workers = self.fleet.wanted().saturating_add_signed(change);
        if let Err(reason) = self.fleet.scale(workers) {
            warn!(reason, "not scaled");
        }
    }

    /// The end of the fleet, or why it could not start.
    fn conclude(mut self, pace: Pace) -> Result<Pace, Error> {
        match self.fleet.take_refusal() {
            None => Ok(pace),
            Some((code, reason)) => Err(Error::NotStarted { code, reason }),
        }
    }
}

/// Gives the workers a moment to hand back what they have, and kills those that need longer.
async fn end_at_once(fleet: &mut Fleet, happened: &mut mpsc::UnboundedReceiver<Event>) {
    fleet.hurry_all(Instant::now());
    if timeout(HURRY_PATIENCE, all_ends(fleet, happened)).await.is_ok() {
        return;
    }
    fleet.kill_all();
    if timeout(KILL_PATIENCE, all_ends(fleet, happened)).await.is_err() {
        warn!("some processes are not gone yet; they end with this one");
    }
}

/// Completes when all processes are gone.
async fn all_ends(fleet: &mut Fleet, happened: &mut mpsc::UnboundedReceiver<Event>) {
    while fleet.has_processes()
        && let Some(event) = happened.recv().await
    {
        fleet.take_in(event, Instant::now());
    }
}

/// A task that ends with its handle.
pub(super) struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
