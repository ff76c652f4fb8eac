//! Neighbouring Fibonacci numbers as places in a base of our choice, and their doubling by the transform.
//!
//! A number is the sum of placeᵢ·baseⁱ, lowest place first, with places between −base/2 and base/2, or a unit
//! or two beyond: balanced, because the transform's error grows with their size. The pair is (F(k), F(k+1)),
//! and its doubling needs no constants:
//!
//! - F(2k) = F(k)·(2·F(k+1) − F(k))
//! - F(2k+1) = F(k)² + F(k+1)²
//! - F(2k+2) = F(k+1)·(2·F(k) + F(k+1))
//!
//! A power of ten as base gives decimal digits without any conversion, a power of two the limbs of a
//! [`Natural`](malachite_nz::natural::Natural). The widest base for which the transform's error is proven to
//! be harmless is used; numbers that have become too long for it are rewritten in a narrower one.
//!
//! Every result is compared with F(k) modulo a prime, computed without it. That guards against faults of the
//! machine and of this code, not of the method; a step that fails is repeated by the arithmetic library.

mod base;
pub(crate) mod binary;
mod carry;
mod course;
pub(crate) mod decimal;
mod doubling;
mod memory;
mod residue;

pub(crate) use base::Base;
pub(crate) use course::Course;
use doubling::{Shape, Workshop, step_work};
pub(crate) use memory::peak_bytes;

use crate::certificate::CHECK_FIELD;
use crate::modular::fibonacci_in;
use crate::progress::Cancelled;
use crate::task::Task;
use residue::residue;

/// Two neighbouring Fibonacci numbers, F(k) and F(k+1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) base: Base,
    pub(crate) value: Vec<i16>,
    pub(crate) next: Vec<i16>,
}

impl Pair {
    /// Returns whether this is (F(k), F(k+1)), modulo one prime; on both threads.
    pub(crate) fn is_at(&self, k: u64, task: &Task<'_>) -> Result<bool, Cancelled> {
        let is_fibonacci = |places: &[i16], index: u64| {
            residue(places, self.base.value(), &CHECK_FIELD) == fibonacci_in(index, &CHECK_FIELD)
        };
        let (value, next) = task.both(
            |_| Ok(is_fibonacci(&self.value, k)),
            |_| Ok(is_fibonacci(&self.next, k.saturating_add(1))),
        )?;
        Ok(value && next)
    }
}

/// Returns whether places are those of F(n), modulo one prime.
fn is_fibonacci(places: &[i16], base: Base, n: u64) -> bool {
    residue(places, base.value(), &CHECK_FIELD) == fibonacci_in(n, &CHECK_FIELD)
}
