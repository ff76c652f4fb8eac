//! The events that a supervisor handles.

use super::control::PendingRequest;
use super::process::ChildEvent;

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// To a worker's process.
    Worker {
        slot: u32,
        incarnation: u64,
        event: ChildEvent,
    },
    /// To a process that serves a socket.
    Serving {
        role: ServingRole,
        incarnation: u64,
        event: ChildEvent,
    },
    /// Somebody asked over the control socket.
    Request(PendingRequest),
}

/// The work of a serving process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServingRole {
    /// It answers `/livez`, `/readyz`, `/health` and `/metrics`.
    Health,
    /// It answers what a program has to say over HTTP.
    Web,
}

impl ServingRole {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Web => "web",
        }
    }
}
