//! The signals by which people and service managers ask a process to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes at the next SIGINT or SIGTERM after this call, for [`Worker::run_until`](super::Worker::run_until): call it before
/// the worker is started.
///
/// A worker that ended by SIGTERM instead would count as dead, and so each restart of its service as a death of the jobs that
/// it had in hand.
///
/// # Errors
/// When the operating system refuses to have the signals handled.
pub fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    // Here and not in the future: one that is not polled yet would leave the signals to end the process.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
