//! Limbs: the base of stored decimal ones, and two linear combinations of two numbers in one pass over their limbs.
//!
//! Between two squarings, a doubling step needs only sums like 4x − y ± 2 and 3x − 2y ± 2. Done one
//! operation at a time they read and write the whole numbers five times, which is bound by memory; fused,
//! once. Limbs are least significant first, as [`Natural::into_limbs_asc`] gives them without copying.

use malachite_nz::natural::Natural;

/// Decimal digits of a stored limb.
pub(crate) const DECIMAL_LIMB_DIGITS: u32 = 18;

/// The base of stored limbs.
pub(crate) const DECIMAL_LIMB: u64 = 10u64.pow(DECIMAL_LIMB_DIGITS);

/// Replaces (x, y) by (A·x + B·y + c, D·x + E·y + f), where `constants` is (c, f).
///
/// Coefficients and constants are small (below 2^30 in absolute value), x ≥ y is expected for speed only,
/// and both results must not be negative: a negative one would lose its sign (checked in debug builds).
pub(crate) fn combine<const A: i128, const B: i128, const D: i128, const E: i128>(
    x: Natural,
    y: Natural,
    constants: (i128, i128),
) -> (Natural, Natural) {
    let (mut x, mut y) = (x.into_limbs_asc(), y.into_limbs_asc());
    let len = x.len().max(y.len());
    x.resize(len, 0);
    y.resize(len, 0);
    // Sums stay below 2^96 in absolute value, and the shift keeps the sign: a negative carry is a borrow.
    let (mut first, mut second) = constants;
    for (x, y) in x.iter_mut().zip(&mut y) {
        let (a, b) = (i128::from(*x), i128::from(*y));
        first += A * a + B * b;
        second += D * a + E * b;
        (*x, *y) = (low(first), low(second));
        first >>= 64;
        second >>= 64;
    }
    push_carry(&mut x, first);
    push_carry(&mut y, second);
    (Natural::from_owned_limbs_asc(x), Natural::from_owned_limbs_asc(y))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low limb is what is wanted"
)]
fn low(sum: i128) -> u64 {
    sum as u64
}

fn push_carry(limbs: &mut Vec<u64>, carry: i128) {
    debug_assert!(carry >= 0, "a linear combination became negative");
    if carry != 0 {
        limbs.push(low(carry));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn combine_equals_the_operations_one_by_one(
            mut big in proptest::collection::vec(any::<u64>(), 1..40),
            small in proptest::collection::vec(any::<u64>(), 0..40),
        ) {
            // x ≥ 2^64·y keeps both combinations positive.
            big.resize(big.len() + small.len() + 1, u64::MAX);
            let (x, y) = (Natural::from_owned_limbs_asc(big), Natural::from_owned_limbs_asc(small));
            let (f, g) = combine::<4, -1, 3, -2>(x.clone(), y.clone(), (2, -2));
            prop_assert_eq!(f, Natural::from(4u32) * &x - &y + Natural::from(2u32));
            prop_assert_eq!(g, Natural::from(3u32) * &x - Natural::from(2u32) * &y - Natural::from(2u32));
        }
    }

    #[test]
    fn carries_reach_the_top() {
        let ones = Natural::from_owned_limbs_asc(vec![u64::MAX; 3]);
        let (f, g) = combine::<1, 0, 1, 1>(ones.clone(), ones.clone(), (1, 2));
        assert_eq!(f, &ones + Natural::from(1u32));
        assert_eq!(g, (ones << 1u64) + Natural::from(2u32));
    }
}
