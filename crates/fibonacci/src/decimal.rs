//! A big number in base ten, in pieces that can be cancelled between.
//!
//! The conversion costs ten times the computation that made the number. The number is halved by its digits
//! until the pieces are short, and those become text by multiplications only (`piece`). Halving at d
//! digits is a shift by d bits and a division by 5^d, which is a third shorter than 10^d. Powers and
//! inverses are made once and shared by all pieces.
//!
//! The observer is called between divisions and between pieces. The first division is the longest:
//! about 20 ms at n = 10⁷, half a second at n = 10⁸.

mod piece;

use malachite_base::num::arithmetic::traits::{DivMod, DivModPrecomputed, ModPowerOf2, Pow, Square};
use malachite_base::num::logic::traits::SignificantBits;
use malachite_nz::natural::Natural;

use crate::magnitude::digits_of_bits;
use crate::progress::{Cancelled, Observer, report};
use piece::{GROUP_DIGITS, Piece};

/// Up to this, one piece, the arithmetic library's own conversion is as fast and takes 5 ms.
const SHORT_DIGITS: u64 = SHORTEST_DIGITS << PIECE_HALVINGS;

/// Halving stops at this many digits, where multiplying out 19 at a time becomes as fast.
const SHORTEST_DIGITS: u64 = 64 * GROUP_DIGITS;

/// Number of the lower halvings that are done by multiplication: pieces of 78,000 to 156,000 digits.
const PIECE_HALVINGS: usize = 7;

type DivisionData = <Natural as DivModPrecomputed>::Data;

/// Writes `value` in base ten.
///
/// ASCII digits, no sign, no leading zeros; zero is `0`. Progress is counted in digits. The text is built in
/// memory, besides a few copies of the number.
///
/// # Errors
/// [`Cancelled`] when `observe` breaks.
pub fn decimal(value: &Natural, observe: &Observer<'_>) -> Result<String, Cancelled> {
    let total = *digits_of_bits(value.significant_bits()).end();
    report(observe, 0, total)?;
    if total <= SHORT_DIGITS {
        return Ok(value.to_string());
    }
    let mut conversion = Conversion::prepare(total, observe)?;
    conversion.write(value.clone(), total, conversion.divisors.len())?;
    Ok(conversion.into_text())
}

struct Conversion<'a> {
    observe: &'a Observer<'a>,
    total: u64,
    piece: Piece,
    /// Each of twice the digits of the one before; the first has as many as a piece.
    divisors: Vec<Divisor>,
    text: Vec<u8>,
}

/// 5^digits, and what speeds up dividing by it; `None` for the one that divides only once.
struct Divisor {
    digits: u64,
    power: Natural,
    data: Option<DivisionData>,
}

impl<'a> Conversion<'a> {
    fn prepare(total: u64, observe: &'a Observer<'a>) -> Result<Self, Cancelled> {
        let (shortest, halvings) = shape(total);
        let mut fives = vec![Natural::from(5u32).pow(shortest)];
        for level in 1..halvings {
            report(observe, 0, total)?;
            fives.push((&fives[level - 1]).square());
        }
        // Above `SHORT_DIGITS` there are at least eight halvings, so `upper` has a first power.
        let upper = fives.split_off(PIECE_HALVINGS);
        let piece = Piece::new(shortest, fives, &upper[0]);
        let mut divisors = Vec::with_capacity(upper.len());
        for (level, power) in upper.into_iter().enumerate() {
            report(observe, 0, total)?;
            let divides_often = PIECE_HALVINGS + level + 1 < halvings;
            let data = divides_often.then(|| <Natural as DivModPrecomputed>::precompute_div_mod_data(&power));
            divisors.push(Divisor {
                digits: piece.digits() << level,
                power,
                data,
            });
        }
        // The topmost piece is written in its full width before the zeros on its left are removed.
        let text = Vec::with_capacity(in_memory(total + piece.digits()));
        Ok(Self {
            observe,
            total,
            piece,
            divisors,
            text,
        })
    }

    /// Appends `value`, padded with zeros to `digits`, using the first `level` divisors.
    fn write(&mut self, mut value: Natural, digits: u64, level: usize) -> Result<(), Cancelled> {
        let Some(below) = level.checked_sub(1) else {
            self.write_piece(&value, digits);
            return report(self.observe, self.text.len() as u64, self.total);
        };
        let divisor = &self.divisors[below];
        let lower_digits = divisor.digits;
        if digits <= lower_digits {
            return self.write(value, digits, below);
        }
        let lowest_bits = (&value).mod_power_of_2(lower_digits);
        value >>= lower_digits;
        let (upper, rest) = divisor.divide(value);
        let lower = (rest << lower_digits) + lowest_bits;
        report(self.observe, self.text.len() as u64, self.total)?;
        self.write(upper, digits - lower_digits, below)?;
        self.write(lower, lower_digits, below)
    }

    fn write_piece(&mut self, value: &Natural, digits: u64) {
        let (start, width) = (self.text.len(), in_memory(self.piece.digits()));
        if self.piece.write(value, &mut self.text).is_none() {
            let exact = value.to_string();
            // Some digits may have been written before the piece turned out to be ambiguous.
            self.text.truncate(start);
            self.text.resize(start + width - exact.len(), b'0');
            self.text.extend_from_slice(exact.as_bytes());
        }
        // Only the topmost piece is shorter than the others.
        self.text.drain(start..start + width - in_memory(digits));
    }

    /// The count of digits that we started from may be one too large.
    fn into_text(self) -> String {
        let mut text = String::from_utf8(self.text).expect("only ASCII digits were written");
        if text.starts_with('0') {
            text.remove(0);
        }
        text
    }
}

impl Divisor {
    fn divide(&self, value: Natural) -> (Natural, Natural) {
        match &self.data {
            Some(data) => value.div_mod_precomputed(&self.power, data),
            None => value.div_mod(&self.power),
        }
    }
}

/// The length to stop halving at, a multiple of 19 digits, and how many halvings lead there from `total`.
fn shape(total: u64) -> (u64, usize) {
    let mut halvings = 0;
    while total.div_ceil(1 << halvings) > SHORTEST_DIGITS {
        halvings += 1;
    }
    (
        total.div_ceil(1 << halvings).next_multiple_of(GROUP_DIGITS),
        halvings,
    )
}

fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("the text of a number in memory has a length that fits usize")
}
