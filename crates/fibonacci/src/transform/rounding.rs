//! Larger rounding errors, in test builds only.
//!
//! Real ones have all directions and mostly cancel, so that no input shows how large they may become together.
//! Here every operation and every root errs upwards, by as much as the bound takes for it and many times that.

use std::cell::Cell;

use super::block::Operation;
use super::bound::{EPSILON, MULTIPLICATION, ROOT};
use super::{Block, QuadraticForm, Roots, Wanted, transform};
use crate::progress::Cancelled;
use crate::task::Task;

/// So many times larger, an error is far above what really is rounded and far above its own square.
pub(super) const LARGER: f64 = 4_294_967_296.0;

thread_local! {
    /// The factor of sums and products of this thread.
    static FACTORS: Cell<[f64; 2]> = const { Cell::new([1.0; 2]) };
}

/// Transforms as [`transform`] does, on one thread, with errors of so many times what the bound takes.
pub(super) fn transform_with_errors(
    times: f64,
    what: (QuadraticForm, Wanted),
    factors: [&mut Vec<Block>; 2],
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    let factor = |error: f64| 1.0 + times * error * EPSILON;
    let mut roots = Roots::new();
    roots.grow(factors[0].len().ilog2() as usize, task)?;
    roots.scale(factor(ROOT));
    FACTORS.set([factor(1.0), factor(MULTIPLICATION)]);
    let transformed = transform(what, factors, &mut roots, task);
    // Set back also after a cancel, since the next test may run on this thread.
    FACTORS.set([1.0; 2]);
    transformed
}

#[inline]
pub(super) fn factor(operation: Operation) -> f64 {
    let [sum, product] = FACTORS.get();
    match operation {
        Operation::Sum => sum,
        Operation::Product => product,
    }
}
