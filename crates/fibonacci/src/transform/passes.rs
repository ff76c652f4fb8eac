//! The transform down to rings of eight numbers and back, in place and without reordering.
//!
//! Two levels of the heap at a time: a pass reads and writes four quarters, after which each quarter is a
//! transform of its own. Large ones go through memory quarter by quarter, so that what fits a cache stays in
//! it; what fits the first-level cache takes its levels in a row.

use fearless_simd::{Level, Simd, dispatch};

use super::block::{Block, Lanes, Root};
use crate::progress::Cancelled;
use crate::task::Task;

/// Blocks that take all their levels in a row: 32 kB.
const LEAF: usize = 256;

/// Blocks of each quarter between two beats: about 0.2 ms.
const STRIDE: usize = 1 << 11;

/// Transforms below this many blocks are over before anybody could cancel them.
const UNOBSERVED: usize = 1 << 12;

/// From coefficients modulo the ring of node `node` to those modulo all its rings of eight numbers.
pub(super) fn forward(
    level: Level,
    blocks: &mut [Block],
    nodes: &[Root],
    node: usize,
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    if blocks.len() <= LEAF {
        dispatch!(level, simd => forward_leaf(simd, blocks, nodes, node));
        return Ok(());
    }
    let observed = blocks.len() >= UNOBSERVED;
    let quarter = blocks.len() / 4;
    for_each_stride(blocks, task, |quarters| {
        dispatch!(level, simd => forward_four(simd, quarters, nodes[node], nodes[2 * node]));
    })?;
    for (child, quarter) in (4 * node..).zip(blocks.chunks_exact_mut(quarter)) {
        forward(level, quarter, nodes, child, task)?;
    }
    if observed && quarter < UNOBSERVED {
        // Neither this pass nor those below have counted anything: all their work is counted here.
        task.beat(work(blocks.len()))?;
    }
    Ok(())
}

/// Undoes [`forward`], but for a factor: the coefficients come out multiplied by the number of blocks.
pub(super) fn inverse(
    level: Level,
    blocks: &mut [Block],
    nodes: &[Root],
    node: usize,
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    if blocks.len() <= LEAF {
        dispatch!(level, simd => inverse_leaf(simd, blocks, nodes, node));
        return Ok(());
    }
    let observed = blocks.len() >= UNOBSERVED;
    let quarter = blocks.len() / 4;
    for (child, quarter) in (4 * node..).zip(blocks.chunks_exact_mut(quarter)) {
        inverse(level, quarter, nodes, child, task)?;
    }
    if observed && quarter < UNOBSERVED {
        task.beat(work(blocks.len()))?;
    }
    for_each_stride(blocks, task, |quarters| {
        dispatch!(level, simd => inverse_four(simd, quarters, nodes[node], nodes[2 * node]));
    })
}

/// [`inverse`] at node 1, the halves on two threads.
pub(super) fn inverse_shared(
    level: Level,
    blocks: &mut [Block],
    nodes: &[Root],
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    let middle = blocks.len() / 2;
    let (low, high) = blocks.split_at_mut(middle);
    task.both(
        |task| inverse(level, low, nodes, 2, task),
        |task| inverse(level, high, nodes, 3, task),
    )?;
    let (low, high) = (low.split_at_mut(middle / 2), high.split_at_mut(middle / 2));
    let join = |low: &mut [Block], high: &mut [Block], task: &Task<'_>| {
        for (low, high) in low.chunks_mut(STRIDE).zip(high.chunks_mut(STRIDE)) {
            dispatch!(level, simd => inverse_two(simd, [low, high], nodes[1]));
            task.beat(0)?;
        }
        Ok(())
    };
    task.both(|task| join(low.0, high.0, task), |task| join(low.1, high.1, task))
        .map(drop)
}

/// Units of work in the transform of so many blocks: one for each and each level.
pub(super) fn work(blocks: usize) -> u64 {
    blocks as u64 * u64::from(blocks.ilog2())
}

fn for_each_stride(
    blocks: &mut [Block],
    task: &Task<'_>,
    mut pass: impl FnMut([&mut [Block]; 4]),
) -> Result<(), Cancelled> {
    let observed = blocks.len() >= UNOBSERVED;
    let is_top = blocks.len() / 4 >= UNOBSERVED;
    let [a, b, c, d] = parts(blocks);
    let strides = a.chunks_mut(STRIDE).zip(b.chunks_mut(STRIDE));
    for ((a, b), (c, d)) in strides.zip(c.chunks_mut(STRIDE).zip(d.chunks_mut(STRIDE))) {
        // Two levels of four quarters. Where the quarters are too short to be observed, `forward` and
        // `inverse` count the whole transform at once.
        let units = if is_top { 8 * a.len() as u64 } else { 0 };
        pass([a, b, c, d]);
        if observed {
            task.beat(units)?;
        }
    }
    Ok(())
}

