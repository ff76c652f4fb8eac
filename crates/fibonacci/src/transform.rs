//! Quadratic forms of two long integer vectors, by a floating-point transform with a proven error.
//!
//! Vectors are coefficients of polynomials modulo Z^2N + 1, which wraps around with a change of sign. Two
//! integers, N apart, are one complex number: with i = Z^N that is a polynomial of N complex coefficients
//! modulo z^N − i, the right-angle convolution. `passes` splits z^2m − c² into (z^m − c)·(z^m + c) until rings
//! of eight are left; `product` goes on to single points, multiplies and comes back. Nothing is reordered, and
//! a step of doubling is two transforms forth and two back, because its sums are formed at the points.
//!
//! `bound` says how long and large vectors may be for every coefficient to be within ½ of the exact integer;
//! ask [`is_proven`] before. `roots` has the tables. The widest vector instructions of the processor are
//! chosen at run time by `fearless_simd`; the rounded result is the same with all of them.
#![allow(
    clippy::inline_always,
    reason = "only code that is inlined is compiled for the widest registers"
)]

mod block;
mod bound;
#[cfg(test)]
pub(crate) mod fault;
mod passes;
mod product;
mod roots;
#[cfg(test)]
mod rounding;

use fearless_simd::dispatch;

pub(crate) use block::{Block, LANES};
pub(crate) use bound::size;
pub(crate) use product::QuadraticForm;
pub(crate) use roots::Roots;

use crate::instructions::level;
use crate::progress::Cancelled;
use crate::task::Task;

/// Integers in one block, whose complex numbers hold two each.
pub(crate) const BLOCK_INTEGERS: usize = 2 * LANES;

/// The fewest blocks of a ring.
pub(crate) const MIN_BLOCKS: usize = 32;

/// Blocks filled between two beats.
const STRIDE: usize = 1 << 13;

/// Errors below this are rounded away, with room for a bound that is itself rounded.
const LARGEST_ERROR: f64 = 0.49;

/// The results of a form that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The results that replace the first factor and the second.
    Both,
    /// Only what replaces the first factor.
    First,
}

/// The coefficients of one vector in a ring; on the way back, times the number of complex numbers.
pub(crate) struct Vector {
    pub(crate) blocks: Vec<Block>,
    /// The squared Euclidean norm of the integers.
    pub(crate) norm: f64,
}

impl Vector {
    /// Puts integers into the ring of `blocks` blocks, a power of two; there are at most 16 for each block.
    ///
    /// `room` is memory to use again.
    pub(crate) fn new<T>(
        integers: &[T],
        blocks: usize,
        mut room: Vec<Block>,
        task: &Task<'_>,
    ) -> Result<Self, Cancelled>
    where
        T: Copy + Into<f64> + Into<i64>,
    {
        let level = level();
        room.clear();
        if room.capacity() < blocks {
            // Given back first: to grow, aligned memory would be copied to a second place.
            room = Vec::new();
            room.reserve_exact(blocks);
        }
        for start in (0..blocks).step_by(STRIDE) {
            let indices = start..blocks.min(start + STRIDE);
            let block = |index: usize| Block {
                re: eight(integers, index * LANES),
                im: eight(integers, (index + blocks) * LANES),
            };
            dispatch!(level, _simd => room.extend(indices.map(block)));
            task.beat(0)?;
        }
        Ok(Self {
            blocks: room,
            norm: squared_norm(integers),
        })
    }
}

