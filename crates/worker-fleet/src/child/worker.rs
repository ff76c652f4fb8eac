//! A worker's link to its supervisor: heartbeats while it works, the reason when it gives up, and the end of the process before it.

use std::io;
use std::time::{Duration, Instant};

use durable_jobs::worker::WorkerObserver;
use tokio::sync::watch;

use crate::Error;
use crate::snapshot::WorkerExit;
use crate::supervisor::WorkerFailure;
use crate::supervisor::ipc::{self, FromChild, Received, Receiver, Sender, ToWorker};

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
    predecessor: watch::Sender<Option<Predecessor>>,
}

/// The end of the process that was in the slot before.
#[derive(Debug, Clone)]
pub struct Predecessor {
    /// The end, in the supervisor's words.
    pub exit: WorkerExit,
    /// The moment at which it was told.
    pub told: Instant,
}

impl Predecessor {
    /// The time since its end.
    #[must_use]
    pub fn age(&self) -> Duration {
        let before = Duration::try_from_secs_f64(self.exit.age_seconds).unwrap_or_default();
        before.saturating_add(self.told.elapsed())
    }
}

impl SupervisorLink {
    /// Opens the channel that this process inherited as its standard input.
    ///
    /// # Errors
    /// [`Error::NoSupervisor`].
    pub fn inherited() -> Result<Self, Error> {
        let (sender, receiver) = ipc::inherited().map_err(|_| Error::NoSupervisor)?;
        Ok(Self {
            sender,
            receiver,
            predecessor: watch::Sender::new(None),
        })
    }

    /// Watches the end of the last process in the slot, which arrives while [`SupervisorLink::report`] runs.
    #[must_use]
    pub fn predecessor(&self) -> watch::Receiver<Option<Predecessor>> {
        self.predecessor.subscribe()
    }

    /// Sends heartbeats until the supervisor is gone; reports come with them once there is a worker to observe.
    ///
    /// It has to run on the async side like the worker's own heartbeat: a loop that is stuck is silent here too, and a
    /// busy processor is not.
    pub async fn report(&mut self, observed: watch::Receiver<Option<WorkerObserver>>, watchdog: Duration) {
        let interval = (watchdog / BEATS_PER_WATCHDOG).clamp(SHORTEST_BEAT_INTERVAL, LONGEST_BEAT_INTERVAL);
        tokio::select! {
            () = send_beats(&mut self.sender, observed, interval) => {}
            () = listen(&mut self.receiver, &self.predecessor) => {}
        }
    }

    /// Sends the supervisor the reason why the worker gives up.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn give_up(mut self, failure: WorkerFailure) -> io::Result<()> {
        self.sender.send(&FromChild::Failed(failure)).await
    }

    /// Sends the reason without an async runtime, for a worker that has none yet.
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
            // A beat goes out at once when it begins to take jobs, and when its first job is finished.
            Ok(()) = observed.changed() => {}
            // Only until then: afterwards it completes at once, and beats would go out without a pause.
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

/// Receives the supervisor's messages until it is gone.
async fn listen(receiver: &mut Receiver, predecessor: &watch::Sender<Option<Predecessor>>) {
    while let Some(message) = receiver.receive().await {
        if let Received::Message(ToWorker::Predecessor { exit }) = message {
            let told = Instant::now();
            predecessor.send_replace(Some(Predecessor { exit, told }));
        }
    }
}