#[inline(always)]
fn parts<const N: usize>(mut rest: &mut [Block]) -> [&mut [Block]; N] {
    let part = rest.len() / N;
    std::array::from_fn(|_| {
        // Taken out, because parts of a mere reborrow could not be returned.
        let (first, others) = std::mem::take(&mut rest).split_at_mut(part);
        rest = others;
        first
    })
}

#[inline(always)]
fn forward_leaf<S: Simd>(simd: S, blocks: &mut [Block], nodes: &[Root], mut node: usize) {
    let mut length = blocks.len();
    while length >= 4 {
        for (node, ring) in (node..).zip(blocks.chunks_exact_mut(length)) {
            forward_four(simd, parts(ring), nodes[node], nodes[2 * node]);
        }
        length /= 4;
        node *= 4;
    }
    // Two levels at a time leave one over where their number is odd.
    if length == 2 {
        for (node, ring) in (node..).zip(blocks.chunks_exact_mut(2)) {
            forward_two(simd, parts(ring), nodes[node]);
        }
    }
}

#[inline(always)]
fn inverse_leaf<S: Simd>(simd: S, blocks: &mut [Block], nodes: &[Root], node: usize) {
    let whole = blocks.len();
    let mut length = 4;
    // The odd level came last on the way forth, so it is undone first.
    if whole.ilog2() % 2 == 1 {
        for (node, ring) in (node * (whole / 2)..).zip(blocks.chunks_exact_mut(2)) {
            inverse_two(simd, parts(ring), nodes[node]);
        }
        length = 8;
    }
    while length <= whole {
        for (node, ring) in (node * (whole / length)..).zip(blocks.chunks_exact_mut(length)) {
            inverse_four(simd, parts(ring), nodes[node], nodes[2 * node]);
        }
        length *= 4;
    }
}

/// Node h with the root `upper`, its first child with the root `lower`, its second with i·`lower`.
#[inline(always)]
fn forward_four<S: Simd>(simd: S, [a, b, c, d]: [&mut [Block]; 4], upper: Root, lower: Root) {
    let (upper, lower) = (Lanes::splat(simd, upper), Lanes::splat(simd, lower));
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let in_c = Lanes::load(simd, c) * upper;
        let in_d = Lanes::load(simd, d) * upper;
        let (low, high) = (Lanes::load(simd, a) + in_c, Lanes::load(simd, a) - in_c);
        let sum = (Lanes::load(simd, b) + in_d) * lower;
        let difference = (Lanes::load(simd, b) - in_d) * lower;
        (low + sum).store(a);
        (low - sum).store(b);
        // The root of the second child is i times `lower`: a turn, which does not round, and no product.
        high.add_turned(difference).store(c);
        high.sub_turned(difference).store(d);
    }
}

#[inline(always)]
fn inverse_four<S: Simd>(simd: S, [a, b, c, d]: [&mut [Block]; 4], upper: Root, lower: Root) {
    let (upper, lower) = (Lanes::splat(simd, upper), Lanes::splat(simd, lower));
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (in_a, in_b) = (Lanes::load(simd, a), Lanes::load(simd, b));
        let (in_c, in_d) = (Lanes::load(simd, c), Lanes::load(simd, d));
        let (low, high) = (in_a + in_b, in_c + in_d);
        let sum = (in_a - in_b).mul_conjugate(lower);
        let difference = (in_c - in_d).mul_conjugate(lower);
        (low + high).store(a);
        sum.sub_turned(difference).store(b);
        (low - high).mul_conjugate(upper).store(c);
        sum.add_turned(difference).mul_conjugate(upper).store(d);
    }
}

#[inline(always)]
fn forward_two<S: Simd>(simd: S, [a, b]: [&mut [Block]; 2], root: Root) {
    let root = Lanes::splat(simd, root);
    for (a, b) in a.iter_mut().zip(b) {
        let (low, high) = (Lanes::load(simd, a), Lanes::load(simd, b) * root);
        (low + high).store(a);
        (low - high).store(b);
    }
}

#[inline(always)]
fn inverse_two<S: Simd>(simd: S, [a, b]: [&mut [Block]; 2], root: Root) {
    let root = Lanes::splat(simd, root);
    for (a, b) in a.iter_mut().zip(b) {
        let (low, high) = (Lanes::load(simd, a), Lanes::load(simd, b));
        (low + high).store(a);
        (low - high).mul_conjugate(root).store(b);
    }
}
