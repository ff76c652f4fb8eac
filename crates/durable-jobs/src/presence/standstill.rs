//! The time for which something was watched standing still, by our own clock.

use std::time::Duration;

use tokio::time::Instant;

/// A look that comes later than this says nothing about the time between: the database may have been away.
const LATE: Duration = Duration::from_secs(4);

/// A sight, since when it has not changed, and when it was last looked at.
pub(crate) struct Standstill<T> {
    pub(crate) sight: T,
    pub(super) since: Instant,
    pub(super) seen: Instant,
}

impl<T: PartialEq> Standstill<T> {
    /// Takes note of a further sight; one that differs from the last, or comes late, begins a new watch.
    pub(crate) fn after(last: Option<Self>, sight: T) -> Self {
        let seen = Instant::now();
        let last = last.filter(|last| last.sight == sight && seen - last.seen < LATE);
        let since = last.map_or(seen, |last| last.since);
        Self { sight, since, seen }
    }

    /// Returns how long nothing changed, up to the last look.
    pub(crate) fn lasted(&self) -> Duration {
        self.seen - self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_or_a_late_look_begins_a_new_watch() {
        let watched = |last_look| {
            let now = Instant::now();
            Some(Standstill {
                sight: 'a',
                since: now - 2 * LATE,
                seen: now - last_look,
            })
        };
        let second = Duration::from_secs(1);
        let still = watched(second).unwrap();
        assert!(
            still.lasted() < 2 * LATE,
            "what nobody looked at counts as silence"
        );
        assert!(Standstill::after(Some(still), 'a').lasted() >= 2 * LATE);
        assert_eq!(Standstill::after(watched(second), 'b').lasted(), Duration::ZERO);
        assert_eq!(Standstill::after(watched(LATE), 'a').lasted(), Duration::ZERO);
        assert_eq!(Standstill::after(None, 'a').lasted(), Duration::ZERO);
    }
}
