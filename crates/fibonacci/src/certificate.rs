//! Conditions that a value must satisfy to be F(n), known without computing F(n).
//!
//! A certificate is F(n) modulo three primes of 61 bits, by fast doubling on 64-bit words, and the exact
//! number of decimal digits, from n·log₁₀ φ. It shares no code with the big computation but the reduction
//! modulo a prime, and costs microseconds. Checking reads the whole value.
//!
//! A damaged value passes only when the damage is a multiple of the product of all three primes, a number of
//! 183 bits: a flipped bit, a wrong digit or two exchanged limbs never are, and of random values one in
//! 10⁵⁵. It guards against faults of hardware, storage and arithmetic, not against an adversary, who can
//! add that multiple on purpose.

mod decimal_check;

use malachite_base::num::logic::traits::SignificantBits;
use malachite_nz::natural::Natural;

use crate::magnitude::{digits, digits_of_bits};
use crate::modular::{fibonacci_in, residue_in};
use crate::montgomery::Montgomery;

pub use self::decimal_check::DecimalCheck;

/// The field that intermediate results are compared in.
pub(crate) const CHECK_FIELD: Montgomery = FIELDS[0];

pub(crate) const FIELDS: [Montgomery; 3] = {
    let [p, q, r] = Certificate::PRIMES;
    [
        Montgomery::prepare(p),
        Montgomery::prepare(q),
        Montgomery::prepare(r),
    ]
};

/// Residues and digit count of one F(n).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// F(n) modulo [`Certificate::PRIMES`], in their order.
    pub residues: [u64; 3],
    /// Number of decimal digits.
    pub digits: u64,
}

/// A disagreement with a certificate: the value is not the number the certificate was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The number of decimal digits.
    #[error("the value has {found} decimal digits, certified are {expected}")]
    Digits {
        /// As certified.
        expected: u64,
        /// As counted, or for a [`Natural`] the most that its length in bits allows.
        found: u64,
    },
    /// The residue modulo one of the primes.
    #[error("the value modulo {prime} is {found}, certified is {expected}")]
    Residue {
        /// The first prime that disagrees.
        prime: u64,
        /// As certified.
        expected: u64,
        /// As computed from the value.
        found: u64,
    },
    /// The text is not a number in base ten.
    #[error("the value has no decimal digit at byte {position}")]
    NotADigit {
        /// Byte offset into the text.
        position: usize,
    },
}

impl Certificate {
    /// The three largest safe primes p below 2^61 with p ≡ 4 (mod 5): 2^61 less 2,373, 3,153 and 8,133.
    ///
    /// (p − 1)/2 is prime too, and 5 is a square modulo p, so the powers of 2, of 10 and of φ all repeat
    /// only after (p − 1)/2 > 2^59 at the earliest: a value shifted by some limbs or digits, or that of
    /// another index, has another residue. (A Mersenne prime would be blind to shifts by 61 limbs.) They
    /// are part of what a stored certificate means and never change.
    pub const PRIMES: [u64; 3] = [
        0x1fff_ffff_ffff_f6bb,
        0x1fff_ffff_ffff_f3af,
        0x1fff_ffff_ffff_e03b,
    ];

    /// Returns the certificate of F(n), in microseconds and without a big number.
    ///
    /// The digit count is exact for n ≤ 2^62, see [`digits`].
    #[must_use]
    pub fn for_index(n: u64) -> Self {
        Self {
            residues: fibonacci_residues(n),
            digits: digits(n),
        }
    }

    /// Checks a value by its length and its residues, reading it once per prime.
    ///
    /// The length in bits leaves two possible digit counts at most; the residues decide the rest.
    ///
    /// # Errors
    /// [`Mismatch`] names the first thing that does not agree; terminal.
    pub fn check(&self, value: &Natural) -> Result<(), Mismatch> {
        // The length comes first because it costs nothing; the residues are three passes over the value.
        let possible = digits_of_bits(value.significant_bits());
        if !possible.contains(&self.digits) {
            return Err(Mismatch::Digits {
                expected: self.digits,
                found: *possible.end(),
            });
        }
        self.check_residues(value_residues(value))
    }

    /// Checks a value written in base ten, reading it once; its digits are counted exactly.
    ///
    /// [`DecimalCheck`] does the same for a text that is not in memory as a whole.
    ///
    /// # Errors
    /// [`Mismatch`] names the first thing that does not agree; terminal.
    pub fn check_decimal(&self, text: &str) -> Result<(), Mismatch> {
        let mut check = DecimalCheck::new();
        check.update(text.as_bytes());
        check.finish(self)
    }

    /// Compares residues found with those certified, in the order of the primes.
    pub(crate) fn check_residues(&self, residues: [u64; 3]) -> Result<(), Mismatch> {
        for ((prime, expected), found) in Self::PRIMES.into_iter().zip(self.residues).zip(residues) {
            if expected != found {
                return Err(Mismatch::Residue {
                    prime,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

/// F(n) modulo the three primes.
pub(crate) fn fibonacci_residues(n: u64) -> [u64; 3] {
    FIELDS.each_ref().map(|field| fibonacci_in(n, field))
}

/// A number modulo the three primes.
pub(crate) fn value_residues(value: &Natural) -> [u64; 3] {
    FIELDS.each_ref().map(|field| residue_in(value, field))
}
