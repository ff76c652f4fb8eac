//! A worker's link to its supervisor: heartbeats while it works, and the reason when it gives up.

use std::io;
use std::time::Duration;

use durable_jobs::worker::WorkerObserver;
use serde_json::Value;
use tokio::sync::watch;

use crate::Error;
use crate::supervisor::WorkerFailure;
use crate::supervisor::ipc::{self, FromChild, Receiver, Sender};

/// A heartbeat is sent this many times before the watchdog bites.
const BEATS_PER_WATCHDOG: u32 = 20;

/// The shortest time between two heartbeats.
const SHORTEST_BEAT_INTERVAL: Duration = Duration::from_millis(50);

/// The longest time between two heartbeats.
const LONGEST_BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The channel of a worker to the supervisor that started it.
pub struct SupervisorLink {
    sender: Sender,
    receiver: Receiver,
}

impl SupervisorLink {
    /// Opens the channel that this process inherited as its standard input.
    ///
    /// # Errors
    /// [`Error::NoSupervisor`].
    pub fn inherited() -> Result<Self, Error> {
        let (sender, receiver) = ipc::inherited().map_err(|_| Error::NoSupervisor)?;
        Ok(Self { sender, receiver })
    }

    /// Sends heartbeats until the supervisor is gone; reports come with them once there is a worker to observe.
    ///
    /// It has to run on the async side like the worker's own heartbeat: a loop that is stuck is silent here too, and a
    /// busy processor is not.
    pub async fn report(&mut self, observed: watch::Receiver<Option<WorkerObserver>>, watchdog: Duration) {
        let interval = (watchdog / BEATS_PER_WATCHDOG).clamp(SHORTEST_BEAT_INTERVAL, LONGEST_BEAT_INTERVAL);
        tokio::select! {
            () = send_beats(&mut self.sender, observed, interval) => {}
            () = closed(&mut self.receiver) => {}
        }
    }

    /// Tells the supervisor why the worker gives up.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn give_up(mut self, failure: WorkerFailure) -> io::Result<()> {
        self.sender.send(&FromChild::Failed(failure)).await
    }

    /// Tells the supervisor why a worker gives up that has no async side yet.
    ///
    /// # Errors
    /// When this process has no supervisor, or no longer.
    pub fn give_up_early(failure: WorkerFailure) -> io::Result<()> {
        ipc::send_now(&FromChild::Failed(failure))
    }
}

async fn send_beats(
    sender: &mut Sender,
    mut observed: watch::Receiver<Option<WorkerObserver>>,
    interval: Duration,
) {
    loop {
        let worker = observed.borrow_and_update().clone();
        let report = worker.as_ref().map(WorkerObserver::report);
        let is_untried = report.as_ref().is_some_and(|report| report.finished == 0);
        if sender.send(&FromChild::Beat { report }).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            // The supervisor hears at once that it takes jobs, and that it has finished the first one.
            Ok(()) = observed.changed() => {}
            () = first_job(worker.filter(|_| is_untried)) => {}
        }
    }
}

/// Completes when the worker has finished its first job; never without a worker.
async fn first_job(worker: Option<WorkerObserver>) {
    match worker {
        Some(worker) => worker.has_finished_a_job().await,
        None => std::future::pending().await,
    }
}

/// Completes when the supervisor is gone.
async fn closed(receiver: &mut Receiver) {
    while receiver.receive::<Value>().await.is_some() {}
}
