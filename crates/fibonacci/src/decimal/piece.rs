//! A number of fixed length in base ten, by multiplications only.
//!
//! The piece is turned into a fraction once, (N + ½)/10^d, and read from the top. Its first half of digits
//! are those of the same fraction at half the precision, which costs nothing; its second half are what is
//! left above the point after multiplying by 10^(d/2). One product for a whole level, where a conversion by
//! division needs two even with the inverse at hand. At the end 10¹⁹ is multiplied in, 19 digits at a time.
//!
//! Every cut makes a fraction smaller, by less than 2^−64 of its last digit, and fewer than 128 cuts lead to
//! any digit. So digits are right unless what is left behind the last of them is within 128·2^−64 of 1, and
//! [`AMBIGUOUS`] finds those with some margin. There, next to a long run of zeros or nines, the piece says
//! that it does not know. Other digits look like that once in 2^56 times.
//!
//! Source: Brent and Zimmermann, Modern Computer Arithmetic, §1.7; the reading from the top is Bernstein's.

use malachite_base::num::arithmetic::traits::{ModPowerOf2, ModPowerOf2Assign};
use malachite_base::num::basic::traits::One;
use malachite_base::num::logic::traits::SignificantBits;
use malachite_nz::natural::Natural;

/// Digits in the largest power of ten below 2^64.
pub(super) const GROUP_DIGITS: u64 = 19;
const GROUP: u64 = 10_000_000_000_000_000_000;

/// A rest with a highest limb from here up may stand for the next digit.
const AMBIGUOUS: u64 = u64::MAX - 255;

/// Converts numbers below 10^digits.
pub(super) struct Piece {
    /// From the shortest: each splits twice the digits of the one before.
    halvings: Vec<Halving>,
    digits: u64,
    /// `⌊2^reciprocal_bits / 5^digits⌋`.
    reciprocal: Natural,
    reciprocal_bits: u64,
}

/// 5^digits, for splitting twice as many.
struct Halving {
    digits: u64,
    power: Natural,
}

impl Piece {
    /// Prepares for pieces of `powers.len()` halvings; `powers` are 5^d for d = `shortest`, twice that and so
    /// on, and `top` the next.
    pub(super) fn new(shortest: u64, powers: Vec<Natural>, top: &Natural) -> Self {
        let digits = shortest << powers.len();
        let reciprocal_bits = top.significant_bits() + precision(digits);
        let reciprocal = (Natural::ONE << reciprocal_bits) / top;
        let halvings = powers
            .into_iter()
            .enumerate()
            .map(|(level, power)| Halving {
                digits: shortest << level,
                power,
            })
            .collect();
        Self {
            halvings,
            digits,
            reciprocal,
            reciprocal_bits,
        }
    }

    /// Number of digits of a piece.
    pub(super) fn digits(&self) -> u64 {
        self.digits
    }

    /// Appends all digits of `value`, leading zeros included; `None` when they are ambiguous.
    pub(super) fn write(&self, value: &Natural, text: &mut Vec<u8>) -> Option<()> {
        // (2N + 1) / (2·10^d), rounded down twice: once in the reciprocal, once here.
        let numerator = (value << 1u64) + Natural::ONE;
        let excess = self.digits + 1 + self.reciprocal_bits - precision(self.digits);
        let fraction = (numerator * &self.reciprocal) >> excess;
        self.write_fraction(fraction, self.halvings.len(), text)
    }

    fn write_fraction(&self, fraction: Natural, level: usize, text: &mut Vec<u8>) -> Option<()> {
        let Some(below) = level.checked_sub(1) else {
            return write_groups(fraction, self.digits >> self.halvings.len(), text);
        };
        let Halving { digits, power } = &self.halvings[below];
        let (whole, half) = (precision(2 * digits), precision(*digits));
        // Times 10^digits is times 5^digits with the point `digits` further down.
        let point = whole - digits;
        let mut lower = (&fraction).mod_power_of_2(point) * power;
        lower >>= point - half;
        lower.mod_power_of_2_assign(half);
        self.write_fraction(fraction >> (whole - half), below, text)?;
        self.write_fraction(lower, below, text)
    }
}

