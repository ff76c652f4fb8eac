//! Tables of roots of unity, computed in integers so that their error is proven.
//!
//! With e(α) = exp(2πi·α), the transform's rings form a heap: node 1 is z^N − i = z^N − e(1/4), and a node
//! z^2m − e(α) has the children z^m ∓ e(α/2), numbers 2h and 2h + 1. So node h = 2^l + b has
//! α = (1 + 4·r)/2^(l + 2), where r is b with its l bits reversed, whatever N is: the tables only grow.
//!
//! A root is a product of roots e(2^−j) in fixed point with 62 fractional bits, where these are off by less
//! than 4 units of the last place: the square root's and the division's rounding halves with every angle. Each of
//! at most 36 multiplications adds less than 4 + √2 units, together 2^−54.3, and rounding to a float at most 2^−54
//! in both components. So a root is off by less than 1.2·ε with ε = 2^−53, see `bound`.

use super::block::{Block, LANES, Root};
use crate::progress::Cancelled;
use crate::task::Task;

/// 1 in fixed point.
const ONE: i64 = 1 << FRACTION_BITS;
const FRACTION_BITS: u32 = 62;

/// Roots e(2^−j) are known for j below this: transforms of up to 2^37 numbers.
const UNITS: usize = 40;

/// The lowest bits of a node's number whose factors are shared by all nodes of a level.
const SHARED_BITS: usize = 9;

/// Times 512 roots between two beats: about 0.1 ms.
const HIGHS_UNOBSERVED: usize = 64;

/// The roots that transforms of a certain size and all smaller ones need.
pub(crate) struct Roots {
    /// e(2^−j).
    units: Vec<Fixed>,
    /// By node h, e(α/2); index 0 is unused.
    nodes: Vec<Root>,
    /// By level, for eight nodes in a block, e(α/8).
    tails: Vec<Vec<Block>>,
}

#[derive(Clone, Copy)]
struct Fixed {
    re: i64,
    im: i64,
}

/// The root of each node that, besides its level, decides the place in the circle.
#[derive(Clone, Copy)]
struct Which {
    /// The first node of level l has e(2^−(l + offset)).
    offset: usize,
    /// The lowest bit of a node's number turns by e(2^−turn), the next by half of that.
    turn: usize,
}

const HALVES: Which = Which { offset: 3, turn: 2 };
const EIGHTHS: Which = Which { offset: 5, turn: 4 };

impl Roots {
    pub(crate) fn new() -> Self {
        let quarter = Fixed { re: 0, im: ONE };
        // `half_angle` works from a quarter down only, and these three are exact.
        let mut units = vec![Fixed { re: ONE, im: 0 }, Fixed { re: -ONE, im: 0 }, quarter];
        let mut last = quarter;
        while units.len() < UNITS {
            last = last.half_angle();
            units.push(last);
        }
        Self {
            units,
            nodes: vec![Root::default()],
            tails: Vec::new(),
        }
    }

    /// Makes sure that the roots for transforms of 2^levels blocks are there.
    pub(crate) fn grow(&mut self, levels: usize, task: &Task<'_>) -> Result<(), Cancelled> {
        // Taken out so that both threads can read `self`, and put back after a cancel too: whole levels stay.
        let mut nodes = std::mem::take(&mut self.nodes);
        let mut tails = std::mem::take(&mut self.tails);
        let both = task.both(
            |task| self.grow_tails(&mut tails, levels, task),
            |task| self.grow_nodes(&mut nodes, levels, task),
        );
        (self.nodes, self.tails) = (nodes, tails);
        both.map(drop)
    }

    /// Adds whole levels only, also when it is cancelled.
    fn grow_nodes(&self, nodes: &mut Vec<Root>, levels: usize, task: &Task<'_>) -> Result<(), Cancelled> {
        for level in nodes.len().ilog2() as usize..levels {
            nodes.reserve_exact(1 << level);
            let outcome = self.level(level, HALVES, task, |roots| nodes.extend(roots));
            if outcome.is_err() {
                nodes.truncate(1 << level);
                return outcome;
            }
        }
        Ok(())
    }

