//! All decimal digits of F(n), computed in base ten from the start.
//!
//! Conversion is what costs, not multiplication: of the time for the digits of F(10⁸) by way of a binary
//! number it takes nine tenths. Here the numbers are decimal all along, and a digit is written by looking it
//! up. The state is (k, F(k), F(k+1)) with k a prefix of n's bits, beginning at numbers of some hundred digits;
//! a step appends a bit, and the last one computes only F(n). `radix` has the arithmetic.
//!
//! At the last step it takes about eight times the memory of the text: 1.5 GB for F(10⁹), whose text takes
//! 0.2. Two threads are used when there are two processors; the digits are the same with one.

use std::num::NonZero;

use crate::certificate::{FIELDS, fibonacci_residues};
use crate::decimal::decimal;
use crate::doubling::{PartsError, doubling_with};
use crate::limbs::DECIMAL_LIMB;
use crate::magnitude::{bits, digits, digits_of_bits};
use crate::modular::limbs_residues;
use crate::progress::{Cancelled, Observer, Progress, unobserved};
use crate::radix::decimal::{from_limbs, to_limbs, to_text};
use crate::radix::{Base, Course, Pair};
use crate::task::{Ledger, Task, processors};

/// Up to here a binary number and its conversion are faster.
const SHORT_DIGITS: u64 = 2_500;

/// Numbers of so many digits are converted to begin with.
const FIRST_DIGITS: u64 = 400;

/// Returns all decimal digits of F(n), by the fastest way for n.
///
/// ASCII digits, no sign, no leading zeros; F(0) is `0`. The observer is called on the calling thread, every
/// few milliseconds on an idle machine; at n = 10⁹ there is a gap of 0.2 s before the end. Progress is counted in units of about a nanosecond.
///
/// # Errors
/// [`Cancelled`] when `observe` breaks; all threads have ended then.
pub fn decimal_digits(n: u64, observe: &Observer<'_>) -> Result<String, Cancelled> {
    decimal_digits_with(n, processors(), observe)
}

/// Returns all decimal digits of F(n) as [`decimal_digits`] does, on at most `threads` threads.
///
/// More than two are not used; the digits are the same with any number.
///
/// # Errors
/// [`Cancelled`] when `observe` breaks; all threads have ended then.
pub fn decimal_digits_with(
    n: u64,
    threads: NonZero<usize>,
    observe: &Observer<'_>,
) -> Result<String, Cancelled> {
    if digits(n) <= SHORT_DIGITS {
        by_conversion(n, threads, observe)
    } else {
        DecimalDoubling::new(n).with_threads(threads).finish(observe)
    }
}

/// A computation of the decimal digits of F(n) that can be stored between any two bits of n and resumed
/// elsewhere.
///
/// [`step`](Self::step) until [`is_done`](Self::is_done), then [`finish`](Self::finish). The state holds two
/// numbers of 0.209·k digits each, in two bytes for three or four digits.
pub struct DecimalDoubling {
    course: Course,
}

/// The parts of a [`DecimalDoubling`], besides its target n.
///
/// Numbers are in base 10^18, lowest limb first, without zeros at the top; zero has no limbs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalParts {
    /// The index reached: n without one or more of its lowest bits.
    pub k: u64,
    /// F(k).
    pub value: Vec<u64>,
    /// F(k+1).
    pub next: Vec<u64>,
}

impl DecimalDoubling {
    /// Starts a computation of F(n).
    #[must_use]
    pub fn new(n: u64) -> Self {
        Self {
            course: Course::new(n, Base::DECIMAL, FIRST_DIGITS),
        }
    }

    /// Sets how many threads may run; more than two are not used, and by default as many as there are processors.
    #[must_use]
    pub fn with_threads(self, threads: NonZero<usize>) -> Self {
        Self {
            course: self.course.with_threads(threads),
        }
    }

    /// The index whose number is computed.
    #[must_use]
    pub fn target(&self) -> u64 {
        self.course.target()
    }

