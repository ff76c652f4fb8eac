//! Ranges of indices as people write them.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Request;

/// The indices from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRange {
    first: u64,
    last: u64,
}

impl FromStr for IndexRange {
    type Err = String;

    /// Reads `A..=B`, or `A..B` without B itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not a range; write it such as 1000..=2000".to_owned();
        let (first, end) = text.split_once("..").ok_or_else(wrong)?;
        let (last, before) = end.strip_prefix('=').map_or((end, 1), |last| (last, 0));
        let index = |text| Request::parse_n(text).map_err(|error| error.to_string());
        // `A..0` would end below 0.
        let (first, last) = (index(first)?, index(last)?.checked_sub(before));
        match last.filter(|last| first <= *last) {
            Some(last) => Ok(Self { first, last }),
            None => Err("the range is empty; write it such as 1000..=2000".to_owned()),
        }
    }
}

impl IndexRange {
    /// Reads a range, or one index.
    ///
    /// # Errors
    /// A text that is neither, with its way out.
    pub fn or_index(text: &str) -> Result<Self, String> {
        if text.contains("..") {
            return text.parse();
        }
        let index = Request::parse_n(text).map_err(|error| error.to_string())?;
        Ok(Self {
            first: index,
            last: index,
        })
    }

    /// Returns the indices.
    #[must_use]
    pub fn indices(self) -> RangeInclusive<u64> {
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
