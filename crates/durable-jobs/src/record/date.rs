//! Dates and spans as people write them.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A point in time, given in UTC or as an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Date {
    /// Milliseconds since 1970-01-01 UTC.
    At(i64),
    /// So long before the present.
    Ago(Duration),
}

/// The refusal of a text that is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Neither a date nor a time that has passed.
    #[error(
        "not a moment; write it in UTC, such as 2026-12-24T18:00:00Z, or how long ago it was, such as 2h"
    )]
    Unreadable,
    /// Not a date of UTC, where an age is not accepted.
    #[error("not a moment; write it in UTC, such as 2026-12-24T18:00:00Z")]
    NoDate,
}

impl Date {
    /// Reads a date of UTC, in milliseconds since 1970: RFC 3339, where `T` may be a space and `Z` be missing.
    ///
    /// # Errors
    /// [`DateError::NoDate`].
    pub fn utc(text: &str) -> Result<i64, DateError> {
        let date = humantime::parse_rfc3339_weak(text).map_err(|_| DateError::NoDate)?;
        Ok(match date.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => milliseconds(since),
            Err(before) => -milliseconds(before.duration()),
        })
    }

    /// Returns it in milliseconds since 1970, given the present, which is the database's.
    #[must_use]
    pub fn milliseconds(self, now_ms: i64) -> i64 {
        match self {
            Self::At(at_ms) => at_ms,
            Self::Ago(span) => now_ms.saturating_sub(milliseconds(span)),
        }
    }

    /// Returns the time of a date in milliseconds since 1970; absent for one before, or without four digits for its year, which
    /// no text shows.
    #[must_use]
    pub fn time(milliseconds: i64) -> Option<SystemTime> {
        let since = Duration::from_millis(u64::try_from(milliseconds).ok()?);
        let is_writable = since < Duration::from_secs(253_402_300_799);
        is_writable
            .then(|| SystemTime::UNIX_EPOCH.checked_add(since))
            .flatten()
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let ago = |_| {
            humantime::parse_duration(text)
                .map(Self::Ago)
                .map_err(|_| DateError::Unreadable)
        };
        Self::utc(text).map(Self::At).or_else(ago)
    }
}

/// Returns a span in milliseconds; the largest number for one that is longer.
pub(crate) fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Writes a span that is not known closely, in its largest unit, such as `about 40 s`.
#[must_use]
pub fn about(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("about {:.0} s", seconds.max(1.0)),
        90.0..5400.0 => format!("about {:.0} min", seconds / 60.0),
        5400.0..172_800.0 => format!("about {:.0} h", seconds / 3600.0),
        172_800.0..63_072_000.0 => format!("about {:.0} days", seconds / 86_400.0),
        _ => format!("about {:.0} years", seconds / 31_536_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_one_of_utc_or_a_time_that_has_passed() {
        let at = |text: &str| text.parse().map(|date: Date| date.milliseconds(10_000_000));
        assert_eq!(at("1970-01-01T00:00:07Z"), Ok(7_000));
        assert_eq!(at("1970-01-01 00:00:07"), Ok(7_000));
        assert_eq!(at("2h"), Ok(10_000_000 - 7_200_000));
        for text in ["", "yesterday", "-2h", "2026-13-01T00:00:00Z"] {
            assert_eq!(at(text), Err(DateError::Unreadable), "{text:?}");
        }
        assert_eq!(Date::utc("2h"), Err(DateError::NoDate));
    }

    #[test]
    fn a_time_has_a_year_of_four_digits() {
        assert_eq!(
            Date::time(7_000),
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7))
        );
        for none in [i64::MIN, -1, 253_402_300_800_000, i64::MAX] {
            assert_eq!(Date::time(none), None, "{none}");
        }
    }

    #[test]
    fn an_estimate_has_no_more_digits_than_it_deserves() {
        for (seconds, said) in [
            (0.0, "about 1 s"),
            (89.0, "about 89 s"),
            (100.0, "about 2 min"),
            (7200.0, "about 2 h"),
            (864_000.0, "about 10 days"),
            (1e9, "about 32 years"),
        ] {
            assert_eq!(about(seconds), said);
        }
    }
}
