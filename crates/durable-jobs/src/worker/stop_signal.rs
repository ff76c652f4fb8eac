//! The signals by which people and service managers ask a process to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes at the next SIGINT or SIGTERM, for [`Worker::run_until`](super::Worker::run_until).
///
/// A worker that ended by SIGTERM instead would count as dead, and so each restart of its service as a death of the jobs that
/// it had in hand.
///
/// # Errors
/// When the operating system refuses to have the signals handled.
pub async fn asked_to_stop() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
