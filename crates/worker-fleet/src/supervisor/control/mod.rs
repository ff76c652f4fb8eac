//! The control socket of a fleet: one line of JSON each way.
//!
//! Whoever can open the socket may ask; its permissions are the protection.
//!
//! # Layout
//!
//! This file has the requests and their answers; the others build on it.
//!
//! | module | holds |
//! |---|---|
//! | `server` | the fleet's side: takes requests and keeps the socket where it is looked for |
//! | `client` | the side of those who ask |
//! | `lock` | the lock and the socket in the fleet's directory, one fleet for each |
//! | `self` | the requests and their answers |

mod client;
mod lock;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use client::{ask, look};
pub use lock::{FleetLock, directory_in};
pub(super) use server::serve;

use crate::snapshot::Snapshot;

/// The time that either side has to send what it has to send.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A request to a running fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum FleetRequest {
    /// Asks for a snapshot.
    Status,
    /// Changes the number of workers.
    Scale {
        /// The number that there are to be.
        workers: u32,
    },
    /// Replaces all workers one by one; answered when that is done.
    Reload,
}

/// An answer of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum FleetAnswer {
    /// The answer to [`FleetRequest::Status`].
    Status {
        /// All that is known.
        snapshot: Box<Snapshot>,
    },
    /// It is done, or under way where that takes time.
    Done {
        /// The change, in words.
        message: String,
    },
    /// It is not done.
    Refused {
        /// The reason, in words.
        reason: String,
    },
}

/// A request with the place for its answer.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) request: FleetRequest,
    pub(crate) answer: oneshot::Sender<FleetAnswer>,
}
