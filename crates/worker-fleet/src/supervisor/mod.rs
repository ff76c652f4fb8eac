//! The supervisor of a fleet: it starts worker processes, the health process and a web process, and watches, scales, reloads
//! and drains them.
//!
//! It computes nothing and opens no database connection, so there is little that could go wrong with it. All that it
//! knows of a worker came over the worker's socket pair, or from the kernel when the process ended.
//!
//! Everything that happens is an `Event`; after each one, and at the next moment that something is due,
//! it compares what is with what should be (`FleetState::reconcile`) and does the difference.
//! Nothing else starts, stops or kills anything but the second signal: it asks all workers to hand back at once what
//! they have, and kills those that are not gone a second later.
//!
//! It does not promise that a job goes on without interruption: a worker that dies costs the steps that it was in, and
//! a worker that is silent for the watchdog's time is killed on suspicion.
//!
//! # Layout
//!
//! This file is the event loop.
//!
//! | module | holds |
//! |---|---|
//! | `fleet` | the state of a fleet; its `reconcile` starts, stops and kills |
//! | `fleet_signals` | the signals that steer a fleet |
//! | `reload` | the replacement of all workers one by one |
//! | `worker_slot` | the place of one worker |
//! | `serving_child` | the processes that serve a socket: health, HTTP |
//! | `event` | the events of the loop |
//! | `control` | the control socket |
//! | `process` | one process: start, silence, end, restart |
//! | `ipc` | the channel to a child |

mod control;
mod event;
mod fleet;
mod fleet_signals;
pub(crate) mod ipc;
mod process;
mod reload;
mod serving_child;
mod worker_slot;

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

pub use control::{FleetAnswer, FleetLock, FleetRequest, ask, directory_in, look};
pub use fleet::{FleetPlan, MOST_WORKERS, check_workers};
pub use fleet_signals::FleetSignals;
pub use ipc::{QueueAddress, WorkerFailure};
pub use process::{Intensity, Program, WorkerTimes};
pub use serving_child::ServingChild;

use event::Event;
use fleet::FleetState;
use fleet_signals::FleetSignal;

use crate::Error;
use crate::signals::StopRequests;
use crate::systemd::Notifier;

/// The longest time between two looks at everything with any watchdog.
const LONGEST_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The fewest looks within the watchdog's time; the loop counts as late after half of that time, or after [`LATE`].
const LOOKS_PER_WATCHDOG: u32 = 8;

/// The shortest time between two looks: what is overdue and waits for an event would otherwise keep the loop busy.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The most that the loop may be late before it counts as not running.
const LATE: Duration = Duration::from_secs(2);

/// The time to receive the messages that came meanwhile, when the loop goes on.
const SETTLE: Duration = Duration::from_millis(200);

/// Bounds the time in which workers hand back at once what they have: twice what each of them gives itself.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(1);

/// Bounds the time in which killed processes are gone.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Runs a fleet until it is asked to stop, or `stop` completes with a reason to, or it cannot start.
///
/// # Errors
/// [`Error::NotStarted`], with the line and the exit code of the first worker that could not start.
pub async fn run(
    plan: FleetPlan,
    lock: FleetLock,
    mut signals: FleetSignals,
    stop: impl Future<Output = &'static str>,
) -> Result<FleetEnd, Error> {
    let (mut stop, mut is_stopped) = (pin!(stop), false);
    let (events, mut happened) = mpsc::unbounded_channel();
    let requests = events.clone();
    let hand_on = move |request| requests.send(Event::Request(request)).is_ok();
    // This task owns the fleet's lock: the directory stays taken until this function returns.
    let _answering = AbortOnDrop(tokio::spawn(control::serve(lock, hand_on)));
    let mut supervisor = EventLoop::new(plan, events);
    while !supervisor.look() {
        let due = supervisor.next_look();
        tokio::select! {
            Some(event) = happened.recv() => supervisor.handle(event, &mut happened),
            signal = signals.next() => if supervisor.handle_signal(signal).is_break() {
                end_at_once(&mut supervisor.fleet, &mut happened).await;
                return supervisor.conclude(FleetEnd::AtOnce);
            },
            // A future that has completed may not be polled again.
            reason = &mut stop, if !is_stopped => {
                is_stopped = true;
                supervisor.stop(reason);
            }
            () = tokio::time::sleep_until(due.into()) => {}
        }
    }
    info!(pid = std::process::id(), "fleet stopped");
    supervisor.conclude(FleetEnd::InOrder)
}

/// The way in which a fleet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetEnd {
    /// Every worker finished or handed back what it had.
    InOrder,
    /// A second signal asked for it.
    AtOnce,
}

struct EventLoop {
    fleet: FleetState,
    notifier: Notifier,
    /// The longest time between two looks at everything, whatever happens.
    look_interval: Duration,
    /// A loop that is this late was not running itself, so silence is nobody's fault.
    late: Duration,
    last_look: Instant,
    /// Nothing is judged before this moment.
    settles: Instant,
    last_status: String,
    stop_requests: StopRequests,
    has_notified_reload: bool,
}

impl EventLoop {
    fn new(plan: FleetPlan, events: mpsc::UnboundedSender<Event>) -> Self {
        let now = Instant::now();
        Self {
            look_interval: (plan.times.watchdog / LOOKS_PER_WATCHDOG).min(LONGEST_LOOK_INTERVAL),
            late: (plan.times.watchdog / 2).min(LATE),
            fleet: FleetState::new(plan, events),
            notifier: Notifier::new(),
            last_look: now,
            settles: now,
            last_status: String::new(),
            stop_requests: StopRequests::default(),
            has_notified_reload: false,
        }
    }

