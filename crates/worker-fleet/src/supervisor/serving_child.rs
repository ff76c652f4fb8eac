//! A process of a fleet that serves a listening socket, as its supervisor sees it: the one for health, the one for HTTP.
//!
//! The listening socket stays with the supervisor and is lent to each of its processes as its standard output, the way
//! that inetd lends it: when the process is killed, connections wait in the backlog for the next one instead of being
//! refused.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::event::{Event, ServingRole};
use super::ipc::{FromChild, QueueAddress, Received, Sender, ToServing};
use super::process::{Child, ChildEvent, Intensity, ManagedProcess, ProcessSlot, Program, RunOutcome};
use crate::snapshot::{ServingView, Snapshot};

/// The time that the process has to end when asked to: it lets answers under way finish for a second.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A run of at least this length, with a heartbeat, counts as useful.
const STEADY_AFTER: Duration = Duration::from_secs(1);

/// A serving process and the socket that it listens on.
pub struct ServingChild {
    role: ServingRole,
    program: Program,
    listener: TcpListener,
    address: String,
    queue: QueueAddress,
    state: watch::Sender<Option<Snapshot>>,
    pub(super) process: ProcessSlot<()>,
    incarnations: u64,
}

impl ServingChild {
    /// Prepares a health process for this socket, and does not start it yet.
    ///
    /// `queue` is the one whose state it asks for.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn health(
        program: Program,
        listener: TcpListener,
        queue: QueueAddress,
        intensity: Intensity,
    ) -> io::Result<Self> {
        Self::new(ServingRole::Health, program, listener, (queue, intensity))
    }

    /// Prepares a web process in the same way.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn web(
        program: Program,
        listener: TcpListener,
        queue: QueueAddress,
        intensity: Intensity,
    ) -> io::Result<Self> {
        Self::new(ServingRole::Web, program, listener, (queue, intensity))
    }

    fn new(
        role: ServingRole,
        program: Program,
        listener: TcpListener,
        (queue, intensity): (QueueAddress, Intensity),
    ) -> io::Result<Self> {
        Ok(Self {
            role,
            program,
            address: listener.local_addr()?.to_string(),
            listener,
            queue,
            state: watch::Sender::new(None),
            process: ProcessSlot::new(intensity),
            incarnations: 0,
        })
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts the process if it is time.
    pub(super) fn start_if_due(&mut self, events: &mpsc::UnboundedSender<Event>, now: Instant) {
        if !self.process.is_due_to_start(now) {
            return;
        }
        self.incarnations += 1;
        match self.start(events.clone()) {
            Ok(child) => {
                info!(
                    pid = child.pid,
                    address = self.address,
                    "{} process started",
                    self.role.name()
                );
                self.process.fill(child, self.incarnations);
            }
            Err(error) => {
                self.process.could_not_start(now);
                warn!(%error, "the {} process could not be started; trying again", self.role.name());
            }
        }
    }

    fn start(&self, events: mpsc::UnboundedSender<Event>) -> io::Result<Child> {
        let listener = OwnedFd::from(self.listener.try_clone()?);
        let (role, incarnation) = (self.role, self.incarnations);
        let publish = move |event| {
            // Nobody listens any more only when the supervisor is ending.
            let _ = events.send(Event::Serving {
                role,
                incarnation,
                event,
            });
        };
        let program = self.program.or_as_it_runs();
        let mut child = program.start(Vec::new(), Some(listener), publish)?;
        if let Some(sender) = child.sender.take() {
            // It ends with the child, or with us.
            tokio::spawn(send_states(
                sender,
                ToServing::Database(self.queue.clone()),
                self.state.subscribe(),
            ));
        }
        Ok(child)
    }

    /// Publishes a snapshot to the process; a slow one gets the latest when it is ready for it.
    pub(super) fn publish(&self, snapshot: Snapshot) {
        self.state.send_replace(Some(snapshot));
    }

    /// Records an event of a process; one of an earlier process counts for nothing.
    pub(super) fn handle(&mut self, incarnation: u64, event: &ChildEvent, now: Instant) {
        let message = match event {
            ChildEvent::Received(message) => message,
            ChildEvent::Ended(status) => return self.handle_end(incarnation, *status, now),
        };
        match (self.process.process_of(incarnation), message) {
            (Some(process), Received::Message(FromChild::Beat { .. })) => process.beat(now),
            (Some(process), _) => process.touch(now),
            (None, _) => {}
        }
    }

    fn handle_end(&mut self, incarnation: u64, status: ExitStatus, now: Instant) {
        let rate = |process: &ManagedProcess<()>| {
            let is_steady = now.saturating_duration_since(process.child.started) >= STEADY_AFTER;
            if process.has_beaten && is_steady {
                RunOutcome::Useful
            } else {
                RunOutcome::Futile
            }
        };
        let Some(ended) = self.process.ended(incarnation, status, now, rate) else {
            return;
        };
        if let Some(start) = self.process.next_start() {
            let restart_in_seconds = start.saturating_duration_since(now).as_secs_f64();
            let name = self.role.name();
            warn!(pid = ended.child.pid, %status, restart_in_seconds, "{name} process ended; starting another");
        }
    }

    /// Kills a process that is silent for longer than `watchdog`, or does not end when asked to.
    pub(super) fn kill_if_due(&mut self, watchdog: Duration, now: Instant) {
        let Some(process) = self.process.current.as_mut().filter(|process| !process.is_killed) else {
            return;
        };
        let reason = process
            .silent_beyond(watchdog, now)
            .or_else(|| process.stopping_beyond(END_LIMIT, now));
        if let Some(reason) = reason {
            warn!(
                pid = process.child.pid,
                reason,
                "killing the {} process",
                self.role.name()
            );
            process.kill(&reason);
        }
    }

    /// Ends the process at once.
    pub(super) fn kill(&mut self, now: Instant) {
        // One that was asked to go is not followed by another.
        self.process.stop(now);
        self.process.kill("the fleet was ended at once");
    }

    /// Describes the process to others.
    pub(super) fn view(&self, now: Instant) -> ServingView {
        ServingView {
            pid: self.process.pid(),
            address: self.address.clone(),
            restarts: self.process.restarts,
            last_exit: self.process.last_exit(now),
        }
    }
}

/// Sends a serving process the address of the jobs, and then each new snapshot.
async fn send_states(mut sender: Sender, database: ToServing, mut state: watch::Receiver<Option<Snapshot>>) {
    if sender.send(&database).await.is_err() {
        return;
    }
    loop {
        // A copy: the borrow is a lock, and would be held while a slow process reads.
        let snapshot = state.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            let message = ToServing::State {
                snapshot: Box::new(snapshot),
            };
            if sender.send(&message).await.is_err() {
                return;
            }
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
