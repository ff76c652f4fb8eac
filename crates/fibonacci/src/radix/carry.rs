//! From the coefficients of a transform to places of a number, without carrying one by one.
//!
//! A coefficient is a sum of products, many times the base. It is split into what stays, at most half the
//! base, and what goes to the next place, for all places at the same time; after a few rounds nothing is left
//! to go but 1. Places are not brought below half the base to the last unit, because the next transform does
//! not mind, so no carry runs far: a place depends on the eight below it only, and ranges of places can be
//! settled independently.
#![allow(
    clippy::inline_always,
    reason = "only code that is inlined is compiled for the widest registers"
)]

use fearless_simd::dispatch;

use crate::instructions::level;
use crate::progress::Cancelled;
use crate::task::Task;
use crate::transform::{BLOCK_INTEGERS, Block, LANES};

/// Places settled at a time, in the first-level cache.
const WINDOW: usize = 1 << 10;

/// Places between two beats, whole windows: about 0.1 ms.
const STRIDE: usize = WINDOW << 6;

/// Places below a window that are settled with it; more than the rounds there are.
const HALO: usize = LANES;

/// 1.5·2^52: adding and subtracting it rounds a float below 2^51 to the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The results of a transform, as integers in the order of their places.
///
/// The polynomial is known modulo Z^2N + 1 by `ring`, and if it is longer, modulo Z^2M + 1 too, which gave
/// the coefficients from 2N up.
pub(super) struct Coefficients<'a> {
    ring: &'a [Block],
    scale: f64,
    upper: &'a [f64],
}

impl<'a> Coefficients<'a> {
    pub(super) fn new(ring: &'a [Block], upper: &'a [f64]) -> Self {
        Self {
            ring,
            // Of a power of two, so neither the inverse nor the product with it is rounded.
            scale: 1.0 / float(ring.len() * LANES),
            upper,
        }
    }

    /// Reads a window from `start` on; both are multiples of eight.
    #[inline(always)]
    fn read(&self, start: usize, window: &mut [f64]) {
        let length = self.ring.len() * BLOCK_INTEGERS;
        for (index, window) in (start..).step_by(LANES).zip(window.chunks_exact_mut(LANES)) {
            let block = index / LANES;
            let values = if let Some(block) = self.ring.get(block) {
                &block.re
            } else if let Some(block) = self.ring.get(block - self.ring.len()) {
                // `block` is at least the ring's length here, so the difference is not negative.
                &block.im
            } else {
                &[0.0; LANES]
            };
            for (value, read) in window.iter_mut().zip(values) {
                *value = (*read * self.scale + ROUND) - ROUND;
            }
            // P = R + (Z^2N + 1)·U: U is added twice, from 0 and from 2N on.
            let above = index.checked_sub(length);
            if let Some(upper) = self.upper.get(above.unwrap_or(index)..) {
                for (value, upper) in window.iter_mut().zip(upper) {
                    *value += *upper;
                }
            }
        }
    }
}

/// Settles the places from 0 to `count`, on both threads; `largest` bounds the coefficients.
pub(super) fn settle(
    coefficients: &Coefficients<'_>,
    (base, largest): (i32, f64),
    count: usize,
    task: &Task<'_>,
) -> Result<Vec<i16>, Cancelled> {
    let mut places = vec![0; count];
    let rounds = rounds(f64::from(base), largest);
    let middle = if task.can_fork() {
        // At a whole window, because `read` begins at multiples of eight.
        (count / 2).next_multiple_of(WINDOW).min(count)
    } else {
        count
    };
    let (low, high) = places.split_at_mut(middle);
    let settle = |places: &mut [i16], start: usize, task: &Task<'_>| -> Result<(), Cancelled> {
        let level = level();
        let how = (f64::from(base), rounds);
        for (start, places) in (start..).step_by(STRIDE).zip(places.chunks_mut(STRIDE)) {
            for (start, places) in (start..).step_by(WINDOW).zip(places.chunks_mut(WINDOW)) {
                dispatch!(level, _simd => settle_window(coefficients, how, start, places));
            }
            task.beat(work(places.len()))?;
        }
        Ok(())
    };
    if high.is_empty() {
        settle(low, 0, task)?;
    } else {
        task.both(|task| settle(low, 0, task), |task| settle(high, middle, task))?;
    }
    Ok(places)
}

