//! The health endpoints: the state of a server over HTTP.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | whether this process and the one that it speaks for are alive; it asks nobody |
//! | `/readyz` | whether a job that is submitted now would be taken up |
//! | `/health` | everything that is known, as one JSON object |
//! | `/metrics` | the same in numbers, for Prometheus |
//!
//! The facts come from a [`SnapshotSource`], which is the server itself or the last message of its supervisor, and from
//! a question to the database, which all requests share.
//!
//! Nothing that is old counts as good: a source that is silent for over ten seconds makes every worker unknown, an
//! answer of the database that is over five seconds old makes it unknown, and unknown is never healthy.
//!
//! It does not promise that what it says is still true when it is read, and it has no say in anything: `GET` changes
//! nothing, and there is nothing but `GET`.
//!
//! # Layout
//!
//! | module | holds |
//! |---|---|
//! | `routes` | the paths and their answers; `routes/document` is `/health`, `routes/metrics` is `/metrics` |
//! | `probe` | the question to the database, asked once for all requests |
//! | `verdict` | what follows from what is known, without input or output: healthy or not, ready or not, and why |
//! | `current_view` | a sample as of now: ages go on, and what is too old is unknown |
//! | `one_worker` | the source of a server of one worker without a supervisor |
//! | `sample` | the source of snapshots |
//! | `application` | the name and version under which answers are given |

mod application;
mod current_view;
mod one_worker;
mod probe;
mod routes;
mod sample;
mod verdict;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use durable_jobs::client::QueueProbe;
use tokio::sync::watch;
use tracing::{error, info};

use crate::Error;
use crate::http::{self, HttpLimits, WRITE_TIMEOUT};
pub use application::Application;
pub use one_worker::OneWorker;
use probe::DatabaseProbe;
use routes::Endpoints;
pub use sample::{Link, SnapshotSample, SnapshotSource};

/// The longest life of a connection.
const LIFETIME: Duration = Duration::from_mins(5);

/// The server of the endpoints.
pub struct HealthServer {
    listener: TcpListener,
    endpoints: Arc<Endpoints>,
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
        source: impl SnapshotSource,
        probes: watch::Receiver<Option<QueueProbe>>,
    ) -> Result<Self, Error> {
        listener
            .set_nonblocking(true)
            .map_err(Error::system("preparing the health listener"))?;
        let endpoints = Endpoints {
            application,
            source: Box::new(source),
            probe: DatabaseProbe::new(probes),
        };
        Ok(Self {
            listener,
            endpoints: Arc::new(endpoints),
            capacity: http::capacity(),
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
        let limits = HttpLimits {
            connections: self.capacity,
            lifetime: LIFETIME,
            write_timeout: WRITE_TIMEOUT,
        };
        let router = routes::router(Arc::clone(&self.endpoints));
        tokio::select! {
            () = http::serve(listener, router, limits, stop) => {}
            () = self.endpoints.probe.keep_recent() => {}
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
