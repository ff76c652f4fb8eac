//! The database's clock, and how others differ from it.
//!
//! What is compared across processes is stamped by the database or brought to its clock here; a span is measured by a
//! clock that nobody sets. A difference is known to about half a round trip.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::record::milliseconds;

/// The moment, by the database's clock, in milliseconds since 1970, as an SQL expression.
macro_rules! now_ms {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000)::bigint"
    };
}

pub(crate) use now_ms;

/// The database's clock, as it was read once and has run since.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseClock {
    read_ms: i64,
    read_at: Instant,
}

/// The lead of a clock over the database's, in milliseconds; negative where it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct ClockOffset(i64);

impl DatabaseClock {
    /// Takes what the database said when it was asked at this moment.
    pub(crate) fn read(read_ms: i64, asked: Instant) -> Self {
        let way_back = asked.elapsed() / 2;
        Self {
            read_ms,
            read_at: asked + way_back,
        }
    }

    /// The moment, by the database's clock, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.read_ms.saturating_add(milliseconds(self.read_at.elapsed()))
    }

    /// The lead of this machine's clock over the database's.
    #[must_use]
    pub fn offset(&self) -> ClockOffset {
        ClockOffset(local_ms().saturating_sub(self.now_ms()))
    }
}

impl ClockOffset {
    /// Clocks that differ by less count as one.
    const NOTABLE_MS: u64 = 1_000;

    /// Takes a difference in milliseconds.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// The difference in milliseconds.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Says if the difference is over a second.
    #[must_use]
    pub const fn is_notable(self) -> bool {
        self.0.unsigned_abs() > Self::NOTABLE_MS
    }
}

impl fmt::Display for ClockOffset {
    /// Writes it in whole seconds, such as `30 s ahead of the database's`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "behind" } else { "ahead of" };
        let seconds = Duration::from_millis(self.0.unsigned_abs() + 500).as_secs();
        write!(f, "{seconds} s {side} the database's")
    }
}

/// The moment by this machine's clock, in milliseconds since 1970.
pub(crate) fn local_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or_else(|before| -milliseconds(before.duration()), milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_over_a_second_is_told_with_its_side() {
        for (ms, text, is_notable) in [
            (30_049, "30 s ahead of the database's", true),
            (-4_900, "5 s behind the database's", true),
            (1_001, "1 s ahead of the database's", true),
            (-1_000, "1 s behind the database's", false),
            (i64::MIN, "9223372036854776 s behind the database's", true),
        ] {
            let offset = ClockOffset::from_ms(ms);
            assert_eq!(
                (offset.to_string().as_str(), offset.is_notable()),
                (text, is_notable)
            );
        }
    }

    #[test]
    fn the_clock_that_was_read_goes_on_by_itself() {
        let hour_ago = Instant::now().checked_sub(Duration::from_hours(1)).unwrap();
        // Read half way through the hour that the answer took.
        let now_ms = DatabaseClock::read(0, hour_ago).now_ms();
        assert!((1_800_000..1_860_000).contains(&now_ms), "{now_ms}");
    }
}
