//! Fast doubling: two squarings per bit of n, and one product for the last bit.
//!
//! The state is (k, F(k), F(k−1)) where k is a prefix of n's bits. It starts at the longest prefix that the
//! 128-bit table holds. A step appends the next bit of n to k:
//!
//! - F(2k+1) = 4·F(k)² − F(k−1)² + 2·(−1)^k
//! - F(2k−1) = F(k)² + F(k−1)²
//! - F(2k) = F(2k+1) − F(2k−1)
//!
//! For the last bit only F(n) is wanted, and that is one product instead of two squarings, which saves 20
//! to 35 % of the whole: F(2k) = F(k)·(F(k) + 2·F(k−1)) and
//! F(2k+1) = (2·F(k) + F(k−1))·(2·F(k) − F(k−1)) + 2·(−1)^k.
//!
//! Which multiplication is used depends on the length: the arithmetic library's own [`Natural::fibonacci`] for short
//! numbers, our transform from some ten thousand digits on, the library's multiplication with both squarings at
//! the same time where that is faster, and the transform again where the library could not be cancelled in
//! time. [`doubling()`] keeps numbers in the transform's form from step to step; [`Doubling`] converts them in each.
//!
//! Source: the identities are those of GMP's manual, §15.7.5, after Knuth, TAOCP vol. 1, §1.2.8.

use std::num::NonZero;
use std::ops::Range;

use malachite_base::num::arithmetic::traits::{Fibonacci, Square};
use malachite_base::num::logic::traits::SignificantBits;
use malachite_nz::natural::Natural;

use crate::certificate::{fibonacci_residues, value_residues};
use crate::limbs::combine;
use crate::magnitude::bits;
use crate::progress::{Cancelled, Observer, report, unobserved};
use crate::radix::binary::{limbs, to_limbs};
use crate::radix::{Base, Course, Pair};
use crate::table::small;
use crate::task::{Ledger, Task, processors};

/// Shorter numbers are left to the arithmetic library.
const TRANSFORM_BITS: u64 = 100_000;

/// In between its multiplication, which takes less memory, is faster than our transform, and our squarings on two
/// threads are worth more. Longer ones could not be cancelled soon enough.
const LIBRARY_BITS: Range<u64> = 20_000_000..100_000_000;

/// The length from which on the transform is used.
const FIRST_DIGITS: u64 = 2_000;

/// Computes F(n), by the fastest way for n.
///
/// Progress is counted in units that are the same for one computation. The observer is called every few
/// milliseconds on an idle machine, but not within a multiplication by the arithmetic library, which takes about 0.1 s at n = 10⁸.
///
/// # Errors
/// [`Cancelled`] when `observe` breaks; all threads have ended then.
pub fn doubling(n: u64, observe: &Observer<'_>) -> Result<Natural, Cancelled> {
    doubling_with(n, processors(), observe)
}

/// The same with at most so many threads.
pub(crate) fn doubling_with(
    n: u64,
    threads: NonZero<usize>,
    observe: &Observer<'_>,
) -> Result<Natural, Cancelled> {
    let length = bits(n);
    if length < TRANSFORM_BITS {
        report(observe, 0, 1)?;
        return Ok(Natural::fibonacci(n));
    }
    if !LIBRARY_BITS.contains(&length) {
        let course = Course::new(n, Base::BINARY, FIRST_DIGITS).with_threads(threads);
        if let Some(limbs) = course.finish(observe, to_limbs)? {
            return Ok(Natural::from_owned_limbs_asc(limbs));
        }
    }
    // For lengths at which the library is better, and after a check that failed.
    let mut state = Doubling::new(n);
    while !state.is_done() {
        report(observe, state.k, n)?;
        state.step_by_library(threads);
    }
    report(observe, state.k, n)?;
    Ok(state.finish_by_library(threads))
}

/// The squares of two numbers, on two threads if they are long and so many are allowed.
fn squares(x: &Natural, y: &Natural, threads: NonZero<usize>) -> (Natural, Natural) {
    let ledger = Ledger::new(0, 1);
    let task = Task::new(&ledger, &unobserved, threads.get()).sized(x.significant_bits());
    match task.both(|_| Ok(x.square()), |_| Ok(y.square())) {
        Ok(squares) => squares,
        // Nobody observes, so this does not happen.
        Err(Cancelled) => (x.square(), y.square()),
    }
}

/// A computation of F(n) that can be stored between any two bits of n and resumed elsewhere.
///
/// [`step`](Self::step) until [`is_done`](Self::is_done), then [`finish`](Self::finish). The state holds two
/// numbers of 0.694·k bits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubling {
    n: u64,
    k: u64,
    value: Natural,
    previous: Natural,
}

/// The parts of a [`Doubling`], besides its target n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The index reached: n without its lowest bits.
    pub k: u64,
    /// F(k).
    pub value: Natural,
    /// F(k−1); F(−1) = 1.
    pub previous: Natural,
}

/// Why parts are not a state on the way to F(n).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// `k` is not n without some of its lowest bits.
    #[error("index {k} is not on the way to index {n}")]
    NotOnTheWay {
        /// The target.
        n: u64,
        /// The index given.
        k: u64,
    },
    /// The numbers are not F(k) and F(k−1): damaged, or of another index.
    #[error("the numbers stored for index {k} are not F({k}) and the one before it")]
    NotFibonacci {
        /// The index given.
        k: u64,
    },
}

