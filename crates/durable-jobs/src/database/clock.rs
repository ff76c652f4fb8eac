//! The database's clock, and how others differ from it.
//!
//! What is compared across processes is stamped by the database or brought to its clock here; a span is measured by a
//! clock that nobody sets. A difference is known to about half a round trip.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

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
    /// The time of [`since_boot`] then.
    read_at: Duration,
}

/// The lead of a clock over the database's, in milliseconds; negative where it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct ClockOffset(i64);

impl DatabaseClock {
    /// Takes what the database said when it was asked at this moment.
    pub(crate) fn read(read_ms: i64, asked: Instant) -> Self {
        // The server read its clock somewhere between question and answer; half-way is the best guess.
        let way_back = asked.elapsed() / 2;
        Self {
            read_ms: read_ms.saturating_add(milliseconds(way_back)),
            read_at: since_boot(),
        }
    }

    /// The moment, by the database's clock, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let since = since_boot().saturating_sub(self.read_at);
        self.read_ms.saturating_add(milliseconds(since))
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
        // `as_secs` cuts off; with half a second more it rounds.
        let seconds = Duration::from_millis(self.0.unsigned_abs() + 500).as_secs();
        write!(f, "{seconds} s {side} the database's")
    }
}

/// The time since this machine was started, by a clock that nobody sets.
///
/// It counts the time for which the machine slept, which [`Instant`] does not: a client may live for weeks on a laptop.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
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
