//! Moments as people write them.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A moment: of UTC, or so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(SystemTime),
    Ago(Duration),
}

impl Moment {
    /// Returns it in milliseconds since 1970, given the database's time.
    pub(super) fn milliseconds(self, now_ms: i64) -> i64 {
        let of = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match self {
            Self::At(moment) => match moment.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(since) => of(since),
                Err(before) => -of(before.duration()),
            },
            Self::Ago(span) => now_ms.saturating_sub(of(span)),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = humantime::parse_rfc3339_weak(text).map(Self::At).ok();
        let ago = || humantime::parse_duration(text).map(Self::Ago).ok();
        at.or_else(ago).ok_or_else(|| {
            "not a moment; write it in UTC, such as 2026-12-24T18:00:00Z, or how long ago it was, such as 2h".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_time_that_has_passed() {
        let at = |text: &str| text.parse::<Moment>().unwrap().milliseconds(10_000_000);
        assert_eq!(at("1970-01-01T00:00:07Z"), 7_000);
        assert_eq!(at("1970-01-01 00:00:07"), 7_000);
        assert_eq!(at("2h"), 10_000_000 - 7_200_000);
        for text in ["", "yesterday", "-2h", "2026-13-01T00:00:00Z"] {
            assert!(text.parse::<Moment>().is_err(), "{text:?} was taken for a moment");
        }
    }
}
