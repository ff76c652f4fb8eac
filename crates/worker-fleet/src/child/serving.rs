//! The end of a process that serves a socket: the one for health, the one for HTTP.
//!
//! It knows the last snapshot of the supervisor and its age; when the supervisor is gone it shows that for a moment and
//! ends.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use durable_jobs::client::QueueProbe;
use tokio::sync::watch;
use tracing::{error, info};

use crate::Error;
use crate::health::{Application, HealthServer, Link, SnapshotSample, SnapshotSource};
use crate::signals::Signals;
use crate::snapshot::Snapshot;
use crate::supervisor::QueueAddress;
use crate::supervisor::ipc::{self, FromChild, Received, Receiver, Sender, ToServing};

/// The time between two heartbeats to the supervisor.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The time for which this process still answers when the supervisor is gone.
const FAREWELL: Duration = Duration::from_millis(500);

/// A process that was started by a supervisor to serve a socket.
pub struct ServingProcess {
    sender: Sender,
    receiver: Receiver,
    last: watch::Sender<LastSnapshot>,
    queue: watch::Sender<Option<QueueAddress>>,
}

/// The reason for the end of a serving process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingEnd {
    /// A signal asked for it.
    Stopped,
    /// The supervisor is gone.
    SupervisorGone,
}

/// The snapshots that the supervisor sends.
pub struct SupervisorFeed(watch::Receiver<LastSnapshot>);

struct LastSnapshot {
    snapshot: Option<Snapshot>,
    /// The moment at which the snapshot came, or the wait for it began.
    since: Instant,
    link: Link,
}

impl ServingProcess {
    /// Opens the channel that this process inherited as its standard input.
    ///
    /// # Errors
    /// [`Error::NoSupervisor`].
    pub fn inherited() -> Result<Self, Error> {
        let (sender, receiver) = ipc::inherited().map_err(|_| Error::NoSupervisor)?;
        let last = LastSnapshot {
            snapshot: None,
            since: Instant::now(),
            link: Link::Alive,
        };
        Ok(Self {
            sender,
            receiver,
            last: watch::Sender::new(last),
            queue: watch::Sender::new(None),
        })
    }

    /// Takes over the socket that the supervisor has bound and lent to this process as its standard output.
    ///
    /// # Errors
    /// When there is no such socket.
    pub fn listener(&self) -> Result<TcpListener, Error> {
        inherited_listener().map_err(Error::system("taking over the listening socket"))
    }

    /// Returns the snapshots that the supervisor sends.
    #[must_use]
    pub fn feed(&self) -> SupervisorFeed {
        SupervisorFeed(self.last.subscribe())
    }

    /// Watches the place of the jobs, which the supervisor tells at once.
    #[must_use]
    pub fn queue(&self) -> watch::Receiver<Option<QueueAddress>> {
        self.queue.subscribe()
    }

    /// Runs `serve`, which is to end soon after what it is given completes: when a signal comes or the supervisor, whose
    /// process id is `supervisor`, is gone.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub async fn run<S: Future<Output = ()>>(
        self,
        supervisor: u32,
        serve: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> S,
    ) -> Result<ServingEnd, Error> {
        let Self {
            mut sender,
            receiver,
            last,
            queue,
        } = self;
        let mut signals = Signals::listen()?;
        let (end, mut ended) = watch::channel(ServingEnd::Stopped);
        let stop = async move {
            tokio::select! {
                () = receive(receiver, &last, &queue) => {
                    error!(supervisor, "the supervisor is gone; ending");
                    tokio::time::sleep(FAREWELL).await;
                    end.send_replace(ServingEnd::SupervisorGone);
                }
                signal = signals.next() => info!(pid = std::process::id(), signal, "serving process stopped"),
                // In its own branch it would end the other two; a supervisor that does not listen any more is noticed
                // there.
                () = async { send_beats(&mut sender).await; std::future::pending().await } => {}
            }
        };
        serve(Box::pin(stop)).await;
        Ok(*ended.borrow_and_update())
    }

    /// Answers for the health of the fleet until its end; `jobs_version` is the version of the jobs that workers take.
    ///
    /// # Errors
    /// When there is no socket, or signals cannot be listened to.
    pub async fn run_health(
        self,
        application: Application,
        supervisor: u32,
        jobs_version: &str,
    ) -> Result<ServingEnd, Error> {
        let (probe, probes) = watch::channel(None);
        let server = HealthServer::new(application, self.listener()?, self.feed(), probes)?;
        let mut queue = self.queue();
        let know_queue = async {
            while queue.changed().await.is_ok() {
                let at = queue.borrow_and_update().clone();
                match at.map(|at| QueueProbe::new(&at.url, &at.queue, jobs_version)) {
                    Some(Ok(ready)) => drop(probe.send_replace(Some(ready))),
                    Some(Err(error)) => error!(%error, "the database cannot be asked"),
                    None => {}
                }
            }
            // Without a sender this must not complete, or it would end the server beside it.
            std::future::pending::<()>().await;
        };
        self.run(supervisor, |stop| async {
            tokio::select! {
                () = server.run(stop) => {}
                () = know_queue => {}
            }
        })
        .await
    }
}

impl SnapshotSource for SupervisorFeed {
    fn sample(&self) -> SnapshotSample {
        let last = self.0.borrow();
        SnapshotSample {
            snapshot: last.snapshot.clone(),
            age: last.since.elapsed(),
            link: last.link,
        }
    }
}

/// Handles the messages of the supervisor, until it is gone.
async fn receive(
    mut receiver: Receiver,
    last: &watch::Sender<LastSnapshot>,
    queue: &watch::Sender<Option<QueueAddress>>,
) {
    while let Some(received) = receiver.receive().await {
        match received {
            Received::Message(ToServing::Database(at)) => drop(queue.send_replace(Some(at))),
            Received::Message(ToServing::State { snapshot }) => {
                last.send_modify(|last| (last.snapshot, last.since) = (Some(*snapshot), Instant::now()));
            }
            Received::Unknown => {}
        }
    }
    last.send_modify(|last| last.link = Link::Gone);
}

/// Sends heartbeats until nobody receives them.
async fn send_beats(sender: &mut Sender) {
    let beat = FromChild::Beat { report: None };
    while sender.send(&beat).await.is_ok() {
        tokio::time::sleep(BEAT_INTERVAL).await;
    }
}

fn inherited_listener() -> io::Result<TcpListener> {
    let listener = TcpListener::from(io::stdout().as_fd().try_clone_to_owned()?);
    // Standard output may be anything; only a socket has an address.
    listener.local_addr()?;
    Ok(listener)
}
