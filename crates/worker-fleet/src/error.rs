//! The failures of a fleet, one variant for each decision that a caller can take.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of a fleet, or of talking to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{doing}")]
    System {
        /// The operation, such as `listening for signals`.
        doing: &'static str,
        /// The reason.
        source: io::Error,
    },

    /// The path of the control socket is longer than the operating system allows.
    #[error("{} is too long for a socket, {longest} bytes at most", socket.display())]
    SocketPath {
        /// The path.
        socket: PathBuf,
        /// The longest possible path in bytes.
        longest: usize,
    },

    /// The directory of the fleet cannot be used.
    #[error("cannot use {}: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The reason.
        source: io::Error,
    },

    /// Another fleet holds the directory.
    #[error("a fleet runs already in {}, {holder}", directory.display())]
    Running {
        /// The directory.
        directory: PathBuf,
        /// The process that holds it, such as `process 17`.
        holder: String,
    },

    /// The address of the health server cannot be bound.
    #[error("health address {address}: {source}")]
    HealthAddress {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },

    /// A fleet runs and does not answer, or its control socket does not lead to it.
    #[error("{reason}")]
    Unreachable {
        /// The reason.
        reason: String,
    },

    /// This process is none that a supervisor has started.
    #[error("this process belongs to a fleet")]
    NoSupervisor,

    /// The fleet did not come up.
    #[error("{reason}")]
    NotStarted {
        /// The exit code of the worker that could not start, or 1.
        code: u8,
        /// The last message of that worker, or why no worker could be started.
        reason: String,
    },
}

impl Error {
    /// Returns a function that wraps an error of the operating system with the operation.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