    /// The index reached, k ≤ n/2.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.course.index()
    }

    /// Returns whether no step is left, only [`finish`](Self::finish): one product and the text.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.course.is_done()
    }

    /// Appends the next bit of n to k; does nothing when the state is done.
    ///
    /// Progress is that of the whole computation. Both new numbers are compared with those of their index
    /// modulo a prime of 61 bits.
    ///
    /// # Errors
    /// [`Cancelled`] when `observe` breaks; the state is what it was before the step.
    pub fn step(&mut self, observe: &Observer<'_>) -> Result<(), Cancelled> {
        self.course.step(observe)
    }

    /// Takes the steps that are left and the last product, and returns the digits of F(n).
    ///
    /// # Errors
    /// [`Cancelled`] when `observe` breaks; all threads have ended then.
    pub fn finish(self, observe: &Observer<'_>) -> Result<String, Cancelled> {
        let (n, threads) = (self.course.target(), self.course.threads());
        let text = self
            .course
            .finish(observe, |value, base, task| to_text(value, base, digits(n), task))?;
        // `None` is a product whose check failed, or a text that has not as many digits as F(n).
        match text.flatten() {
            Some(text) => Ok(text),
            None => by_conversion(n, threads, observe),
        }
    }

    /// Copies what has to be stored besides n: 0.093·k bytes for each of the two numbers, about, in 0.06 s at
    /// k = 5·10⁸.
    #[must_use]
    pub fn parts(&self) -> DecimalParts {
        let Pair { base, value, next } = self.course.pair();
        let k = self.course.index();
        let numbers = [value, next].map(Vec::as_slice);
        let [value, next] = both(k, numbers, self.course.threads(), |places| {
            to_limbs(places, *base)
        });
        DecimalParts { k, value, next }
    }

    /// Resumes the computation of F(n) from stored parts, on at most `threads` threads, and keeps to them.
    ///
    /// It needs no more memory than the computation that was stored. Both numbers are checked modulo the three primes of the certificate, so a damaged or exchanged state
    /// is noticed here and not in the result. That and the conversion take 0.1 s at k = 5·10⁸.
    ///
    /// # Errors
    /// [`PartsError`] when the parts do not belong to a computation of F(n); terminal.
    pub fn from_parts(n: u64, parts: DecimalParts, threads: NonZero<usize>) -> Result<Self, PartsError> {
        let DecimalParts { k, value, next } = parts;
        if !is_on_the_way(n, k) {
            return Err(PartsError::NotOnTheWay { n, k });
        }
        let base = Base::DECIMAL;
        let numbers = [(value, k), (next, k + 1)];
        // The limbs of each number go as soon as its places are there.
        let places = both(k, numbers, threads, |(limbs, index)| {
            is_fibonacci(&limbs, index).then(|| from_limbs(&limbs, base))
        });
        let [Some(value), Some(next)] = places else {
            return Err(PartsError::NotFibonacci { k });
        };
        let course = Course::at(n, k, Pair { base, value, next });
        Ok(Self { course }.with_threads(threads))
    }
}

/// Returns whether limbs are those of F(index), modulo the primes of the certificate.
fn is_fibonacci(limbs: &[u64], index: u64) -> bool {
    // Comes first, because the sums of `limbs_residues` may overflow with larger limbs.
    limbs.iter().all(|limb| *limb < DECIMAL_LIMB)
        && limbs.last() != Some(&0)
        && limbs_residues(limbs, &FIELDS) == fibonacci_residues(index)
}

/// Converts the two numbers at index k, at the same time if they are long and a second thread is allowed.
fn both<N: Send, C: Send>(
    k: u64,
    [value, next]: [N; 2],
    threads: NonZero<usize>,
    convert: impl Fn(N) -> C + Sync,
) -> [C; 2] {
    let ledger = Ledger::new(0, 1);
    // A digit, in or out, is counted as a unit.
    let task = Task::new(&ledger, &unobserved, threads.get()).sized(digits(k));
    let converted = task.both(|_| Ok(convert(value)), |_| Ok(convert(next)));
    converted.expect("nobody observes, so nobody cancels").into()
}

/// Returns whether k is n without one or more of its lowest bits; 0 only if no other is.
fn is_on_the_way(n: u64, k: u64) -> bool {
    let bits_left = k.leading_zeros().saturating_sub(n.leading_zeros());
    n.checked_shr(bits_left) == Some(k) && (bits_left > 0 || n == 0) && (k > 0 || n <= 1)
}

/// The digits of F(n) by a binary number, whose computation counts for nothing beside its conversion.
fn by_conversion(n: u64, threads: NonZero<usize>, observe: &Observer<'_>) -> Result<String, Cancelled> {
    let total = *digits_of_bits(bits(n)).end();
    // Reported as the beginning of the conversion, so that `total` stays the same to the end.
    let value = doubling_with(n, threads, &|_| observe(Progress { done: 0, total }))?;
    decimal(&value, observe)
}
