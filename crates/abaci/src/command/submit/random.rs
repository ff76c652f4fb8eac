//! Random indices that a seed draws again.

use std::str::FromStr;

use fastrand::Rng;
use fibonacci_jobs::Request;

/// The indices from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexRange {
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

/// A generator of indices; the same seed draws the same ones.
pub(super) struct Random(Rng);

impl Random {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// A seed that no other run has, short enough to be typed again.
    pub(super) fn fresh_seed() -> u64 {
        fastrand::u32(..).into()
    }

    pub(super) fn index(&mut self, range: IndexRange) -> u64 {
        self.0.u64(range.first..=range.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, range: &str) -> Vec<u64> {
        let (mut random, range) = (Random::seeded(seed), range.parse().unwrap());
        (0..1000).map(|_| random.index(range)).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_draws_others() {
        assert_eq!(drawn(7, "0..=1000000"), drawn(7, "0..=1000000"));
        assert_ne!(drawn(7, "0..=1000000"), drawn(8, "0..=1000000"));
    }

    #[test]
    fn every_index_of_a_range_is_drawn_and_no_other() {
        let mut indices = drawn(1, "10..15");
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices, [10, 11, 12, 13, 14]);
    }

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
