//! The signals that steer a fleet.

use std::io::{self, IsTerminal};

use signal_hook::consts::{SIGTTIN, SIGTTOU};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;
use crate::signals::{HANG_UP, Signals};

/// A signal to a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FleetSignal {
    /// SIGINT or SIGTERM: drain, and end at once when it comes again after half a second.
    Stop(&'static str),
    /// SIGHUP of a terminal that is gone: drain, and never more than that, since both the shell and the kernel may send
    /// it.
    LoseTerminal,
    /// SIGHUP otherwise: replace the workers one by one. Where it is ignored, as under nohup, it stays so.
    Reload,
    /// SIGTTIN: one worker more, as in gunicorn.
    More,
    /// SIGTTOU: one worker fewer.
    Fewer,
}

/// Listens to the signals of a fleet from its making on, so that none is missed.
pub struct FleetSignals {
    signals: Signals,
    had_terminal: bool,
    more: Signal,
    fewer: Signal,
}

impl FleetSignals {
    /// Starts listening; the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Error> {
        let listen =
            |number| signal(SignalKind::from_raw(number)).map_err(Error::system("listening for signals"));
        Ok(Self {
            signals: Signals::listen()?,
            had_terminal: io::stderr().is_terminal(),
            more: listen(SIGTTIN)?,
            fewer: listen(SIGTTOU)?,
        })
    }

    /// Waits for the next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> FleetSignal {
        tokio::select! {
            signal = self.signals.next() => match signal {
                // After a hang-up the kernel no longer takes this for a terminal.
                HANG_UP if self.had_terminal && !io::stderr().is_terminal() => FleetSignal::LoseTerminal,
                HANG_UP => FleetSignal::Reload,
                signal => FleetSignal::Stop(signal),
            },
            _ = self.more.recv() => FleetSignal::More,
            _ = self.fewer.recv() => FleetSignal::Fewer,
        }
    }

    /// Completes `work`, or abandons it at the first signal to stop and returns nothing. Other signals are for a fleet
    /// that there is not yet.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let stop = async {
            while !matches!(
                self.next().await,
                FleetSignal::Stop(_) | FleetSignal::LoseTerminal
            ) {}
        };
        tokio::select! {
            outcome = work => Some(outcome),
            () = stop => None,
        }
    }
}
