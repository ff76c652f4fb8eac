//! The signals that ask a process to end, and the close of its standard input, which does too.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// Asks a worker of a fleet to hand back at once what it has, and to end.
///
/// No service manager sends it by itself: the signals that one sends to all processes ask a worker to drain.
pub(crate) const HAND_BACK: rustix::process::Signal = rustix::process::Signal::USR1;

/// The name of the signal that says that the terminal is gone, and to a fleet otherwise that it is to reload.
pub(crate) const HANG_UP: &str = "SIGHUP";

/// Signals so soon after the first one are that one: `timeout` sends two at once, to the process and to its group.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// Distinguishes a second request to end, which asks for an end at once, from the first one.
///
/// The first one may come as two signals in one moment.
#[derive(Debug, Default)]
pub struct StopRequests {
    first: Option<Instant>,
}

impl StopRequests {
    /// Records a request at `now`, and says whether it is a second one.
    pub fn is_second(&mut self, now: Instant) -> bool {
        let first = *self.first.get_or_insert(now);
        now.saturating_duration_since(first) >= SAME_REQUEST
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
            () = next_of(&mut self.hang_up) => HANG_UP,
        }
    }

    /// Waits for a signal that is a second request to end, and returns its name. Cancel-safe.
    ///
    /// SIGHUP is none: when a terminal goes away, both the shell and the kernel may send it.
    pub async fn next_second(&mut self, requests: &mut StopRequests) -> &'static str {
        loop {
            let signal = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
            };
            if requests.is_second(Instant::now()) {
                return signal;
            }
        }
    }
}

/// Listens from its making on for SIGUSR1, by which a supervisor asks a worker to hand back what it has, and remembers
/// it.
pub struct HandBackSignal {
    signal: Signal,
    has_come: bool,
}

impl HandBackSignal {
    /// Starts listening; the signal no longer ends the process by itself.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Error> {
        let kind = SignalKind::from_raw(HAND_BACK.as_raw());
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
fn hang_up() -> io::Result<Option<Signal>> {
    // Linux shows the mask of ignored signals; elsewhere the order is not known and SIGHUP is listened to.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1, which is SIGHUP.
    if ignored.unwrap_or_default() & 1 != 0 {
        return Ok(None);
    }
    signal(SignalKind::hangup()).map(Some)
}

/// Completes at the next of a signal that may not be listened to. Cancel-safe.
async fn next_of(signal: &mut Option<Signal>) {
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
    fn two_signals_in_one_moment_are_one_request() {
        let mut requests = StopRequests::default();
        let first = Instant::now();
        let asked_again = |after| requests.is_second(first + after);
        let moments = [
            Duration::ZERO,
            Duration::ZERO,
            SAME_REQUEST / 2,
            SAME_REQUEST,
            2 * SAME_REQUEST,
        ];
        assert_eq!(moments.map(asked_again), [false, false, false, true, true]);
    }
}
