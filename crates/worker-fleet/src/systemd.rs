//! What a service tells systemd: that it is ready, what it is doing, that it lives, that it ends.
//!
//! It is said on the socket that `NOTIFY_SOCKET` names, and how often life is expected is in `WATCHDOG_USEC`; both are
//! read by the crate of the protocol itself, the one exception to the rule that only the configuration reads the
//! environment. Without that variable nothing is said and nothing fails.
//!
//! A message that cannot be sent is mentioned in the log at level debug and lost: no service should end for want of
//! somebody to tell.
//!
//! Source: `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// A voice that systemd hears, if it listens.
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    watchdog_interval: Option<Duration>,
}

impl Notifier {
    /// Finds out what systemd wants to hear.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "reading the environment is no default value"
    )]
    pub fn new() -> Self {
        Self {
            watchdog_interval: sd_notify::watchdog_enabled().map(|limit| limit / 2),
        }
    }

    /// The service does what it is there for.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// What the service is doing, in a few words.
    pub fn status(&self, words: &str) {
        // A line break would end the message.
        tell(&[NotifyState::Status(&words.replace('\n', " "))]);
    }

    /// The service lives; due every [`Notifier::watchdog_interval`].
    pub fn watchdog(&self) {
        tell(&[NotifyState::Watchdog]);
    }

    /// How often to say that the service lives, which is half of what is tolerated; nothing when nobody waits for it.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The service takes up its configuration anew, until it says that it is ready again.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            // The time tells this reload from an earlier one.
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, ?state, "systemd was not told");
    }
}
