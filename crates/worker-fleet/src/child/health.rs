//! The health process of a fleet.
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
use crate::supervisor::ipc::{self, FromChild, Received, Receiver, Sender, ToHealth};

/// The time between two heartbeats to the supervisor.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The time for which this process still answers when the supervisor is gone.
const FAREWELL: Duration = Duration::from_millis(500);

/// A health process that was started by a supervisor.
pub struct HealthProcess {
    application: Application,
    sender: Sender,
    receiver: Receiver,
}

/// The reason for the end of a health process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthProcessEnd {
    /// A signal asked for it.
    Stopped,
    /// The supervisor is gone.
    SupervisorGone,
}

/// The snapshots that the supervisor sends.
struct SupervisorFeed(watch::Receiver<LastSnapshot>);

struct LastSnapshot {
    snapshot: Option<Snapshot>,
    /// The moment at which the snapshot came, or the wait for it began.
    since: Instant,
    link: Link,
}

impl HealthProcess {
    /// Opens the channel that this process inherited as its standard input.
    ///
    /// # Errors
    /// [`Error::NoSupervisor`].
    pub fn inherited(application: Application) -> Result<Self, Error> {
        let (sender, receiver) = ipc::inherited().map_err(|_| Error::NoSupervisor)?;
        Ok(Self {
            application,
            sender,
            receiver,
        })
    }

    /// Answers on the socket that this process inherited as its standard output, until a signal comes or the
    /// supervisor, whose process id is `supervisor`, is gone. `jobs_version` is the version of the jobs that workers take.
    ///
    /// # Errors
    /// When there is no such socket, or signals cannot be listened to.
    pub async fn run(self, supervisor: u32, jobs_version: &str) -> Result<HealthProcessEnd, Error> {
        let Self {
            application,
            mut sender,
            receiver,
        } = self;
        let mut signals = Signals::listen()?;
        let listener = inherited_listener().map_err(Error::system("taking over the listening socket"))?;
        let (last, feed) = watch::channel(LastSnapshot {
            snapshot: None,
            since: Instant::now(),
            link: Link::Alive,
        });
        let (probe, probes) = watch::channel(None);
        let server = HealthServer::new(application, listener, SupervisorFeed(feed), probes)?;
        let mut end = HealthProcessEnd::Stopped;
        let stop = async {
            tokio::select! {
                () = receive(receiver, &last, &probe, jobs_version) => {
                    error!(supervisor, "the supervisor is gone; ending");
                    tokio::time::sleep(FAREWELL).await;
                    end = HealthProcessEnd::SupervisorGone;
                }
                signal = signals.next() => info!(pid = std::process::id(), signal, "health process stopped"),
                // In its own branch it would end the other two; a supervisor that does not listen any more is noticed
                // there.
                () = async { send_beats(&mut sender).await; std::future::pending().await } => {}
            }
        };
        server.run(stop).await;
        Ok(end)
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
    probe: &watch::Sender<Option<QueueProbe>>,
    jobs_version: &str,
) {
    while let Some(received) = receiver.receive().await {
        match received {
            Received::Message(ToHealth::Database(at)) => {
                match QueueProbe::new(&at.url, &at.queue, jobs_version) {
                    Ok(ready) => drop(probe.send_replace(Some(ready))),
                    Err(error) => error!(%error, "the database cannot be asked"),
                }
            }
            Received::Message(ToHealth::State { snapshot }) => {
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

/// Takes over the socket that the supervisor has bound and lent to this process as its standard output.
fn inherited_listener() -> io::Result<TcpListener> {
    let listener = TcpListener::from(io::stdout().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    Ok(listener)
}
