//! A moment as a number.

use std::fmt;
use std::str::FromStr;

use crate::record::shorten;

/// A moment in the database's history: all that was committed before it has been told.
///
/// It is written as a number of 34 digits; a later one is larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment {
    /// The number of the first transaction that had not ended, or that nobody had begun.
    pub(super) horizon: i64,
    /// When it was; milliseconds since 1970-01-01 UTC by the database's clock.
    pub(super) ms: i64,
    /// So many milliseconds before, no transaction from the horizon on had written anything.
    pub(super) behind_ms: i64,
}

/// The refusal of a text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no moment; give the number that came with the last change, as it was")]
pub struct MomentError(String);

impl Moment {
    const DIGITS: [usize; 3] = [15, 13, 6];

    /// Makes a moment of the time of which no transaction from the horizon on had written anything.
    pub(super) fn new(horizon: i64, ms: i64, begun_ms: i64) -> Self {
        Self {
            horizon,
            ms,
            behind_ms: (ms - begun_ms).clamp(0, 999_999),
        }
    }

    /// The time before which no transaction from the horizon on had written anything.
    pub(super) fn begun_ms(&self) -> i64 {
        self.ms - self.behind_ms
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            horizon,
            ms,
            behind_ms,
        } = self;
        write!(f, "{horizon:015}{ms:013}{behind_ms:06}")
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let is_one =
            text.len() == Self::DIGITS.iter().sum::<usize>() && text.bytes().all(|c| c.is_ascii_digit());
        let mut rest = text;
        let mut part = |digits: usize| {
            let (part, others) = rest.split_at_checked(digits)?;
            rest = others;
            part.parse().ok()
        };
        let [horizon, ms, behind_ms] = Self::DIGITS.map(&mut part);
        match (is_one, horizon, ms, behind_ms) {
            (true, Some(horizon), Some(ms), Some(behind_ms)) => Ok(Self {
                horizon,
                ms,
                behind_ms,
            }),
            _ => Err(MomentError(shorten(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written_and_sorts_so() {
        let moments = [
            (7, 1_795_762_150_348, 0),
            (10, 1_795_762_150_000, 999),
            (10, 1_795_762_150_001, 2),
        ];
        let moments = moments.map(|(horizon, ms, behind_ms)| Moment {
            horizon,
            ms,
            behind_ms,
        });
        let texts = moments.map(|moment| moment.to_string());
        assert!(texts.is_sorted() && moments.is_sorted(), "{texts:?}");
        for (moment, text) in moments.iter().zip(&texts) {
            assert_eq!(text.parse().as_ref(), Ok(moment));
        }
        for text in [
            "",
            "7",
            &"9".repeat(35),
            &"ü".repeat(17),
            &format!("-{}", "1".repeat(33)),
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
