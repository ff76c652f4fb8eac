//! The signals, and the other sign, that ask a process to end.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// Asks a worker of a fleet to hand back at once what it has, and to end.
///
/// A service manager sends it to nobody by itself: those that it does send to all processes ask a worker to drain.
pub(crate) const AT_ONCE: rustix::process::Signal = rustix::process::Signal::USR1;

/// Signals so soon after the first one are that one: `timeout` sends two at once, to the process and to its group.
const SAME_WISH: Duration = Duration::from_millis(500);

/// Tells who wants an end at once from who has asked for an end, maybe by two signals in one moment.
#[derive(Debug, Default)]
pub struct Insistence {
    asked: Option<Instant>,
}

impl Insistence {
    /// Takes note that the end is asked for at `now`; says whether that was asked for before.
    pub fn ask(&mut self, now: Instant) -> bool {
        let first = *self.asked.get_or_insert(now);
        now.saturating_duration_since(first) >= SAME_WISH
    }
}

/// Listens for SIGINT, SIGTERM and SIGHUP from its making on, so that none is missed.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Starts listening; the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Error> {
        let listen = || -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: hang_up()?,
            })
        };
        listen().map_err(Error::system("listening for signals"))
    }

    /// Completes `work`, or abandons it at the next signal and returns nothing.
    pub async fn unless_any<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            outcome = work => Some(outcome),
            _ = self.next() => None,
        }
    }

    /// Waits for the next signal and returns its name. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = next_of(&mut self.hang_up) => "SIGHUP",
        }
    }

    /// Waits for a signal that hastens an end which was asked for, as `insistence` knows, and returns its name.
    /// Cancel-safe.
    ///
    /// SIGHUP does not: of a terminal that goes away both the shell and the kernel may tell.
    pub async fn next_in_haste(&mut self, insistence: &mut Insistence) -> &'static str {
        loop {
            let signal = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
            };
            if insistence.ask(Instant::now()) {
                return signal;
            }
        }
    }
}

/// Listens for [`AT_ONCE`] from its making on, and remembers it.
pub struct Hurry {
    signal: Signal,
    has_come: bool,
}

impl Hurry {
    /// Starts listening; the signal no longer ends the process by itself.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Error> {
        let kind = SignalKind::from_raw(AT_ONCE.as_raw());
        Ok(Self {
            signal: signal(kind).map_err(Error::system("listening for signals"))?,
            has_come: false,
        })
    }

    /// Completes once the signal has come, however often this is asked. Cancel-safe.
    pub async fn wait(&mut self) {
        if !self.has_come {
            self.signal.recv().await;
            self.has_come = true;
        }
    }
}

/// Listens for SIGHUP, unless this process was started with orders to ignore it, as nohup does.
pub(crate) fn hang_up() -> io::Result<Option<Signal>> {
    // Linux shows the mask of ignored signals; elsewhere the order is not known and SIGHUP is listened to.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if ignored.unwrap_or_default() & 1 != 0 {
        return Ok(None);
    }
    signal(SignalKind::hangup()).map(Some)
}

/// Completes at the next of a signal that may not be listened to. Cancel-safe.
pub(crate) async fn next_of(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Completes when stdin is closed, as it is when the process at its other end is gone.
pub async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own, since nothing interrupts a read of stdin; it ends with the process.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(closed);
    });
    let _ = wait.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_signals_in_one_moment_are_one_wish() {
        let mut insistence = Insistence::default();
        let first = Instant::now();
        let asked_again = |after| insistence.ask(first + after);
        let moments = [
            Duration::ZERO,
            Duration::ZERO,
            SAME_WISH / 2,
            SAME_WISH,
            2 * SAME_WISH,
        ];
        assert_eq!(moments.map(asked_again), [false, false, false, true, true]);
    }
}
