//! The source of snapshots.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// A source of snapshots of a server.
pub trait SnapshotSource: Send + Sync + 'static {
    /// Returns the last snapshot; never blocks.
    fn sample(&self) -> SnapshotSample;
}

/// The last snapshot of a server, and its age.
#[derive(Debug, Clone)]
pub struct SnapshotSample {
    /// The last snapshot; absent before the first one.
    pub snapshot: Option<Snapshot>,
    /// The time since it was received, or since the wait for it began.
    pub age: Duration,
    /// The link over which the next one would come.
    pub link: Link,
}

/// The link to the process that makes the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// This process makes them itself.
    InProcess,
    /// The supervisor's end of the channel is open.
    Alive,
    /// The supervisor's end of the channel was closed.
    Gone,
}
