//! The health process of a fleet, as its supervisor sees it.
//!
//! The listening socket stays with the supervisor and is lent to each health process as its standard output, the way that
//! inetd lends it: when the process is killed, connections wait in the backlog for the next one instead of being refused.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::child::{Child, News, Program};
use super::end::End;
use super::restarts::{Intensity, Restarts, Run};
use crate::snapshot::{HealthView, Snapshot};
use crate::supervisor::Event;
use crate::supervisor::ipc::{FromHealth, Sender, ToHealth};

/// How long the process may take to end when asked to: it lets answers under way finish for a second.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A health process that answers for this long has got somewhere.
const STEADY_AFTER: Duration = Duration::from_secs(1);

/// Where the health process listens, and the process.
pub struct HealthChild {
    program: Program,
    arguments: Vec<String>,
    listener: TcpListener,
    address: String,
    database: ToHealth,
    state: watch::Sender<Option<Snapshot>>,
    process: Option<Running>,
    /// Tells the messages of a process from those of its predecessors.
    incarnation: u64,
    start: Instant,
    history: Restarts,
    restarts: u32,
    last_end: Option<End>,
}

struct Running {
    child: Child,
    heard: Instant,
    has_beaten: bool,
    /// Since when it has been asked to end.
    stopping: Option<Instant>,
    kill_reason: Option<String>,
}

impl HealthChild {
    /// A health process for this socket, not started yet.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(
        program: Program,
        arguments: Vec<String>,
        listener: TcpListener,
        database: ToHealth,
        intensity: Intensity,
    ) -> std::io::Result<Self> {
        Ok(Self {
            program,
            arguments,
            address: listener.local_addr()?.to_string(),
            listener,
            database,
            state: watch::Sender::new(None),
            process: None,
            incarnation: 0,
            start: Instant::now(),
            history: Restarts::new(intensity),
            restarts: 0,
            last_end: None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.process.is_none()
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|running| running.child.pid)
    }

    /// When the next process is due, while there is none.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.process.is_none().then_some(self.start)
    }

    /// Starts the process if it is time.
    pub(crate) fn start_if_due(&mut self, events: &mpsc::UnboundedSender<Event>, now: Instant) {
        if self.process.is_some() || self.start > now {
            return;
        }
        self.incarnation += 1;
        match self.start(events.clone()) {
            Ok(child) => {
                info!(pid = child.pid, address = self.address, "health process started");
                self.restarts += u32::from(self.last_end.is_some());
                self.process = Some(Running {
                    heard: child.started,
                    has_beaten: false,
                    child,
                    stopping: None,
                    kill_reason: None,
                });
            }
            Err(error) => {
                self.start = now + self.history.after_end(now, Run::Futile).length;
                warn!(%error, "the health process could not be started; trying again");
            }
        }
    }

    fn start(&self, events: mpsc::UnboundedSender<Event>) -> std::io::Result<Child> {
        let listener = OwnedFd::from(self.listener.try_clone()?);
        let incarnation = self.incarnation;
        let tell = move |news| {
            // Nobody listens any more only when the supervisor is ending.
            let _ = events.send(Event::Health { incarnation, news });
        };
        let mut child = self
            .program
            .or_as_it_runs()
            .start(&self.arguments, Some(listener), tell)?;
        if let Some(sender) = child.sender.take() {
            // It ends with the child, or with us.
            tokio::spawn(tell_state(sender, self.database.clone(), self.state.subscribe()));
        }
        Ok(child)
    }

    /// Lets the process know how things stand; a slow one gets the latest when it is ready for it.
    pub(crate) fn tell(&self, snapshot: Snapshot) {
        self.state.send_replace(Some(snapshot));
    }

    /// Takes in what became known of a process; one that is no longer there has nothing to say.
    pub(crate) fn take_in(&mut self, incarnation: u64, news: &News<FromHealth>, now: Instant) {
        if incarnation != self.incarnation {
            return;
        }
        match news {
            News::Said(FromHealth::Beat) => self.beaten(now),
            News::Lives => self.forgive(now),
            News::Ended(status) => self.ended(*status, now),
        }
    }

    fn beaten(&mut self, now: Instant) {
        if let Some(running) = &mut self.process {
            running.has_beaten = true;
            running.heard = now;
        }
    }

    fn ended(&mut self, status: ExitStatus, now: Instant) {
        let Some(running) = self.process.take() else {
            return;
        };
        let pid = running.child.pid;
        let end = End::new(pid, running.child.started, status, running.kill_reason, now);
        if running.stopping.is_none() {
            let is_useful = running.has_beaten && end.ran() >= STEADY_AFTER;
            let run = if is_useful { Run::Useful } else { Run::Futile };
            let pause = self.history.after_end(now, run);
            self.start = now + pause.length;
            let restart_in_seconds = pause.length.as_secs_f64();
            warn!(pid, %status, restart_in_seconds, "health process ended; starting another");
        }
        self.last_end = Some(end);
    }

    /// Kills a process that is silent for longer than `watchdog`, or does not end when asked to.
    pub(crate) fn kill_if_due(&mut self, watchdog: Duration, now: Instant) {
        let Some(running) = self
            .process
            .as_mut()
            .filter(|running| running.kill_reason.is_none())
        else {
            return;
        };
        let silence = now.saturating_duration_since(running.heard);
        let asked = running.stopping.map(|asked| now.saturating_duration_since(asked));
        let reason = if silence > watchdog {
            format!("no heartbeat for {:.1} s", silence.as_secs_f64())
        } else if asked.is_some_and(|asked| asked > END_PATIENCE) {
            "it did not end when asked to".to_owned()
        } else {
            return;
        };
        warn!(pid = running.child.pid, reason, "killing the health process");
        running.kill_reason = Some(reason);
        running.child.signal(Signal::KILL);
    }

    /// Counts silence from now on.
    pub(crate) fn forgive(&mut self, now: Instant) {
        if let Some(running) = &mut self.process {
            running.heard = now;
        }
    }

    /// Asks the process to end, once.
    pub(crate) fn stop(&mut self, now: Instant) {
        if let Some(running) = &mut self.process
            && running.stopping.is_none()
        {
            running.stopping = Some(now);
            running.child.signal(Signal::TERM);
        }
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self, now: Instant) {
        if let Some(running) = &mut self.process {
            running.stopping.get_or_insert(now);
            running.child.signal(Signal::KILL);
        }
    }

    pub(crate) fn view(&self, now: Instant) -> HealthView {
        HealthView {
            pid: self.pid(),
            address: self.address.clone(),
            restarts: self.restarts,
            last_exit: self.last_end.as_ref().map(|end| end.view(now)),
        }
    }
}

/// Tells a health process where the jobs are, and then how things stand, whenever that changes.
async fn tell_state(mut sender: Sender, database: ToHealth, mut state: watch::Receiver<Option<Snapshot>>) {
    if sender.say(&database).await.is_err() {
        return;
    }
    loop {
        let snapshot = state.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            let message = ToHealth::State {
                snapshot: Box::new(snapshot),
            };
            if sender.say(&message).await.is_err() {
                return;
            }
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