    fn grow_tails(
        &self,
        tails: &mut Vec<Vec<Block>>,
        levels: usize,
        task: &Task<'_>,
    ) -> Result<(), Cancelled> {
        for level in tails.len()..=levels {
            // The first three levels have no eight nodes and stay empty, so that a level is its own index.
            let mut blocks = Vec::with_capacity((1 << level) / LANES);
            self.level(level, EIGHTHS, task, |roots| {
                blocks.extend(roots.as_chunks().0.iter().map(gather));
            })?;
            tails.push(blocks);
        }
        Ok(())
    }

    /// e(α/2) by node.
    pub(crate) fn nodes(&self) -> &[Root] {
        &self.nodes
    }

    /// e(α/8) for the 2^level nodes of that level, eight in a block.
    pub(crate) fn tails(&self, level: usize) -> &[Block] {
        &self.tails[level]
    }

    /// Hands out the roots of a level in order, up to 512 at a time.
    fn level(
        &self,
        level: usize,
        which: Which,
        task: &Task<'_>,
        mut take: impl FnMut(&[Root]),
    ) -> Result<(), Cancelled> {
        let shared = level.min(SHARED_BITS);
        let low = self.products(self.units[0], which.turn, shared);
        let first = self.units[level + which.offset];
        let mut roots = Vec::with_capacity(low.len());
        for (count, high) in (1..).zip(self.products(first, which.turn + shared, level - shared)) {
            roots.clear();
            roots.extend(low.iter().map(|low| high.times(*low).to_float()));
            take(&roots);
            if count % HIGHS_UNOBSERVED == 0 {
                task.beat(0)?;
            }
        }
        Ok(())
    }

    /// By the number b of `bits` bits: `seed` times, for each bit r of b that is set, e(2^−(turn + r)).
    fn products(&self, seed: Fixed, turn: usize, bits: usize) -> Vec<Fixed> {
        let mut roots = vec![seed];
        for unit in &self.units[turn..][..bits] {
            for index in 0..roots.len() {
                roots.push(roots[index].times(*unit));
            }
        }
        roots
    }
}

#[cfg(test)]
impl Roots {
    /// Multiplies all roots by `factor`, so that they are wrong.
    pub(super) fn scale(&mut self, factor: f64) {
        for root in &mut self.nodes {
            (root.re, root.im) = (root.re * factor, root.im * factor);
        }
        for block in self.tails.iter_mut().flatten() {
            for value in block.re.iter_mut().chain(&mut block.im) {
                *value *= factor;
            }
        }
    }
}

fn gather(roots: &[Root; LANES]) -> Block {
    let mut block = Block::default();
    for (lane, root) in roots.iter().enumerate() {
        (block.re[lane], block.im[lane]) = (root.re, root.im);
    }
    block
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "components are at most 1 in absolute value, which leaves one bit of 64; floats are rounded"
)]
impl Fixed {
    fn times(self, other: Self) -> Self {
        let [a, b, c, d] = [self.re, self.im, other.re, other.im].map(i128::from);
        Self {
            re: ((a * c - b * d) >> FRACTION_BITS) as i64,
            im: ((a * d + b * c) >> FRACTION_BITS) as i64,
        }
    }

    /// e(α/2) from e(α) for 0 < α ≤ 1/4: cos² of the half is (1 + cos)/2, and its sin is sin/(2·cos).
    fn half_angle(self) -> Self {
        // The root is rounded down, so a cosine stays below `ONE`, and `ONE` plus it below 2^63.
        let re = (((ONE + self.re) as u128) << (FRACTION_BITS - 1)).isqrt() as i64;
        let im = (i128::from(self.im) << (FRACTION_BITS - 1)) / i128::from(re);
        Self { re, im: im as i64 }
    }