/// Eight integers from `start` on, zeros where there are none.
#[inline(always)]
fn eight<T: Copy + Into<f64>>(integers: &[T], start: usize) -> [f64; LANES] {
    let rest = integers.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => eight.map(Into::into),
        None => std::array::from_fn(|lane| rest.get(lane).map_or(0.0, |value| (*value).into())),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the bound has room for a rounding")]
fn squared_norm<T: Copy + Into<i64>>(integers: &[T]) -> f64 {
    let square = |value: &T| -> i64 {
        let value: i64 = (*value).into();
        value * value
    };
    integers.iter().map(square).sum::<i64>() as f64
}

/// Returns whether rounding the coefficients of `form` of these two gives the exact ones.
pub(crate) fn is_proven(form: QuadraticForm, f: &Vector, g: &Vector) -> bool {
    is_proven_for(form, f.blocks.len(), [f.norm, g.norm])
}

/// The same for vectors with these squared norms in a ring of `blocks` blocks.
pub(crate) fn is_proven_for(form: QuadraticForm, blocks: usize, norms: [f64; 2]) -> bool {
    let levels = blocks.ilog2() + LANES.ilog2();
    bound::error(form, levels, norms) < LARGEST_ERROR
}

/// Replaces two vectors of one ring by their forms, on both threads; an unwanted one is left empty.
pub(crate) fn transform(
    (form, wanted): (QuadraticForm, Wanted),
    [f, g]: [&mut Vec<Block>; 2],
    roots: &mut Roots,
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    let level = level();
    let levels = f.len().ilog2() as usize;
    roots.grow(levels, task)?;
    let (nodes, tails) = (roots.nodes(), roots.tails(levels));
    task.both(
        |task| passes::forward(level, f, nodes, 1, task),
        |task| passes::forward(level, g, nodes, 1, task),
    )?;
    // By halves and not by factors, because each product needs both factors.
    let half = f.len() / 2;
    let (f_halves, g_halves) = (f.split_at_mut(half), g.split_at_mut(half));
    let tail_halves = tails.split_at(tails.len() / 2);
    task.both(
        |task| product::multiply(level, form, [f_halves.0, g_halves.0], tail_halves.0, task),
        |task| product::multiply(level, form, [f_halves.1, g_halves.1], tail_halves.1, task),
    )?;
    match wanted {
        Wanted::First => {
            // The memory of g is freed before the way back, which does not need it.
            *g = Vec::new();
            passes::inverse_shared(level, f, nodes, task)?;
        }
        Wanted::Both => {
            task.both(
                |task| passes::inverse(level, f, nodes, 1, task),
                |task| passes::inverse(level, g, nodes, 1, task),
            )?;
        }
    }
    #[cfg(test)]
    fault::strike([f, g]);
    Ok(())
}

/// Units of work in a form of vectors of so many blocks.
pub(crate) fn work(wanted: Wanted, blocks: usize) -> u64 {
    let transforms = match wanted {
        Wanted::Both => 4,
        Wanted::First => 3,
    };
    transforms * passes::work(blocks) + product::work(blocks)
}

#[cfg(test)]
mod tests {
    use super::rounding::{LARGER, transform_with_errors};
    use super::*;
    use crate::progress::unobserved;
    use crate::task::Ledger;

    const N: usize = MIN_BLOCKS * LANES;

    fn coefficient(blocks: &[Block], place: usize) -> f64 {
        let block = &blocks[place % N / LANES];
        let values = if place < N { block.re } else { block.im };
        values[place % LANES] / f64::from(u32::try_from(N).unwrap())
    }

    /// Compares with sums of products, and returns the largest error and its bound.
    ///
    /// Operations and roots err by `times` as much as they may, besides what they do by themselves.
    fn error(times: f64, form: QuadraticForm, [f, g]: [&[i16]; 2]) -> (f64, f64) {
        let ledger = Ledger::new(0, 1);
        let task = Task::new(&ledger, &unobserved, 1);
        let vector = |integers: &[i16]| Vector::new(integers, MIN_BLOCKS, Vec::new(), &task).unwrap();
        let (mut x, mut y) = (vector(f), vector(g));
        let bound = times.max(1.0) * bound::error(form, N.ilog2(), [x.norm, y.norm]);
        let factors = [&mut x.blocks, &mut y.blocks];
        transform_with_errors(times, (form, Wanted::Both), factors, &task).unwrap();
        let product = |a: &[i16], b: &[i16], place: usize| -> i64 {
            let term = |i: usize| {
                i64::from(a[i])
                    * i64::from(b[(place + 2 * N - i) % (2 * N)])
                    * if i <= place { 1 } else { -1 }
            };
            (0..2 * N).map(term).sum()
        };
        let mut largest = 0f64;
        for place in (0..2 * N).step_by(7) {
            let [ff, fg, gg] = [product(f, f, place), product(f, g, place), product(g, g, place)];
            let (first, second) = match form {
                QuadraticForm::Even => (2 * fg - ff, ff + gg),
                QuadraticForm::Odd => (ff + gg, 2 * fg + gg),
            };
            for (blocks, exact) in [(&x.blocks, first), (&y.blocks, second)] {
                #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
                let exact = exact as f64;
                largest = largest.max((coefficient(blocks, place) - exact).abs());
            }
        }
        (largest, bound)
    }

    /// With wrap-around, in the full ring, at the largest integers.
    #[test]
    fn errors_stay_below_their_bound() {
        let noise = |i: usize| i16::try_from((i * i * 7_919 + i * 31) % 10_001).unwrap() - 5_000;
        let inputs: [Vec<i16>; 4] = [
            vec![5_000; 2 * N],
            (0..2 * N)
                .map(|i| if i % 2 == 0 { 5_000 } else { -5_000 })
                .collect(),
            (0..2 * N).map(noise).collect(),
            (0..2 * N).map(|i| if i == 0 { 5_000 } else { 0 }).collect(),
        ];
        for (f, g) in inputs.iter().flat_map(|f| inputs.iter().map(move |g| (f, g))) {
            for (times, form) in [0.0, LARGER]
                .into_iter()
                .flat_map(|times| [(times, QuadraticForm::Even), (times, QuadraticForm::Odd)])
            {
                let (error, bound) = error(times, form, [f, g]);
                assert!(
                    error < bound,
                    "{form:?}, {times} times: {error:e} is above {bound:e}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_proven_is_known_before_it_is_multiplied() {
        let for_one = bound::error(QuadraticForm::Even, N.ilog2(), [1.0; 2]);
        let is_proven = |error: f64| {
            let vector = || Vector {
                blocks: vec![Block::default(); MIN_BLOCKS],
                norm: error / for_one,
            };
            is_proven(QuadraticForm::Even, &vector(), &vector())
        };
        assert!(
            is_proven(0.48),
            "a coefficient that is off by less than a half is rounded to the exact one"
        );
        assert!(!is_proven(0.5), "and by a half it may not be");
    }
}
