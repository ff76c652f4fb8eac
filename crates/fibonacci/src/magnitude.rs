//! The exact length of F(n) in bits and in decimal digits, from logarithms in integer arithmetic.
//!
//! F(n) = φⁿ/√5 · (1 − (−1)ⁿ·φ⁻²ⁿ), so its length in base b is `⌊n·log_b φ − log_b √5⌋ + 1`, once the last
//! factor is too near to 1 to matter (n > 186; below, the table knows). The logarithms are constants of 128
//! fractional bits, rounded down, so the computed sum is off by less than (n + 2)·2^−128.
//!
//! That error matters only where F(n) is so near to a power of the base that the floor changes. For n ≤
//! 2^62 there is no such n: the nearest integer to n·α − β is always further away than the error, for both
//! bases. A unit test proves it by finding the first index that comes as near as 2^−65, with the Euclidean
//! algorithm instead of by trying all: it is above 2^62. Beyond 2^62 the result may be one too large or
//! small, though nobody could compute the number.

use std::ops::RangeInclusive;

use crate::table::small;

/// ⌊n·α − β⌋ with α = `slope` and β = `offset` in units of 2^−128, `offset_whole` its whole part.
struct Line {
    slope: u128,
    offset: u128,
    offset_whole: u64,
}

/// `log10(φ)` = 0.20898764…, `log10(√5)` = 0.34948500….
const DECIMAL: Line = Line {
    slope: 0x3580_36c8_2451_b7f3_65d3_db23_8455_99f5,
    offset: 0x5977_d95e_c10c_0219_dc1d_a994_fd20_dba1,
    offset_whole: 0,
};

/// `log2(φ)` = 0.69424191…, `log2(√5)` = 1.16096404….
const BINARY: Line = Line {
    slope: 0xb1b9_d68a_8e53_425d_e48f_c742_6f0c_4428,
    offset: 0x2934_f097_9a37_15fc_9257_edfe_9b5f_b699,
    offset_whole: 1,
};

/// `log10(2)` in units of 2^−128, rounded down.
const LOG10_2: u128 = 0x4d10_4d42_7de7_fbcc_47c4_acd6_05be_48bc;

/// Returns the number of decimal digits of F(n); F(0) = 0 has one.
///
/// Exact for n ≤ 2^62, without computing F(n).
#[must_use]
pub fn digits(n: u64) -> u64 {
    match small(n) {
        Some(value) => u64::from(value.checked_ilog10().unwrap_or(0)) + 1,
        None => DECIMAL.floor_at(n) + 1,
    }
}

/// Returns the number of significant bits of F(n); F(0) = 0 has none.
///
/// Exact for n ≤ 2^62, without computing F(n).
#[must_use]
pub fn bits(n: u64) -> u64 {
    match small(n) {
        Some(value) => u64::from(u128::BITS - value.leading_zeros()),
        None => BINARY.floor_at(n) + 1,
    }
}

/// The numbers of decimal digits that a number of that many significant bits can have: one or two.
pub(crate) fn digits_of_bits(bits: u64) -> RangeInclusive<u64> {
    let whole = |bits: u64| scaled(bits, LOG10_2).0;
    // Zero has no bits and one digit, hence the saturation.
    whole(bits.saturating_sub(1)) + 1..=whole(bits) + 1
}

impl Line {
    fn floor_at(&self, n: u64) -> u64 {
        let (whole, fraction) = scaled(n, self.slope);
        // n is above 186 here, so the whole part is larger than the offset.
        whole - self.offset_whole - u64::from(fraction < self.offset)
    }
}

