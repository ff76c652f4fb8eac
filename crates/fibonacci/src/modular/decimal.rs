//! Residues of a number written in base ten, by all moduli in one pass over its text or its limbs.
//!
//! A block of 512 digits is 32 groups of 16, read with the widest registers there are. The groups times powers of
//! 10^16 are summed up in 128 bits and reduced once for the block, so no group waits for the one before it.
#![allow(
    clippy::inline_always,
    reason = "only code that is inlined is compiled for the widest registers"
)]

use std::array::from_fn;

use fearless_simd::dispatch;

use crate::instructions::level;
use crate::limbs::DECIMAL_LIMB;
use crate::montgomery::Montgomery;
use crate::progress::unobserved;
use crate::task::{Ledger, Task, processors};

const GROUP_DIGITS: usize = 16;
const GROUP: u64 = 10u64.pow(16);
const GROUPS: usize = 32;
const BLOCK_DIGITS: usize = GROUPS * GROUP_DIGITS;

/// Units of work in a block; below two million digits a second thread is not worth its start.
const WORK: u64 = 250;

/// The powers of a group's base, 10^16 or 10^18, modulo a number.
struct Powers {
    /// From the 31st down to 1, plain.
    groups: [u64; GROUPS],
    /// The form of the 32nd.
    block: u64,
}