/// Bits that hold a fraction of so many digits and 64 more, as whole limbs.
fn precision(digits: u64) -> u64 {
    limbs(digits) as u64 * 64
}

/// `log2(10)` is just below 3402/1024.
fn limbs(digits: u64) -> usize {
    usize::try_from((digits * 3402).div_ceil(1024 * 64) + 1).expect("a piece fits in memory")
}

fn write_groups(fraction: Natural, digits: u64, text: &mut Vec<u8>) -> Option<()> {
    let mut limbs_left = fraction.into_limbs_asc();
    // A `Natural` has no zero limbs at the top; the fraction has all of its places.
    limbs_left.resize(limbs(digits), 0);
    let mut rest = limbs_left.as_mut_slice();
    for group in (0..digits / GROUP_DIGITS).rev() {
        write_group(take_group(rest), text);
        // Fewer digits need fewer bits: the lowest limbs are dropped from group to group.
        let needed = limbs(group * GROUP_DIGITS);
        let unneeded = rest.len() - needed;
        rest = &mut rest[unneeded..];
    }
    // `limbs(0)` is 1, so the one limb that is left decides.
    rest.last().filter(|limb| **limb < AMBIGUOUS).map(|_| ())
}

/// Multiplies by 10¹⁹ and returns what comes above the point.
#[expect(clippy::cast_possible_truncation, reason = "the low and the high limb of two")]
fn take_group(fraction: &mut [u64]) -> u64 {
    let mut carry = 0;
    for limb in fraction {
        let product = u128::from(*limb) * u128::from(GROUP) + u128::from(carry);
        *limb = product as u64;
        carry = (product >> 64) as u64;
    }
    carry
}

fn write_group(group: u64, text: &mut Vec<u8>) {
    let mut ascii = [b'0'; 19];
    let (first, rest) = (group / 10_000_000_000_000_000, group % 10_000_000_000_000_000);
    write_digits(first, &mut ascii[..3]);
    write_digits(rest / 100_000_000, &mut ascii[3..11]);
    write_digits(rest % 100_000_000, &mut ascii[11..]);
    text.extend_from_slice(&ascii);
}

/// Writes the last digits of a value below 2^32; the division is then a short multiplication.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is below 2^32, a digit below 10"
)]
fn write_digits(value: u64, ascii: &mut [u8]) {
    let mut left = value as u32;
    for digit in ascii.iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
}

#[cfg(test)]
mod tests {
    use malachite_base::num::arithmetic::traits::Pow;

    use super::*;

    /// Pieces of 8 · 38 digits.
    fn piece() -> Piece {
        let five = |digits: u64| Natural::from(5u32).pow(digits);
        Piece::new(38, vec![five(38), five(76), five(152)], &five(304))
    }

    fn written(value: &Natural) -> Option<String> {
        let mut text = Vec::new();
        piece().write(value, &mut text)?;
        String::from_utf8(text).ok()
    }

    #[test]
    fn digits_are_those_of_the_value_with_leading_zeros() {
        for exponent in [40u64, 300, 900] {
            let value = Natural::from(3u32).pow(exponent * 637 / 900);
            assert_eq!(
                written(&value),
                Some(format!("{value:0>304}")),
                "3^{}",
                exponent * 637 / 900
            );
        }
    }

    #[test]
    fn digits_next_to_a_run_of_zeros_or_nines_are_not_guessed() {
        let ten = |digits: u64| Natural::from(10u32).pow(digits);
        assert_eq!(written(&(ten(200) * Natural::from(7u32))), None, "zeros behind");
        assert_eq!(written(&(ten(200) + Natural::ONE)), None, "zeros between");
        assert_eq!(written(&(ten(304) - Natural::ONE)), None, "nines only");
    }
}
