//! Random indices that a seed draws again.

use fastrand::Rng;

use fibonacci_jobs::IndexRange;

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
        self.0.u64(range.indices())
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
}
