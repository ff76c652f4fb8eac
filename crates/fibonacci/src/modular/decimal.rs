//! Residues of a number written in base ten, by all moduli in one pass over its text.
//!
//! A block of 512 digits is 32 groups of 16, read with the widest registers there are. The groups times powers of
//! 10^16 are summed up in 128 bits and reduced once for the block, so no group waits for the one before it.
#![allow(
    clippy::inline_always,
    reason = "only code that is inlined is compiled for the widest registers"
)]

use std::array::from_fn;

use fearless_simd::{Level, dispatch};

use crate::montgomery::Montgomery;
use crate::progress::unobserved;
use crate::task::{Ledger, Task, processors};

const GROUP_DIGITS: usize = 16;
const GROUP: u64 = 10u64.pow(16);
const GROUPS: usize = 32;
const BLOCK_DIGITS: usize = GROUPS * GROUP_DIGITS;

/// Units of work in a block; below a million digits a second thread is not worth its start.
const WORK: u64 = 500;

/// The powers of 10^16 modulo a number.
struct Powers {
    /// (10^16)^31, …, 10^16, 1, plain.
    groups: [u64; GROUPS],
    /// The form of (10^16)^32.
    block: u64,
}

impl Powers {
    fn new(field: &Montgomery) -> Self {
        let group = field.form(GROUP);
        let mut groups = [field.reduced(1); GROUPS];
        for index in (1..GROUPS).rev() {
            groups[index - 1] = field.mul(groups[index], group);
        }
        Self {
            groups,
            block: field.form(field.mul(groups[0], group)),
        }
    }

    /// Appends a block, highest group first, to a residue.
    fn append(&self, residue: u64, values: &[u64; GROUPS], field: &Montgomery) -> u64 {
        let sum = dot(values, &self.groups);
        field.add(field.mul(residue, self.block), field.wide(sum))
    }
}

/// The sum of the products, each below 2^54 · 2^63.
///
fn dot(values: &[u64; GROUPS], powers: &[u64; GROUPS]) -> u128 {
    let products = values.iter().zip(powers);
    products.fold(0, |sum, (value, power)| {
        sum + u128::from(*value) * u128::from(*power)
    })
}

/// The residues in all `fields` of a decimal number, read once, on two threads if it is long; the error is the
/// position of the first byte that is no digit.
pub(crate) fn decimal_residues<const K: usize>(
    digits: &str,
    fields: &[Montgomery; K],
) -> Result<[u64; K], usize> {
    let bytes = digits.as_bytes();
    let (head, blocks) = bytes.split_at(bytes.len() % BLOCK_DIGITS);
    let blocks = blocks.as_chunks().0;
    if bytes.is_empty() {
        return Err(0);
    }
    let residues = short_residues(head, fields).and_then(|first| {
        let powers = fields.each_ref().map(Powers::new);
        let (upper, lower) = blocks.split_at(blocks.len() / 2);
        let ledger = Ledger::new(0, 1);
        let task = Task::new(&ledger, &unobserved, processors()).sized(WORK * blocks.len() as u64);
        let (upper, below) = task
            .both(
                |_| Ok(append(first, upper, fields, &powers)),
                |_| Ok(append([0; K], lower, fields, &powers)),
            )
            .ok()?;
        let (upper, below) = (upper?, below?);
        Some(from_fn(|index| {
            let (field, powers) = (&fields[index], &powers[index]);
            let scale = field.power(powers.block, lower.len());
            field.add(field.mul(upper[index], scale), below[index])
        }))
    });
    residues.ok_or_else(|| bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(0))
}

/// Appends blocks to residues; `None` if there is something else than digits.
fn append<const K: usize>(
    mut residues: [u64; K],
    blocks: &[[u8; BLOCK_DIGITS]],
    fields: &[Montgomery; K],
    powers: &[Powers; K],
) -> Option<[u64; K]> {
    let level = Level::new();
    let mut values = [0; GROUPS];
    for block in blocks {
        if !dispatch!(level, _simd => read(block, &mut values)) {
            return None;
        }
        for ((residue, field), powers) in residues.iter_mut().zip(fields).zip(powers) {
            *residue = powers.append(*residue, &values, field);
        }
    }
    Some(residues)
}

/// The residues of fewer digits than a block has, none included.
fn short_residues<const K: usize>(bytes: &[u8], fields: &[Montgomery; K]) -> Option<[u64; K]> {
    let mut residues = [0; K];
    let (head, groups) = bytes.split_at(bytes.len() % GROUP_DIGITS);
    let first = std::iter::once(head).filter(|head| !head.is_empty());
    for group in first.chain(groups.chunks_exact(GROUP_DIGITS)) {
        if !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = group
            .iter()
            .fold(0, |value, digit| 10 * value + u64::from(digit - b'0'));
        for (residue, field) in residues.iter_mut().zip(fields) {
            *residue = field.add(field.mul(*residue, field.form(GROUP)), field.reduced(value));
        }
    }
    Some(residues)
}

/// Reads a block as groups, highest first; whether it has digits only.
#[inline(always)]
fn read(block: &[u8; BLOCK_DIGITS], values: &mut [u64; GROUPS]) -> bool {
    let mut eights = [0; 2 * GROUPS];
    let mut wrong = 0;
    for (eight, bytes) in eights.iter_mut().zip(block.as_chunks().0) {
        let text = u64::from_le_bytes(*bytes);
        wrong |= no_digits(text);
        *eight = eight_digits(text);
    }
    for (value, [upper, lower]) in values.iter_mut().zip(eights.as_chunks().0) {
        *value = upper * 100_000_000 + lower;
    }
    wrong == 0
}

/// Zero if all eight bytes are ASCII digits.
#[inline(always)]
fn no_digits(text: u64) -> u64 {
    let upper_halves = 0xF0F0_F0F0_F0F0_F0F0;
    let zeros = 0x3030_3030_3030_3030;
    let above_nine = text.wrapping_add(0x0606_0606_0606_0606);
    (text & upper_halves ^ zeros) | (above_nine & upper_halves ^ zeros)
}

/// Reads eight ASCII digits at once: neighbours are joined to pairs, pairs to fours, fours to eight.
///
/// Source: D. Lemire, "Quickly parsing eight digits" (2018).
#[inline(always)]
fn eight_digits(text: u64) -> u64 {
    let digits = text & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let mask = 0x0000_00FF_0000_00FF;
    let outer = (pairs & mask).wrapping_mul(0x000F_4240_0000_0064);
    let inner = (pairs >> 16 & mask).wrapping_mul(0x0000_2710_0000_0001);
    outer.wrapping_add(inner) >> 32
}
