//! One addition per index: F(n) in n additions of numbers that grow to 0.694·n bits.
//!
//! Time grows with n²: milliseconds at n = 10⁵, minutes at n = 10⁷. The observer is called after every 2^18
//! limbs added (about 0.1 ms) and at least every 2^14 additions, so that small numbers do not pay for it.

use std::mem::swap;

use malachite_nz::natural::Natural;

use crate::progress::{Cancelled, Observer, report};

/// Limbs added between two observations.
const LIMBS_UNOBSERVED: u64 = 1 << 18;

/// Each addition counts as this many limbs at least, for its fixed cost.
const LIMBS_PER_ADDITION: u64 = 16;

/// Computes F(n) by n additions.
///
/// Progress is counted in additions weighted by their length, proportional to the square of the index.
///
/// # Errors
/// [`Cancelled`] when `observe` breaks.
pub fn iterative(n: u64, observe: &Observer<'_>) -> Result<Natural, Cancelled> {
    let work = Work::until(n);
    report(observe, 0, work.total())?;
    let (mut value, mut next) = (Natural::from(0u32), Natural::from(1u32));
    let mut unobserved = 0;
    for index in 0..n {
        // The sum is formed in the memory of the older number, so most additions allocate nothing.
        value += &next;
        swap(&mut value, &mut next);
        unobserved += value.limb_count().max(LIMBS_PER_ADDITION);
        if unobserved >= LIMBS_UNOBSERVED {
            unobserved = 0;
            report(observe, work.done(index), work.total())?;
        }
    }
    Ok(value)
}

/// The work of the first k additions as k², scaled down so that the total fits 64 bits.
struct Work {
    n: u64,
    shift: u32,
}

impl Work {
    fn until(n: u64) -> Self {
        let square_bits = 2 * (u64::BITS - n.leading_zeros());
        Self {
            n,
            shift: square_bits.saturating_sub(u64::BITS),
        }
    }

    fn done(&self, index: u64) -> u64 {
        let scaled = (u128::from(index) * u128::from(index)) >> self.shift;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    fn total(&self) -> u64 {
        self.done(self.n).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_fits_for_every_index() {
        for n in [0, 1, 2, 1 << 31, (1 << 32) - 1, 1 << 32, u64::MAX] {
            let work = Work::until(n);
            assert!(work.done(n) <= work.total(), "n = {n}");
            assert!(n < 1 << 33 || work.total() >= 1 << 61, "n = {n} loses resolution");
        }
    }
}
