//! The time that a start waits for an executor id that it wants.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::acquire::LockHolder;
use super::standstill::Standstill;
use super::{Presence, Sight};

/// The longest that a start waits for an id whose former holder is just being taken over.
const TAKEOVER_TIME: Duration = Duration::from_secs(2);

/// A start's wait for an id, and the sightings of its holders so far.
#[derive(Default)]
pub(super) struct IdWait {
    /// Since when the lock is held.
    locked_since: Option<Instant>,
    watched: Option<Standstill<String>>,
    /// True if a heartbeat was seen to move.
    has_beaten: bool,
    has_said: bool,
}

impl IdWait {
    /// For how long `beat` was watched standing still, by our own clock.
    pub(super) fn silence_of(&self, beat: &str) -> Duration {
        let watched = self.watched.as_ref().filter(|watched| watched.sight == beat);
        watched.map_or(Duration::ZERO, Standstill::lasted)
    }

    /// Tests whether `holder` is there to stay.
    pub(super) fn is_over(&mut self, executor_id: &str, holder: &LockHolder) -> bool {
        self.watch(holder);
        if !holder.is_locked {
            self.locked_since = None;
            // One that was seen to beat has lost its connection for a moment, and comes back for the id.
            return self.has_beaten || self.go_on(executor_id, holder);
        }
        let locked_since = *self.locked_since.get_or_insert_with(Instant::now);
        if locked_since.elapsed() < TAKEOVER_TIME {
            return false;
        }
        // It lives, or it is gone and its session did not end, though it was told to.
        let is_seen = holder.sight != Sight::Unknown;
        let is_dead_and_stays = self.silence_of(&holder.beat) >= Presence::SILENCE + TAKEOVER_TIME;
        is_seen || self.has_beaten || is_dead_and_stays || self.go_on(executor_id, holder)
    }

    /// Logs the wait once; it is not over.
    fn go_on(&mut self, executor_id: &str, holder: &LockHolder) -> bool {
        if !std::mem::replace(&mut self.has_said, true) {
            info!(
                executor_id,
                pid = holder.pid,
                "waiting to see whether the last holder still sends heartbeats"
            );
        }
        false
    }

    fn watch(&mut self, holder: &LockHolder) {
        let last = self.watched.take();
        self.has_beaten |= last.as_ref().is_some_and(|last| last.sight != holder.beat);
        self.watched = Some(Standstill::after(last, holder.beat.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(beat: &str) -> LockHolder {
        LockHolder::without_row("host", Some(beat.to_owned()))
    }

    /// Tests whether the wait is over when a free row shows `beat`.
    fn is_over(wait: &mut IdWait, beat: &str) -> bool {
        wait.is_over("host/0", &holder(beat))
    }

    /// A row that was first seen `since` ago, and last `last_look` ago.
    fn watched(since: Duration, last_look: Duration) -> IdWait {
        let now = Instant::now();
        IdWait {
            watched: Some(Standstill {
                sight: "a".to_owned(),
                since: now - since,
                seen: now - last_look,
            }),
            ..IdWait::default()
        }
    }

    #[test]
    fn a_row_is_silent_once_it_stood_still_for_the_expiry() {
        let mut wait = watched(Presence::EXPIRY, Duration::from_secs(1));
        assert!(!is_over(&mut wait, "a"));
        assert!(wait.silence_of("a") >= Presence::EXPIRY);
        assert!(is_over(&mut wait, "b"), "a beat was missed");
        assert_eq!(wait.silence_of("b"), Duration::ZERO);
    }

    #[test]
    fn a_held_lock_is_waited_for_until_its_holder_is_known() {
        let locked = |sight, beat: &str| {
            let mut holder = holder(beat);
            (holder.is_locked, holder.sight) = (true, sight);
            holder
        };
        let is_over = |mut wait: IdWait, holder: &LockHolder| {
            wait.locked_since = Some(Instant::now() - TAKEOVER_TIME);
            wait.is_over("host/0", holder)
        };
        let second = Duration::from_secs(1);
        let short = || watched(TAKEOVER_TIME, second);
        assert!(
            is_over(short(), &locked(Sight::Living, "a")),
            "a process that is seen"
        );
        assert!(
            is_over(short(), &locked(Sight::Unknown, "b")),
            "a heartbeat that moves"
        );
        assert!(!is_over(short(), &locked(Sight::Unknown, "a")));
        let long = watched(Presence::SILENCE + TAKEOVER_TIME, second);
        assert!(
            is_over(long, &locked(Sight::Unknown, "a")),
            "a session that nobody can end"
        );
    }
}
