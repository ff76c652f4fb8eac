//! The last three levels, the products, and the first three levels back, in one go over memory.
//!
//! Here eight rings of eight numbers are transposed, so that every register holds one coefficient of all
//! eight rings, and their roots, which differ, are eight in a register too. Roots for the three levels are
//! powers of one that is read: w1 = w3⁴, w2 = w3².

use fearless_simd::{Level, Simd, dispatch, f64x8, prelude::*};

use super::block::{Block, LANES, Lanes, Root};
use crate::progress::Cancelled;
use crate::task::Task;

/// Groups of eight blocks between two beats: about 0.3 ms.
const STRIDE_GROUPS: usize = 1 << 10;

/// Units of work for a group: its three levels are heavier than the other ones, and both factors count.
const GROUP_WORK: usize = 2 * LANES * 4;

/// The quadratic forms of the factors f and g that replace them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuadraticForm {
    /// f becomes f·(2g − f), and g becomes f² + g².
    Even,
    /// f becomes f² + g², and g becomes g·(2f + g).
    Odd,
}

/// Replaces both factors, given by their coefficients in rings of eight, by the forms.
///
/// Back they come multiplied by eight.
pub(super) fn multiply(
    level: Level,
    form: QuadraticForm,
    [f, g]: [&mut [Block]; 2],
    tails: &[Block],
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    let stride = LANES * STRIDE_GROUPS;
    let factors = f.chunks_mut(stride).zip(g.chunks_mut(stride));
    for ((f, g), tails) in factors.zip(tails.chunks(STRIDE_GROUPS)) {
        match form {
            // The form is a constant of the loop, so that no point chooses.
            QuadraticForm::Even => dispatch!(level, simd => groups::<_, true>(simd, f, g, tails)),
            QuadraticForm::Odd => dispatch!(level, simd => groups::<_, false>(simd, f, g, tails)),
        }
        task.beat(work(f.len()))?;
    }
    Ok(())
}

/// Units of work in the product of factors of so many blocks.
pub(super) fn work(blocks: usize) -> u64 {
    (blocks / LANES * GROUP_WORK) as u64
}

type LaneGroup<S> = [Lanes<S>; LANES];

#[inline(always)]
fn groups<S: Simd, const EVEN: bool>(simd: S, f: &mut [Block], g: &mut [Block], tails: &[Block]) {
    let factors = f.chunks_exact_mut(LANES).zip(g.chunks_exact_mut(LANES));
    for ((f, g), tail) in factors.zip(tails) {
        let twists = Twists::new(simd, tail);
        let (mut x, mut y) = (load(simd, f), load(simd, g));
        twists.forward(&mut x);
        twists.forward(&mut y);
        for (x, y) in x.iter_mut().zip(&mut y) {
            let (f, g) = (*x, *y);
            let squares = f * f + g * g;
            (*x, *y) = if EVEN {
                (f * (g + g - f), squares)
            } else {
                (squares, g * (f + f + g))
            };
        }
        twists.inverse(&mut x);
        twists.inverse(&mut y);
        store(x, f);
        store(y, g);
    }
}

#[inline(always)]
fn load<S: Simd>(simd: S, blocks: &[Block]) -> LaneGroup<S> {
    transpose(std::array::from_fn(|index| Lanes::load(simd, &blocks[index])))
}

#[inline(always)]
fn store<S: Simd>(group: LaneGroup<S>, blocks: &mut [Block]) {
    for (lanes, block) in transpose(group).into_iter().zip(blocks) {
        lanes.store(block);
    }
}

#[inline(always)]
fn transpose<S: Simd>(group: LaneGroup<S>) -> LaneGroup<S> {
    let re = transpose_reals(group.map(|lanes| lanes.re));
    let im = transpose_reals(group.map(|lanes| lanes.im));
    std::array::from_fn(|index| Lanes {
        re: re[index],
        im: im[index],
    })
}

/// Interleaving the first with the second half is a rotation of the six bits of a place; three make rows columns.
#[inline(always)]
fn transpose_reals<S: Simd>(mut rows: [f64x8<S>; LANES]) -> [f64x8<S>; LANES] {
    for _ in 0..3 {
        let old = rows;
        for index in 0..LANES / 2 {
            let (low, high) = (old[index], old[index + LANES / 2]);
            rows[2 * index] = low.zip_low(high);
            rows[2 * index + 1] = low.zip_high(high);
        }
    }
    rows
}

/// The roots of eight rings z^8 − e(α), on the way down to their 64 points.
struct Twists<S: Simd> {
    /// e(α/2).
    upper: Lanes<S>,
    /// e(α/4).
    middle: Lanes<S>,
    /// e(α/8) and e(α/8 + 1/8).
    lower: [Lanes<S>; 2],
}

impl<S: Simd> Twists<S> {
    #[inline(always)]
    fn new(simd: S, tail: &Block) -> Self {
        let eighth = Root {
            re: std::f64::consts::FRAC_1_SQRT_2,
            im: std::f64::consts::FRAC_1_SQRT_2,
        };
        let lowest = Lanes::load(simd, tail);
        let middle = lowest * lowest;
        Self {
            upper: middle * middle,
            middle,
            lower: [lowest, lowest * Lanes::splat(simd, eighth)],
        }
    }

    #[inline(always)]
    fn forward(&self, x: &mut LaneGroup<S>) {
        for index in 0..4 {
            let (low, high) = (x[index], x[index + 4] * self.upper);
            (x[index], x[index + 4]) = (low + high, low - high);
        }
        for index in 0..2 {
            let (low, high) = (x[index], x[index + 2] * self.middle);
            (x[index], x[index + 2]) = (low + high, low - high);
            let (low, high) = (x[index + 4], x[index + 6] * self.middle);
            (x[index + 4], x[index + 6]) = (low.add_turned(high), low.sub_turned(high));
        }
        for (index, root) in [(0, self.lower[0]), (4, self.lower[1])] {
            let (low, high) = (x[index], x[index + 1] * root);
            (x[index], x[index + 1]) = (low + high, low - high);
            let (low, high) = (x[index + 2], x[index + 3] * root);
            (x[index + 2], x[index + 3]) = (low.add_turned(high), low.sub_turned(high));
        }
    }

    #[inline(always)]
    fn inverse(&self, x: &mut LaneGroup<S>) {
        for (index, root) in [(0, self.lower[0]), (4, self.lower[1])] {
            let (low, high) = (x[index], x[index + 1]);
            (x[index], x[index + 1]) = (low + high, (low - high).mul_conjugate(root));
            let (low, high) = (x[index + 2], x[index + 3]);
            // (high − low)·i is (low − high) times −i, the conjugate of the turn on the way forth.
            (x[index + 2], x[index + 3]) = (low + high, (high - low).turned().mul_conjugate(root));
        }
        for index in 0..2 {
            let (low, high) = (x[index], x[index + 2]);
            (x[index], x[index + 2]) = (low + high, (low - high).mul_conjugate(self.middle));
            let (low, high) = (x[index + 4], x[index + 6]);
            x[index + 4] = low + high;
            x[index + 6] = (high - low).turned().mul_conjugate(self.middle);
        }
        for index in 0..4 {
            let (low, high) = (x[index], x[index + 4]);
            (x[index], x[index + 4]) = (low + high, (low - high).mul_conjugate(self.upper));
        }
    }
}
