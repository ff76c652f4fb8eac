//! A moment as a number.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::record::shorten;

/// So many transactions may have been delivered ahead of the horizon for a moment to say which.
const MOST_AHEAD: usize = 500;

/// The largest distance from the horizon.
// Nine digits at most, so that one digit says how many they are.
const FARTHEST: i64 = 999_999_999;

/// A moment in the database's history: all that was committed before it has been delivered.
///
/// It is written as a number of at least 34 digits, mostly of fewer than 100.
// Moments are compared field by field, so the horizon has to be the first and the time the second.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment {
    /// The number of the first transaction that had not ended, or that nobody had begun.
    pub(super) horizon: i64,
    /// When it was; milliseconds since 1970-01-01 UTC by the database's clock.
    pub(super) ms: i64,
    /// So many milliseconds before, no transaction from the horizon on had written anything.
    pub(super) behind_ms: i64,
    /// The transactions from the horizon on whose changes were delivered, in their order; absent where they are too many.
    pub(super) ahead: Option<Arc<[i64]>>,
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
            // Six digits are over a quarter of an hour; what was longer ago is not looked for.
            behind_ms: (ms - begun_ms).clamp(0, 999_999),
            ahead: Some(Arc::default()),
        }
    }

    /// Adds the transactions that were delivered ahead, in their order, or that they are too many.
    pub(super) fn with_ahead(self, ahead: Vec<i64>) -> Self {
        let is_short =
            ahead.len() <= MOST_AHEAD && ahead.last().is_none_or(|last| last - self.horizon <= FARTHEST);
        Self {
            ahead: is_short.then(|| ahead.into()),
            ..self
        }
    }

    /// The time before which no transaction from the horizon on had written anything.
    pub(super) fn begun_ms(&self) -> i64 {
        self.ms - self.behind_ms
    }
}

/// Writes horizon, time and span in 15, 13 and 6 digits, then each transaction that was delivered ahead as the number of digits
/// of its distance from the one before it, or from the horizon, and that distance; a zero if they are too many.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            horizon,
            ms,
            behind_ms,
            ahead,
        } = self;
        write!(f, "{horizon:015}{ms:013}{behind_ms:06}")?;
        let Some(ahead) = ahead else {
            return f.write_str("0");
        };
        let mut last = *horizon;
        for number in ahead.iter() {
            let digits = (number - last).to_string();
            write!(f, "{}{digits}", digits.len())?;
            last = *number;
        }
        Ok(())
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        Self::read(text).ok_or_else(|| MomentError(shorten(text)))
    }
}

impl Moment {
    fn read(text: &str) -> Option<Self> {
        if !text.bytes().all(|sign| sign.is_ascii_digit()) {
            return None;
        }
        let mut rest = text;
        let mut part = |digits: usize| -> Option<i64> {
            let (part, others) = rest.split_at_checked(digits)?;
            rest = others;
            part.parse().ok()
        };
        let [horizon, ms, behind_ms] = Self::DIGITS.map(&mut part);
        let (horizon, ms, behind_ms) = (horizon?, ms?, behind_ms?);
        let moment = Self {
            horizon,
            ms,
            behind_ms,
            ahead: None,
        };
        if rest == "0" {
            return Some(moment);
        }
        let moment = moment.with_ahead(read_ahead(horizon, rest)?);
        moment.ahead.is_some().then_some(moment)
    }
}

fn read_ahead(horizon: i64, mut rest: &str) -> Option<Vec<i64>> {
    let (mut ahead, mut last) = (Vec::new(), horizon);
    while let Some((length, others)) = rest.split_at_checked(1) {
        let length = length.parse().ok().filter(|length| *length > 0)?;
        let (digits, others) = others.split_at_checked(length)?;
        last += digits.parse::<i64>().ok()?;
        ahead.push(last);
        rest = others;
    }
    ahead.is_sorted_by(|a, b| a < b).then_some(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        let moments = [
            (7, 1_795_762_150_348, 0, Some(vec![])),
            (10, 1_795_762_150_000, 999, Some(vec![10, 11, 31, 400_000_031])),
            (10, 1_795_762_150_001, 2, None),
            (10, 1_795_762_150_001, 2, Some((10..510).collect())),
        ];
        let texts = moments.map(|(horizon, ms, behind_ms, ahead)| {
            let moment = Moment::new(horizon, ms, ms - behind_ms);
            let moment = moment.with_ahead(ahead.unwrap_or_else(|| vec![10, 4_000_000_000]));
            let text = moment.to_string();
            assert_eq!(text.parse().as_ref(), Ok(&moment));
            text
        });
        assert_eq!(texts[1], "000000000000010179576215000000099910112209400000000");
    }

    #[test]
    fn a_text_that_is_no_moment_is_refused() {
        let begun = |rest: &str| format!("{}{rest}", "1".repeat(34));
        for text in [
            "",
            "7",
            &"9".repeat(35),
            &"ü".repeat(17),
            &format!("-{}", "1".repeat(33)),
            &begun("00"),
            &begun("2"),
            &begun("110"),
            &begun("1510"),
            &begun(&"11".repeat(MOST_AHEAD + 1)),
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
