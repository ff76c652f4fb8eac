//! The messages of a service to systemd: that it is ready, what it is doing, that it lives, that it ends.
//!
//! They go to the socket that `NOTIFY_SOCKET` names, and `WATCHDOG_USEC` sets how often a sign of life is expected;
//! both are read by the crate of the protocol itself, for which a program that reads its environment in one place makes
//! an exception. Without that variable nothing is sent and nothing fails.
//!
//! A message that cannot be sent is mentioned in the log at level debug and lost: no service should end for want of
//! somebody to tell.
//!
//! Source: `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// Sends messages to systemd, if it listens.
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    watchdog_interval: Option<Duration>,
    last_fed: Option<Instant>,
}

impl Notifier {
    /// Finds out which messages systemd expects.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "reading the environment is no default value"
    )]
    pub fn new() -> Self {
        Self {
            watchdog_interval: sd_notify::watchdog_enabled().map(|limit| limit / 2),
            last_fed: None,
        }
    }

    /// Reports that the service does its work.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// Reports what the service is doing, in a few words.
    pub fn status(&self, words: &str) {
        // A line break would end the message.
        send(&[NotifyState::Status(&words.replace('\n', " "))]);
    }

    /// Reports that the service lives, if that is due; to be called at least every [`Notifier::watchdog_interval`].
    pub fn feed_watchdog(&mut self, now: Instant) {
        // Half of it: a call that comes a moment early would otherwise put the message off to the limit itself.
        if let Some(interval) = self.watchdog_interval
            && self.last_fed.is_none_or(|last| now - last >= interval / 2)
        {
            self.last_fed = Some(now);
            send(&[NotifyState::Watchdog]);
        }
    }

    /// Returns the time between two signs of life, half of what is tolerated; nothing when none is expected.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// Reports that the service is about to end.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// Reports that the service reads its configuration anew, until it reports that it is ready again.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            // The time tells this reload from an earlier one.
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
    }
}

fn send(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, ?state, "systemd was not told");
    }
}