    /// Does what is due; returns whether the fleet has come to its end.
    fn look(&mut self) -> bool {
        let now = Instant::now();
        self.notice_absence(now);
        // Also while nothing is judged yet: systemd watches the loop, and that turns.
        self.notifier.feed_watchdog(now);
        if now < self.settles {
            return false;
        }
        // Read before `reconcile`, which may end the start.
        let was_starting = self.fleet.is_starting();
        if self.fleet.is_reloading() && !std::mem::replace(&mut self.has_notified_reload, true) {
            self.notifier.reloading();
        }
        self.fleet.reconcile(now);
        self.fleet.publish(now);
        if self.fleet.is_running() {
            self.notify_readiness(was_starting);
        }
        self.notify_status(now);
        self.fleet.is_over()
    }

    /// Notifies systemd that the start is over, or the reload.
    fn notify_readiness(&mut self, was_starting: bool) {
        if was_starting {
            info!(pid = std::process::id(), "fleet ready");
        }
        if std::mem::take(&mut self.has_notified_reload) || was_starting {
            self.notifier.ready();
        }
    }

    /// Notices that this process was not running, and leaves time to receive the messages that came meanwhile.
    fn notice_absence(&mut self, now: Instant) {
        let last_look = std::mem::replace(&mut self.last_look, now);
        let absence = now.saturating_duration_since(last_look);
        if absence > self.late {
            warn!(
                seconds = absence.as_secs_f64(),
                "the supervisor was not running; nobody is blamed for the silence"
            );
            self.settles = now + SETTLE;
            self.fleet.reset_deadlines(self.settles);
        }
    }

    /// Notifies systemd of the status, when that has changed.
    fn notify_status(&mut self, now: Instant) {
        let status = self.fleet.summary(now);
        if status != self.last_status {
            self.notifier.status(&status);
            self.last_status = status;
        }
    }

    /// Records an event, and all that came meanwhile.
    fn handle(&mut self, event: Event, happened: &mut mpsc::UnboundedReceiver<Event>) {
        self.fleet.handle(event, Instant::now());
        // All of them before the next look: a beat that lies in the channel must not count as silence.
        while let Ok(event) = happened.try_recv() {
            self.fleet.handle(event, Instant::now());
        }
    }

    fn next_look(&self) -> Instant {
        let latest = self.last_look + self.look_interval;
        let due = self.fleet.deadline(self.last_look);
        // What is overdue was done, or waits for an event.
        let soonest = self.settles.max(self.last_look + SHORTEST_PAUSE);
        due.map_or(latest, |due| due.min(latest)).max(soonest)
    }

    fn handle_signal(&mut self, signal: FleetSignal) -> ControlFlow<()> {
        match signal {
            FleetSignal::Stop(signal) if self.stop_requests.is_second(Instant::now()) => {
                warn!(signal, "ending at once; what runs goes back to the queue");
                return ControlFlow::Break(());
            }
            FleetSignal::Stop(signal) => self.stop(signal),
            FleetSignal::LoseTerminal => self.stop("SIGHUP"),
            FleetSignal::Reload => self.reload(),
            FleetSignal::More => self.scale_by(1),
            FleetSignal::Fewer => self.scale_by(-1),
        }
        ControlFlow::Continue(())
    }

    /// Begins to drain, if that has not begun.
    fn stop(&mut self, reason: &'static str) {
        if self.fleet.is_draining() {
            return;
        }
        info!(signal = reason, "asked to stop; a second signal ends it at once");
        self.notifier.stopping();
        self.fleet.drain();
        // The health process learns that the fleet is not ready before any worker is asked to go.
        self.fleet.publish(Instant::now());
    }

    fn reload(&mut self) {
        let Err(reason) = self.fleet.reload(None, Instant::now()) else {
            return;
        };
        warn!(reason, "not reloaded");
        if self.fleet.is_reloading() {
            // systemd waits for the end of a reload that is announced after its signal: the one under way.
            self.notifier.reloading();
        }
    }

    fn scale_by(&mut self, change: i32) {
        let workers = self.fleet.wanted().saturating_add_signed(change);
        if let Err(reason) = self.fleet.scale(workers) {
            warn!(reason, "not scaled");
        }
    }

    /// Returns the end of the fleet, or why it could not start.
    fn conclude(mut self, end: FleetEnd) -> Result<FleetEnd, Error> {
        match self.fleet.take_refusal() {
            None => Ok(end),
            Some((code, reason)) => Err(Error::NotStarted { code, reason }),
        }
    }
}

/// Gives the workers a moment to hand back what they have, and kills those that need longer.
async fn end_at_once(fleet: &mut FleetState, happened: &mut mpsc::UnboundedReceiver<Event>) {
    fleet.hand_back_all(Instant::now());
    if timeout(HAND_BACK_LIMIT, all_ends(fleet, happened)).await.is_ok() {
        return;
    }
    // The serving processes were killed by hand_back_all.
    fleet.kill_all();
    if timeout(KILL_LIMIT, all_ends(fleet, happened)).await.is_err() {
        warn!("some processes are not gone yet; they end with this one");
    }
}

/// Completes when all processes are gone.
async fn all_ends(fleet: &mut FleetState, happened: &mut mpsc::UnboundedReceiver<Event>) {
    while fleet.has_processes()
        && let Some(event) = happened.recv().await
    {
        fleet.handle(event, Instant::now());
    }
}

/// A task that ends with its handle.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