impl Doubling {
    /// Starts a computation of F(n); for n ≤ 186 it is done at once.
    #[must_use]
    pub fn new(n: u64) -> Self {
        let mut k = n;
        loop {
            if let Some(value) = small(k) {
                let previous = k.checked_sub(1).and_then(small).unwrap_or(1);
                return Self {
                    n,
                    k,
                    value: value.into(),
                    previous: previous.into(),
                };
            }
            k >>= 1;
        }
    }

    /// The index that is computed.
    #[must_use]
    pub fn target(&self) -> u64 {
        self.n
    }

    /// The index reached, k ≤ n.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.k
    }

    /// Returns whether no step is left: only [`finish`](Self::finish), at most one product.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.k >= self.n >> 1
    }

    /// Appends the next bit of n to k, by two products; does nothing when the state is done.
    pub fn step(&mut self) {
        if self.is_done() {
            return;
        }
        if !self.is_long() {
            return self.step_by_library(processors());
        }
        let mut course = self.course();
        // Nobody observes, so nobody cancels.
        let _ = course.step(&unobserved);
        let Pair { base, value, next } = course.pair();
        let [value, next] = [value, next].map(|places| Natural::from_owned_limbs_asc(limbs(places, *base)));
        self.previous = next - &value;
        self.value = value;
        self.k = course.index();
    }

    fn step_by_library(&mut self, threads: NonZero<usize>) {
        let sign = self.twice_sign();
        let next = self.n >> (self.bits_left() - 1);
        let (x, y) = squares(&self.value, &self.previous, threads);
        // x and y are F(k)² and F(k−1)². F(2k) is F(2k+1) − F(2k−1) put in, so that one pass gives both.
        (self.value, self.previous) = if next & 1 == 0 {
            combine::<3, -2, 1, 1>(x, y, (sign, 0))
        } else {
            combine::<4, -1, 3, -2>(x, y, (sign, sign))
        };
        self.k = next;
    }

    /// Returns whether the transform is faster, for numbers of twice this length.
    fn is_long(&self) -> bool {
        let length = 2 * self.value.significant_bits();
        length >= TRANSFORM_BITS && !LIBRARY_BITS.contains(&length)
    }

    fn course(&self) -> Course {
        let next = &self.value + &self.previous;
        let pair = Pair::from_naturals(&self.value, &next, Base::BINARY);
        Course::at(self.n, self.k, pair)
    }

    /// Takes the steps that are left and the last product, and returns F(n).
    #[must_use]
    pub fn finish(mut self) -> Natural {
        while !self.is_done() {
            self.step();
        }
        if self.k < self.n && self.is_long() {
            // A copy in the transform's form: the state is still here if the check fails.
            let course = self.course();
            let written = course.finish(&unobserved, to_limbs);
            if let Ok(Some(limbs)) = written {
                return Natural::from_owned_limbs_asc(limbs);
            }
        }
        self.finish_by_library(processors())
    }

    /// The same without our own transform.
    fn finish_by_library(mut self, threads: NonZero<usize>) -> Natural {
        while !self.is_done() {
            self.step_by_library(threads);
        }
        // Where the table, or the parts that were stored, had F(n) already: no product is left.
        if self.k == self.n {
            return self.value;
        }
        let sign = self.twice_sign();
        if self.n & 1 == 0 {
            let (x, y) = combine::<1, 0, 1, 2>(self.value, self.previous, (0, 0));
            return x * y;
        }
        let (x, y) = combine::<2, 1, 2, -1>(self.value, self.previous, (0, 0));
        let product = x * y;
        if sign > 0 {
            product + Natural::from(2u32)
        } else {
            product - Natural::from(2u32)
        }
    }

    /// Borrows what has to be stored besides n: k, F(k) and F(k−1).
    #[must_use]
    pub fn parts(&self) -> (u64, &Natural, &Natural) {
        (self.k, &self.value, &self.previous)
    }

    /// Takes the state apart for storing it.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        Parts {
            k: self.k,
            value: self.value,
            previous: self.previous,
        }
    }

    /// Resumes the computation of F(n) from stored parts.
    ///
    /// Both numbers are checked modulo the three primes of the certificate, so a damaged or exchanged state
    /// is noticed here and not in the result. That takes a pass over the numbers per prime: 30 ms at
    /// k = 5·10⁸.
    ///
    /// # Errors
    /// [`PartsError`] when the parts do not belong to a computation of F(n); terminal.
    pub fn from_parts(n: u64, parts: Parts) -> Result<Self, PartsError> {
        let Parts { k, value, previous } = parts;
        let state = Self {
            n,
            k,
            value,
            previous,
        };
        // 0 is refused before the shift: for it `bits_left` may be 64, which is too many.
        if k > n || (k == 0 && n != 0) || n >> state.bits_left() != k {
            return Err(PartsError::NotOnTheWay { n, k });
        }
        if state.agrees() {
            Ok(state)
        } else {
            Err(PartsError::NotFibonacci { k })
        }
    }

    fn agrees(&self) -> bool {
        let previous = self.k.checked_sub(1).map_or([1; 3], fibonacci_residues);
        value_residues(&self.value) == fibonacci_residues(self.k)
            && value_residues(&self.previous) == previous
    }

    /// 2·(−1)^k.
    fn twice_sign(&self) -> i128 {
        if self.k & 1 == 0 { 2 } else { -2 }
    }

    /// Returns the number of n's low bits that are not in k yet.
    fn bits_left(&self) -> u32 {
        self.k.leading_zeros().saturating_sub(self.n.leading_zeros())
    }
}
