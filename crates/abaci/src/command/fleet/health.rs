//! `abaci fleet health`: the health process of a fleet, started by its supervisor and by nobody else.
//!
//! It knows what the supervisor has told it last and for how long that has been; when the supervisor is gone it says so
//! for a moment and ends.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use durable_jobs::client::QueueProbe;
use fibonacci_jobs::VERSION;
use rustix::process::Signal;
use tokio::sync::watch;
use tracing::{error, info};

use crate::exit::Exit;
use crate::health::{HealthServer, Link, Sighting, Source};
use crate::parent::die_with_parent;
use crate::signals::Signals;
use crate::snapshot::Snapshot;
use crate::supervisor::{FromHealth, Heard, Receiver, Sender, ToHealth, inherited};
use crate::this_process;

/// How often the supervisor hears that this process answers.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// For how long it is said that the supervisor is gone, before this process is gone too.
const FAREWELL: Duration = Duration::from_millis(500);

/// The health process of a fleet.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Process id of the supervisor
    #[arg(long)]
    supervisor: u32,
}

/// What the supervisor has said last.
#[derive(Clone)]
struct Told(Arc<Mutex<Known>>);

struct Known {
    snapshot: Option<Snapshot>,
    /// When the snapshot came, or the wait for it began.
    since: Instant,
    is_supervisor_gone: bool,
}

impl HealthArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let (mut sender, receiver) = super::channel_to_supervisor(inherited())?;
        // Not a signal that ends it: a stopped process is to wake up, see the end of the channel and say so.
        die_with_parent(self.supervisor, Signal::CONT)?;
        this_process::take_name();
        let mut signals = Signals::listen()?;
        let listener = inherited_listener().context("taking over the listening socket")?;
        let (told, (probe, probes)) = (Told::nothing_yet(), watch::channel(None));
        let server = HealthServer::new(listener, told.clone(), probes)?;
        let stop = async {
            tokio::select! {
                () = listen(receiver, &told, &probe) => {
                    error!(supervisor = self.supervisor, "the supervisor is gone; ending");
                    tokio::time::sleep(FAREWELL).await;
                    Exit::Unreachable
                }
                signal = signals.next() => {
                    info!(pid = std::process::id(), signal, "health process stopped");
                    Exit::Done
                }
                // In its own branch it would end the other two.
                () = async { beat(&mut sender).await; std::future::pending().await } => Exit::Done,
            }
        };
        let (ended, end) = tokio::sync::oneshot::channel();
        let stop = async {
            // The other end waits below.
            let _ = ended.send(stop.await);
        };
        server.run(stop).await;
        Ok(end.await.unwrap_or(Exit::Done))
    }
}

impl Source for Told {
    fn look(&self) -> Sighting {
        let known = self.known();
        Sighting {
            snapshot: known.snapshot.clone(),
            age: known.since.elapsed(),
            link: if known.is_supervisor_gone {
                Link::Gone
            } else {
                Link::Alive
            },
        }
    }
}

impl Told {
    fn nothing_yet() -> Self {
        Self(Arc::new(Mutex::new(Known {
            snapshot: None,
            since: Instant::now(),
            is_supervisor_gone: false,
        })))
    }

    fn heard(&self, snapshot: Snapshot) {
        let mut known = self.known();
        known.snapshot = Some(snapshot);
        known.since = Instant::now();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // No change can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in what the supervisor says, until it is gone.
async fn listen(mut receiver: Receiver, told: &Told, probe: &watch::Sender<Option<QueueProbe>>) {
    while let Some(heard) = receiver.hear::<ToHealth>().await {
        let Heard::Message(message) = heard else { continue };
        match message {
            ToHealth::Database { url, queue } => match QueueProbe::new(&url, &queue, VERSION) {
                Ok(ready) => {
                    probe.send_replace(Some(ready));
                }
                Err(error) => error!(%error, "the database cannot be asked"),
            },
            ToHealth::State { snapshot } => told.heard(*snapshot),
        }
    }
    told.known().is_supervisor_gone = true;
}

/// Tells the supervisor that this process answers; a supervisor that does not listen is noticed elsewhere.
async fn beat(sender: &mut Sender) {
    while sender.say(&FromHealth::Beat).await.is_ok() {
        tokio::time::sleep(BEAT_INTERVAL).await;
    }
}

/// The socket that the supervisor has bound and lent to this process as its standard output.
fn inherited_listener() -> io::Result<TcpListener> {
    let listener = TcpListener::from(io::stdout().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    Ok(listener)
}
