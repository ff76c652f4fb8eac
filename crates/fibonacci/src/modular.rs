//! F(n) modulo m without computing F(n), and the residues of numbers that were computed.
//!
//! The two meet in the [`Certificate`](crate::Certificate): one side never sees a big number, the other
//! reads one to its last limb. Moduli are odd, above 1 and below 2^63, as the reduction needs them; their
//! primality does not matter here. The residue of a big number takes one multiplication per 64 bits in four
//! independent chains, since a single chain would wait for its own result most of the time.

mod decimal;

use std::array::from_fn;

use malachite_nz::natural::Natural;

use crate::montgomery::Montgomery;

pub use crate::montgomery::ModulusError;
pub(crate) use decimal::{DecimalReader, limbs_residues};

/// Why a text has no residue; terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The modulus cannot be used.
    #[error(transparent)]
    Modulus(#[from] ModulusError),
    /// Something else than the digits 0 to 9; an empty text has none at position 0.
    #[error("no decimal digit at byte {position}")]
    NotADigit {
        /// Byte offset into the text.
        position: usize,
    },
}

/// Returns F(n) modulo `modulus` by fast doubling.
///
/// `n` is any index; `modulus` is odd, above 1 and below 2^63. Three multiplications per bit of n, below a
/// microsecond.
///
/// # Errors
/// [`ModulusError`] when `modulus` is even, too small or too large.
///
/// Source: Knuth, TAOCP vol. 1, §1.2.8; Montgomery, Math. Comp. 44 (1985).
pub fn fibonacci_mod(n: u64, modulus: u64) -> Result<u64, ModulusError> {
    Montgomery::new(modulus).map(|field| fibonacci_in(n, &field))
}

/// Returns `value` modulo `modulus`, in time linear in its length: about 1 ns per 64 bits.
///
/// # Errors
/// [`ModulusError`] when `modulus` is even, too small or too large.
pub fn residue(value: &Natural, modulus: u64) -> Result<u64, ModulusError> {
    Montgomery::new(modulus).map(|field| residue_in(value, &field))
}

/// Returns the number that `digits` writes in base ten, modulo `modulus`, without building the number.
///
/// `digits` is ASCII digits only: no sign, no spaces; leading zeros count for nothing. Linear in its length.
///
/// # Errors
/// [`DecimalError`] when `modulus` cannot be used or `digits` is not a decimal number.
pub fn residue_of_decimal(digits: &str, modulus: u64) -> Result<u64, DecimalError> {
    let mut reader = DecimalReader::new([Montgomery::new(modulus)?]);
    reader.update(digits.as_bytes());
    reader
        .finish()
        .map(|[residue]| residue)
        .map_err(|position| DecimalError::NotADigit { position })
}

/// F(n) in `field`: (a, b) is (F(k), F(k+1)) for the prefixes k of n.
pub(crate) fn fibonacci_in(n: u64, field: &Montgomery) -> u64 {
    let (mut a, mut b) = (0, field.one());
    for bit in (0..u64::BITS - n.leading_zeros()).rev() {
        // F(2k) = F(k)·(2F(k+1) − F(k)), F(2k+1) = F(k)² + F(k+1)².
        let even = field.mul(a, field.sub(field.add(b, b), a));
        let odd = field.add(field.mul(a, a), field.mul(b, b));
        (a, b) = if n >> bit & 1 == 0 {
            (even, odd)
        } else {
            (odd, field.add(even, odd))
        };
    }
    field.plain(a)
}

/// Four quarters of the limbs, each from its lowest limb up: a limb is absorbed by a division by 2^64, so
/// each quarter of q limbs comes out too small by (2^64)^q, which is multiplied back when they are joined.
pub(crate) fn residue_in(value: &Natural, field: &Montgomery) -> u64 {
    let limbs = value.as_limbs_asc();
    let quarter = limbs.len() / 4;
    let (quarters, top) = limbs.split_at(4 * quarter);
    let lanes: [&[u64]; 4] = from_fn(|lane| &quarters[lane * quarter..][..quarter]);
    let mut sums = [0; 4];
    for (((a, b), c), d) in lanes[0].iter().zip(lanes[1]).zip(lanes[2]).zip(lanes[3]) {
        sums[0] = field.absorb(sums[0], *a);
        sums[1] = field.absorb(sums[1], *b);
        sums[2] = field.absorb(sums[2], *c);
        sums[3] = field.absorb(sums[3], *d);
    }
    let top_sum = top.iter().fold(0, |sum, limb| field.absorb(sum, *limb));
    let top_residue = field.mul(top_sum, field.power_of_r(top.len()));
    let scale = field.power_of_r(quarter);
    // Horner's rule from the top. The product comes after the addition, so that it also restores the quarter.
    sums.iter()
        .rev()
        .fold(top_residue, |above, sum| field.mul(field.add(above, *sum), scale))
}
