//! The health endpoints: what a server says of itself over HTTP.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | whether this process and the one that it speaks for are alive; it asks nobody |
//! | `/readyz` | whether a job that is submitted now would be taken up |
//! | `/health` | everything that is known, as one JSON object |
//! | `/metrics` | the same in numbers, for Prometheus |
//!
//! What is known comes from a [`Source`], which is the server itself or what its supervisor said last, and from a
//! question to the database, which all requests share (`probe`). What follows from it is decided without any
//! input or output in `current_view` and `verdict`; `routes` puts it into answers and `server` is the server.
//!
//! Nothing that is old counts as good: a source that is silent for over ten seconds makes every worker unknown, an
//! answer of the database that is over five seconds old makes it unknown, and unknown is never healthy.
//!
//! It does not promise that what it says is still true when it is read, and it has no say in anything: `GET` changes
//! nothing, and there is nothing but `GET`.

mod current_view;
mod one_worker;
mod probe;
mod routes;
mod server;
mod verdict;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use durable_jobs::client::QueueProbe;
use tokio::sync::watch;
use tracing::{error, info};

use crate::Error;
use crate::snapshot::Snapshot;
pub use one_worker::OneWorker;
use probe::Questions;
pub use routes::Application;
use routes::Known;

/// Where the server's state comes from.
pub trait Source: Send + Sync + 'static {
    /// Returns what is known at this moment; never blocks.
    fn look(&self) -> Sighting;
}

/// What is known of a server, and how well.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The last snapshot; absent before the first one.
    pub snapshot: Option<Snapshot>,
    /// How long ago it was received, or how long it has been waited for.
    pub age: Duration,
    /// Whether there can be another one.
    pub link: Link,
}

/// The way to whoever makes the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// This process makes them itself.
    InProcess,
    /// The supervisor's end of the pipe is open.
    Alive,
    /// The supervisor's end of the pipe was closed.
    Gone,
}

/// The server of the endpoints.
pub struct HealthServer {
    listener: TcpListener,
    known: Arc<Known>,
    capacity: usize,
}

impl HealthServer {
    /// Prepares a server on a bound listener; connections wait until [`HealthServer::run`].
    ///
    /// The probe may become known, and change, at any time; until there is one the database is unknown. The process's
    /// limit of open files is raised as far as it may be.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn new(
        application: Application,
        listener: TcpListener,
        source: impl Source,
        probes: watch::Receiver<Option<QueueProbe>>,
    ) -> Result<Self, Error> {
        listener
            .set_nonblocking(true)
            .map_err(Error::system("preparing the health listener"))?;
        let known = Known {
            application,
            source: Box::new(source),
            questions: Questions::new(probes),
        };
        Ok(Self {
            listener,
            known: Arc::new(known),
            capacity: server::capacity(),
        })
    }

    /// Answers until `stop` completes, then lets answers under way finish, for at most 1 s, and returns.
    ///
    /// The questions to the database are asked on the runtime that this runs on.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return error!(%error, "health cannot be answered"),
        };
        if let Ok(address) = listener.local_addr() {
            info!(%address, "health");
        }
        let router = routes::router(Arc::clone(&self.known));
        tokio::select! {
            () = server::serve(listener, router, self.capacity, stop) => {}
            () = self.known.questions.keep_recent() => {}
        }
    }
}

/// Binds the address of the endpoints.
///
/// # Errors
/// When it cannot be had, above all when it is in use.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(|source| Error::HealthAddress { address, source })
}