/// n·slope as whole part and fraction in units of 2^−128; the whole part is below n, as slope < 1.
fn scaled(n: u64, slope: u128) -> (u64, u128) {
    let lower = u128::from(n) * (slope & u128::from(u64::MAX));
    // (2^64 − 1)² and a carry below 2^64 fit 128 bits.
    let upper = u128::from(n) * (slope >> 64) + (lower >> 64);
    ((upper >> 64) as u64, upper << 64 | lower & u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use malachite_base::num::arithmetic::traits::{DivRound, FloorSqrt, NegMod};
    use malachite_base::num::basic::traits::{One, Zero};
    use malachite_base::num::logic::traits::SignificantBits;
    use malachite_base::rounding_modes::RoundingMode::Ceiling;
    use malachite_nz::natural::Natural;

    use super::*;

    /// The smallest x ≥ 0 with low ≤ a·x mod m ≤ high.
    ///
    /// Either a multiple of a lands there before wrapping, or the number of wraps solves the same problem
    /// modulo a: the Euclidean algorithm.
    fn first_hit(a: &Natural, m: &Natural, low: &Natural, high: &Natural) -> Natural {
        if *low == 0 {
            return Natural::ZERO;
        }
        assert_ne!(*a, 0, "no multiple ever lands there");
        let direct = low.div_round(a, Ceiling).0;
        if &direct * a <= *high {
            return direct;
        }
        let (low_below, high_below) = ((high % a).neg_mod(a), (low % a).neg_mod(a));
        let wraps = if low_below <= high_below {
            first_hit(&(m % a), a, &low_below, &high_below)
        } else {
            Natural::ZERO
        };
        (low + m * wraps).div_round(a, Ceiling).0
    }

    #[test]
    fn first_hit_finds_what_trying_all_finds() {
        let natural = |x: u32| Natural::from(x);
        for (a, m, low, high) in [
            (5, 17, 3, 4),
            (12, 101, 50, 52),
            (57, 100, 99, 99),
            (618, 1000, 1, 2),
        ] {
            let tried = (0..m).find(|x| (low..=high).contains(&(a * x % m)));
            let found = first_hit(&natural(a), &natural(m), &natural(low), &natural(high));
            assert_eq!(Some(found), tried.map(natural), "{a} {m} {low} {high}");
        }
    }

    #[test]
    fn no_index_up_to_2_to_62_is_near_enough_to_an_integer() {
        let circle = Natural::ONE << 128u64;
        let error = Natural::ONE << 63u64; // more than n + 2 for every n ≤ 2^62
        for line in [DECIMAL, BINARY] {
            let (slope, offset) = (Natural::from(line.slope), Natural::from(line.offset));
            let first = first_hit(&slope, &circle, &(&offset - &error), &(&offset + &error));
            assert!(first > Natural::ONE << 62u64, "index {first} is too near to call");
        }
    }

    /// `log_base(x)` for 1 ≤ x < base, both with 512 fractional bits, in units of 2^−128, rounded down.
    ///
    /// Squaring x shifts its logarithm left by one bit, which is 1 when the square reaches the base.
    fn logarithm(mut x: Natural, base: u32) -> u128 {
        let base = Natural::from(base);
        (0..128).fold(0, |bits, _| {
            x = (&x * &x) >> 512u64;
            let reached = (&x >> 512u64) >= base;
            if reached {
                x /= &base;
            }
            bits << 1 | u128::from(reached)
        })
    }

    #[test]
    fn the_constants_are_the_logarithms_to_their_last_bit() {
        let root_of_five = (Natural::from(5u32) << 1024u64).floor_sqrt();
        let phi = ((Natural::ONE << 512u64) + &root_of_five) >> 1u64;
        assert_eq!(DECIMAL.slope, logarithm(phi.clone(), 10));
        assert_eq!(DECIMAL.offset, logarithm(root_of_five.clone(), 10));
        assert_eq!(BINARY.slope, logarithm(phi, 2));
        assert_eq!(BINARY.offset, logarithm(root_of_five >> BINARY.offset_whole, 2));
        assert_eq!(LOG10_2, logarithm(Natural::from(2u32) << 512u64, 10));
    }

    #[test]
    fn both_sides_of_every_change_of_length_are_right() {
        let (mut a, mut b) = (Natural::ZERO, Natural::ONE);
        for n in 0..3000 {
            assert_eq!(digits(n), a.to_string().len() as u64, "digits of F({n})");
            assert_eq!(bits(n), a.significant_bits(), "bits of F({n})");
            assert!(
                digits_of_bits(bits(n)).contains(&digits(n)),
                "digits from the bits of F({n})"
            );
            (a, b) = (b.clone(), a + b);
        }
    }

    #[test]
    fn known_lengths() {
        assert_eq!(
            (digits(1_000_000_000), bits(1_000_000_000)),
            (208_987_640, 694_241_913)
        );
        assert_eq!((digits(1_000_000), digits(10_000_000)), (208_988, 2_089_877));
        assert_eq!((digits(0), bits(0), digits(1), bits(1)), (1, 0, 1, 1));
    }
}