impl Powers {
    fn new(field: &Montgomery, group: u64) -> Self {
        let group = field.form(group);
        let mut groups = [field.reduced(1); GROUPS];
        for index in (1..GROUPS).rev() {
            // A plain number times a form is plain, and only plain ones can be summed up in 128 bits.
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

/// The sum of the products, each below 10^18 · 2^63, a 36th of 2^128.
fn dot(values: &[u64; GROUPS], powers: &[u64; GROUPS]) -> u128 {
    let products = values.iter().zip(powers);
    products.fold(0, |sum, (value, power)| {
        sum + u128::from(*value) * u128::from(*power)
    })
}

/// The residues of a decimal text in several fields, while it is read in pieces.
pub(crate) struct DecimalReader<const K: usize> {
    fields: [Montgomery; K],
    powers: [Powers; K],
    /// Of the whole blocks.
    residues: [u64; K],
    /// Digits behind the last whole block, `length_bytes` % `BLOCK_DIGITS` of them.
    begun: [u8; BLOCK_DIGITS],
    length_bytes: u64,
    /// The place of the first byte that is no digit; nothing is read behind it.
    fault: Option<u64>,
}

impl<const K: usize> DecimalReader<K> {
    pub(crate) fn new(fields: [Montgomery; K]) -> Self {
        Self {
            fields,
            powers: fields.each_ref().map(|field| Powers::new(field, GROUP)),
            residues: [0; K],
            begun: [0; BLOCK_DIGITS],
            length_bytes: 0,
            fault: None,
        }
    }

    /// Bytes given so far, digits or not.
    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Appends the next bytes, on two threads if they are many.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        let before = self.length_bytes;
        self.length_bytes += piece.len() as u64;
        if self.fault.is_none() && self.append(piece, begun_digits(before)).is_none() {
            // Reading shows only that some byte is wrong; its place is looked for once, when there is one.
            let wrong = piece.iter().take_while(|byte| byte.is_ascii_digit()).count();
            self.fault = Some(before + wrong as u64);
        }
    }

    /// The residues; the error is the position of the first byte that is no digit, 0 in an empty text.
    pub(crate) fn finish(self) -> Result<[u64; K], usize> {
        if let Some(position) = self.fault.or((self.length_bytes == 0).then_some(0)) {
            return Err(usize::try_from(position).unwrap_or(usize::MAX));
        }
        let mut residues = self.residues;
        for group in self.begun[..begun_digits(self.length_bytes)].chunks(GROUP_DIGITS) {
            let (value, scale) = group.iter().fold((0, 1), |(value, scale), digit| {
                (10 * value + u64::from(digit - b'0'), 10 * scale)
            });
            for (residue, field) in residues.iter_mut().zip(&self.fields) {
                *residue = field.add(field.mul(*residue, field.form(scale)), field.reduced(value));
            }
        }
        Ok(residues)
    }

    /// Appends digits where `begun` of a block are there already; `None` if there is something else.
    fn append(&mut self, digits: &[u8], begun: usize) -> Option<()> {
        if begun + digits.len() < BLOCK_DIGITS {
            return self.keep(digits, begun);
        }
        // 0 where no block is begun: whole blocks are read where they are and not copied.
        let missing = (BLOCK_DIGITS - begun) % BLOCK_DIGITS;
        let (first, digits) = digits.split_at(missing);
        if missing > 0 {
            self.keep(first, begun)?;
            let block = self.begun;
            self.append_blocks(&[block])?;
        }
        let (blocks, rest) = digits.as_chunks();
        self.append_blocks(blocks)?;
        self.keep(rest, 0)
    }

    /// Keeps digits of a block for later, checked now, since nobody can say later which piece they were in.
    fn keep(&mut self, digits: &[u8], begun: usize) -> Option<()> {
        self.begun[begun..][..digits.len()].copy_from_slice(digits);
        digits.iter().all(u8::is_ascii_digit).then_some(())
    }

    fn append_blocks(&mut self, blocks: &[[u8; BLOCK_DIGITS]]) -> Option<()> {
        let (fields, powers, first) = (&self.fields, &self.powers, self.residues);
        let ledger = Ledger::new(0, 1);
        let units = WORK * blocks.len() as u64;
        let task = Task::new(&ledger, &unobserved, processors().get()).sized(units);
        let half = if task.can_fork() { blocks.len() / 2 } else { 0 };
        let (upper, lower) = blocks.split_at(blocks.len() - half);
        // Nothing cancels this task: `None` is a byte that is no digit, below.
        let (upper, below) = task
            .both(
                |_| Ok(append(first, upper, fields, powers)),
                |_| Ok(append([0; K], lower, fields, powers)),
            )
            .ok()?;
        let (upper, below) = (upper?, below?);
        self.residues = from_fn(|index| {
            let (field, powers) = (&fields[index], &powers[index]);
            // Without a second thread the lower part is empty, and the scale is 1.
            let scale = field.power(powers.block, lower.len());
            field.add(field.mul(upper[index], scale), below[index])
        });
        Some(())
    }
}

/// Returns the number of digits behind the last whole block of a text.
#[expect(clippy::cast_possible_truncation, reason = "a remainder is below its divisor")]
fn begun_digits(length_bytes: u64) -> usize {
    (length_bytes % BLOCK_DIGITS as u64) as usize
}

/// Appends blocks to residues; `None` if there is something else than digits.
fn append<const K: usize>(
    mut residues: [u64; K],
    blocks: &[[u8; BLOCK_DIGITS]],
    fields: &[Montgomery; K],
    powers: &[Powers; K],
) -> Option<[u64; K]> {
    let level = level();
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

/// The residues of limbs in base 10^18, lowest first, each below it.
pub(crate) fn limbs_residues<const K: usize>(limbs: &[u64], fields: &[Montgomery; K]) -> [u64; K] {
    let powers = fields.each_ref().map(|field| Powers::new(field, DECIMAL_LIMB));
    let (blocks, top) = limbs.as_chunks();
    let mut last = [0; GROUPS];
    // The highest limbs come first, filled up with zeros above, which count for nothing.
    last[..top.len()].copy_from_slice(top);
    let mut residues = [0; K];
    for block in std::iter::once(&last).chain(blocks.iter().rev()) {
        let mut values = *block;
        values.reverse();
        for ((residue, field), powers) in residues.iter_mut().zip(fields).zip(&powers) {
            *residue = powers.append(*residue, &values, field);
        }
    }
    residues
}

/// Reads a block as groups, highest first; whether it has digits only.
#[inline(always)]
fn read(block: &[u8; BLOCK_DIGITS], values: &mut [u64; GROUPS]) -> bool {
    let mut eights = [0; 2 * GROUPS];
    let mut wrong = 0;
    for (eight, bytes) in eights.iter_mut().zip(block.as_chunks().0) {
        let text = u64::from_le_bytes(*bytes);
        // Collected and tested once for the block: with a way out in it, the loop would not be vectorised.
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
    // With 6 added, 0x3A to 0x3F have the upper half 4. A carry into the next byte comes from 0xFA up only,
    // and those are found by their own upper half.
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
    // The factors are 10^6·2^32 + 100 and 10^4·2^32 + 1, so the upper 32 bits are what the digits add up to.
    let outer = (pairs & mask).wrapping_mul(0x000F_4240_0000_0064);
    let inner = (pairs >> 16 & mask).wrapping_mul(0x0000_2710_0000_0001);
    outer.wrapping_add(inner) >> 32
}
