//! Ranges of indices as people write them.

use std::ops::RangeInclusive;
use std::str::FromStr;

use fibonacci_jobs::Request;

/// The indices from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexRange {
    first: u64,
    last: u64,
}

impl FromStr for IndexRange {
    type Err = String;

    /// Reads `A..=B`, or `A..B` without B itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a range; write it such as 1000..=2000");
        let (first, end) = text.split_once("..").ok_or_else(wrong)?;
        let (last, before) = end.strip_prefix('=').map_or((end, 1), |last| (last, 0));
        let index = |text| Request::parse_n(text).map_err(|error| error.to_string());
        let (first, last) = (index(first)?, index(last)?.checked_sub(before).ok_or_else(wrong)?);
        if first > last {
            return Err(format!("the range {text:?} is empty"));
        }
        Ok(Self { first, last })
    }
}

impl IndexRange {
    /// Reads a range, or one index.
    pub(crate) fn or_index(text: &str) -> Result<Self, String> {
        if text.contains("..") {
            return text.parse();
        }
        let index = Request::parse_n(text).map_err(|error| error.to_string())?;
        Ok(Self {
            first: index,
            last: index,
        })
    }

    pub(crate) fn indices(self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_none_is_refused_with_the_form_of_one() {
        for text in ["", "7", "9..=3", "5..5", "0..0", "-3..=4", "a..=b"] {
            assert!(
                text.parse::<IndexRange>().is_err(),
                "{text:?} was taken for a range"
            );
        }
    }
}