    fn to_float(self) -> Root {
        // A power of two: only the conversion rounds, not the product.
        let unit = 1.0 / ONE as f64;
        Root {
            re: self.re as f64 * unit,
            im: self.im as f64 * unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use malachite_base::num::arithmetic::traits::FloorSqrt;
    use malachite_nz::natural::Natural;

    use super::*;
    use crate::progress::{Progress, unobserved};
    use crate::task::Ledger;
    use crate::transform::bound::ROOT;

    fn grow(roots: &mut Roots, levels: usize) {
        let ledger = Ledger::new(0, 1);
        roots.grow(levels, &Task::new(&ledger, &unobserved, 1)).unwrap();
    }

    /// The library's own sine and cosine are right to an ulp or so.
    #[test]
    fn roots_are_those_of_the_ring_heap() {
        let mut roots = Roots::new();
        grow(&mut roots, 12);
        let mut angles = vec![0.0, 0.25];
        for node in 1..1 << 12 {
            let angle: f64 = angles[node];
            angles.extend([angle / 2.0, angle / 2.0 + 0.5]);
            let (im, re) = (std::f64::consts::PI * angle).sin_cos();
            let root = roots.nodes()[node];
            assert!(
                (root.re - re).abs() < 4e-16 && (root.im - im).abs() < 4e-16,
                "node {node}"
            );
        }
        for (lane, angle) in angles[8..16].iter().enumerate() {
            let (im, re) = (std::f64::consts::FRAC_PI_4 * angle).sin_cos();
            let block = roots.tails(3)[0];
            let (tail_re, tail_im) = (block.re[lane], block.im[lane]);
            assert!(
                (tail_re - re).abs() < 4e-16 && (tail_im - im).abs() < 4e-16,
                "tail {lane}"
            );
        }
    }

    /// Fractional bits of exact roots.
    const EXACT_BITS: u32 = 120;

    /// The root of half the angle, for angles between 0 and 1/2.
    fn exact_half([re, _]: [i128; 2]) -> [i128; 2] {
        let one = 1 << EXACT_BITS;
        [one + re, one - re].map(|twice_square| {
            let square = Natural::from(u128::try_from(twice_square).unwrap()) << (EXACT_BITS - 1);
            i128::try_from(&square.floor_sqrt()).unwrap()
        })
    }

    /// The distance of a root from the exact one, in ε.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the float is a multiple of the unit, and of its error the first digits count"
    )]
    fn error_in_epsilons(re: f64, im: f64, exact: [i128; 2]) -> f64 {
        let one = (1i128 << EXACT_BITS) as f64;
        let [re, im] = [re, im].map(|part| (part * one) as i128);
        let [wrong_re, wrong_im] = [re - exact[0], im - exact[1]].map(|part| part as f64 / one);
        wrong_re.hypot(wrong_im) * 2.0 / f64::EPSILON
    }

    #[test]
    fn a_root_errs_by_what_the_bound_takes_and_no_more() {
        const LEVELS: usize = 13;
        let mut roots = Roots::new();
        grow(&mut roots, LEVELS);
        let mut exact = vec![[0, 0], exact_half([0, 1 << EXACT_BITS])];
        for node in 1..1 << (LEVELS - 1) {
            let half = exact_half(exact[node]);
            exact.extend([half, [-half[1], half[0]]]);
        }
        let nodes = roots.nodes().iter().zip(&exact).skip(1);
        let nodes = nodes.map(|(root, exact)| error_in_epsilons(root.re, root.im, *exact));
        let last = &exact[1 << (LEVELS - 1)..];
        let tails = roots.tails(LEVELS - 1).iter().zip(last.as_chunks::<LANES>().0);
        let tails = tails.flat_map(|(block, exact)| {
            std::array::from_fn::<_, LANES, _>(|lane| {
                let exact = exact_half(exact_half(exact[lane]));
                error_in_epsilons(block.re[lane], block.im[lane], exact)
            })
        });
        let largest = nodes.chain(tails).fold(0.0, f64::max);
        assert!(largest < ROOT && largest > 0.5 * ROOT, "{largest} of {ROOT}");
    }

    #[test]
    fn roots_do_not_depend_on_how_the_tables_grew() {
        let (mut at_once, mut by_steps) = (Roots::new(), Roots::new());
        grow(&mut at_once, 13);
        let ledger = Ledger::new(0, 1);
        let cancel = |_: Progress| ControlFlow::Break(());
        for levels in 3..=13 {
            let _ = by_steps.grow(levels + 7, &Task::new(&ledger, &cancel, 1));
            grow(&mut by_steps, levels);
        }
        let nodes = at_once.nodes();
        assert!(*nodes == by_steps.nodes()[..nodes.len()]);
        assert!((3..=13).all(|level| at_once.tails(level) == by_steps.tails(level)));
    }
}