/// Units of work in settling so many places.
pub(super) fn work(places: usize) -> u64 {
    (places / 4) as u64
}

/// The coefficients from 2N up of a polynomial known modulo Z^2N + 1 and modulo Z^2M + 1, where M divides N/2.
///
/// With P = R + (Z^2N + 1)·U and Z^2N ≡ 1 modulo the small ring, U is half of what P and R differ there.
pub(super) fn upper(ring: &[Block], small: &[Block], task: &Task<'_>) -> Result<Vec<f64>, Cancelled> {
    let (ring, small) = (Coefficients::new(ring, &[]), Coefficients::new(small, &[]));
    let period = small.ring.len() * BLOCK_INTEGERS;
    let wraps = ring.ring.len() / small.ring.len();
    let mut upper = vec![0.0; period];
    let level = level();
    for (start, upper) in (0..).step_by(WINDOW).zip(upper.chunks_mut(WINDOW)) {
        dispatch!(level, _simd => difference(&ring, &small, (start, period, wraps), upper));
        if start % STRIDE == 0 {
            task.beat(0)?;
        }
    }
    Ok(upper)
}

#[inline(always)]
fn difference(
    ring: &Coefficients<'_>,
    small: &Coefficients<'_>,
    (start, period, wraps): (usize, usize, usize),
    upper: &mut [f64],
) {
    let mut window = [0.0; WINDOW];
    let window = &mut window[..upper.len()];
    small.read(start, upper);
    for wrap in 0..wraps {
        ring.read(start + wrap * period, window);
        // Z^2M is −1 in the small ring, so every second stretch has the other sign; all are taken away.
        let sign = if wrap % 2 == 0 { -1.0 } else { 1.0 };
        for (upper, value) in upper.iter_mut().zip(&*window) {
            *upper += sign * *value;
        }
    }
    for upper in upper {
        *upper *= 0.5;
    }
}

/// Returns how often the excess of a place has to go on, until places are at most half the base and 2.
fn rounds(base: f64, largest: f64) -> usize {
    let (mut rounds, mut left) = (0, largest);
    while left > base / 2.0 + 2.0 {
        left = base / 2.0 + left / base + 1.0;
        rounds += 1;
    }
    debug_assert!(rounds < HALO, "carries go further than a window looks");
    rounds
}

#[inline(always)]
fn settle_window(
    coefficients: &Coefficients<'_>,
    (base, rounds): (f64, usize),
    start: usize,
    places: &mut [i16],
) {
    let mut values = [0.0; HALO + WINDOW];
    // Shifted by one: `carries[0]`, what comes from below, stays 0. At the lower edge that is wrong, but the
    // error moves up one place a round, and there are fewer rounds than places in the halo.
    let mut carries = [0.0; HALO + WINDOW + 1];
    let length = HALO + places.len().next_multiple_of(LANES);
    let values = &mut values[..length];
    let carries = &mut carries[..=length];
    match start.checked_sub(HALO) {
        Some(below) => coefficients.read(below, values),
        None => coefficients.read(start, &mut values[HALO..]),
    }
    let inverse = 1.0 / base;
    for _ in 0..rounds {
        for (carry, value) in carries[1..].iter_mut().zip(&*values) {
            *carry = (*value * inverse + ROUND) - ROUND;
        }
        for ((value, carry), below) in values.iter_mut().zip(&carries[1..]).zip(&*carries) {
            *value = *value - *carry * base + *below;
        }
    }
    for (place, value) in places.iter_mut().zip(&values[HALO..]) {
        *place = narrow(*value);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an integer of at most half the base and 2"
)]
#[inline(always)]
fn narrow(value: f64) -> i16 {
    // After a fault of the machine this may be any number: it saturates, and the check of the result fails.
    value as i16
}

#[expect(clippy::cast_precision_loss, reason = "a power of two")]
fn float(count: usize) -> f64 {
    count as f64
}
