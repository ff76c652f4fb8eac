//! The events that a supervisor handles.

use super::control::PendingRequest;
use super::process::ChildEvent;
use super::serving_child::ServingRole;

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
