//! Places in a decimal base as text, as stored limbs, and modulo a prime.

use super::Base;
use crate::montgomery::Montgomery;
use crate::progress::Cancelled;
use crate::task::Task;

/// Decimal digits of a stored limb.
pub(crate) const LIMB_DIGITS: u32 = 18;

/// The base of stored limbs.
pub(crate) const LIMB: u64 = 10u64.pow(LIMB_DIGITS);

/// Places that become text between two beats.
const STRIDE: usize = 1 << 16;

/// How many decimal digits a place has.
fn width(base: Base) -> u32 {
    base.value().ilog10()
}

/// Reads limbs in base 10^18, lowest first, as balanced places.
pub(crate) fn from_limbs(limbs: &[u64], base: Base) -> Vec<i16> {
    let width = width(base);
    let mut places = Balanced::new(
        base.value(),
        limbs.len() * LIMB_DIGITS as usize / width as usize + 2,
    );
    // A limb is cut from its lowest digit up; what is left of it joins the lowest digits of the next.
    let (mut left, mut left_digits) = (0, 0);
    for limb in limbs {
        let mut limb = *limb;
        let mut digits = LIMB_DIGITS;
        if left_digits > 0 {
            let missing = width - left_digits;
            left += limb % 10u64.pow(missing) * 10u64.pow(left_digits);
            limb /= 10u64.pow(missing);
            digits -= missing;
            places.push(left);
        }
        let base = 10u64.pow(width);
        while digits >= width {
            places.push(limb % base);
            limb /= base;
            digits -= width;
        }
        (left, left_digits) = (limb, digits);
    }
    places.push(left);
    places.finish()
}

/// Places being made, from the lowest up, out of digits that are not negative.
struct Balanced {
    base: i64,
    carry: i64,
    places: Vec<i16>,
}

impl Balanced {
    fn new(base: i32, capacity: usize) -> Self {
        Self {
            base: base.into(),
            carry: 0,
            places: Vec::with_capacity(capacity),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "the digit is below the base, the place at most half of it"
    )]
    fn push(&mut self, digit: u64) {
        let digit = digit as i64 + self.carry;
        self.carry = i64::from(2 * digit > self.base);
        self.places.push((digit - self.carry * self.base) as i16);
    }

    fn finish(mut self) -> Vec<i16> {
        self.push(0);
        while self.places.last() == Some(&0) {
            self.places.pop();
        }
        self.places
    }
}

/// The digits of a number in its base, from the lowest up, none negative.
struct Digits<'a> {
    places: std::slice::Iter<'a, i16>,
    base: i32,
    borrowed: i32,
}

impl<'a> Digits<'a> {
    /// Begins at the place `start`; what is below it, if it is negative, borrows one.
    fn from(places: &'a [i16], base: Base, start: usize) -> Self {
        let (below, places) = places.split_at(start.min(places.len()));
        let highest = below.iter().rev().find(|place| **place != 0);
        Self {
            places: places.iter(),
            base: base.value(),
            borrowed: i32::from(highest.is_some_and(|place| *place < 0)),
        }
    }
}

impl Iterator for Digits<'_> {
    type Item = u32;

    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "what is negative has the base added")]
    fn next(&mut self) -> Option<u32> {
        let place = i32::from(*self.places.next()?) - self.borrowed;
        self.borrowed = i32::from(place < 0);
        Some((place + self.borrowed * self.base) as u32)
    }
}

/// Writes places, whose number is not negative, as limbs in base 10^18 without zeros at the top.
pub(crate) fn to_limbs(places: &[i16], base: Base) -> Vec<u64> {
    let width = width(base);
    let mut limbs = Vec::with_capacity(places.len() * width as usize / LIMB_DIGITS as usize + 2);
    let (mut limb, mut held) = (0, 0);
    for digit in Digits::from(places, base, 0) {
        let (mut digit, mut digits) = (u64::from(digit), width);
        if held + digits > LIMB_DIGITS {
            let fitting = LIMB_DIGITS - held;
            limbs.push(limb + digit % 10u64.pow(fitting) * 10u64.pow(held));
            digit /= 10u64.pow(fitting);
            digits -= fitting;
            (limb, held) = (0, 0);
        }
        limb += digit * 10u64.pow(held);
        held += digits;
    }
    limbs.push(limb);
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    limbs
}

/// Writes a number of `count` decimal digits; `None` if it has fewer or more, or fits no memory.
pub(crate) fn to_text(
    places: &[i16],
    base: Base,
    count: u64,
    task: &Task<'_>,
) -> Result<Option<String>, Cancelled> {
    let Ok(count) = usize::try_from(count) else {
        return Ok(None);
    };
    let text = match width(base) {
        4 => ascii::<4>(places, base, count, task)?,
        3 => ascii::<3>(places, base, count, task)?,
        2 => ascii::<2>(places, base, count, task)?,
        _ => ascii::<1>(places, base, count, task)?,
    };
    let is_whole = text.first().is_some_and(|digit| *digit != b'0') || text == b"0";
    let highest = Digits::from(places, base, count / width(base) as usize);
    let is_all = highest.fold(
        (true, 10u32.pow(u32_of(count) % width(base))),
        |(is_all, limit), digit| (is_all && digit < limit, 1),
    );
    Ok(if is_whole && is_all.0 {
        String::from_utf8(text).ok()
    } else {
        None
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "only its remainder by the width counts"
)]
fn u32_of(count: usize) -> u32 {
    (count % 12) as u32
}

/// The lowest `count` decimal digits, on both threads.
fn ascii<const WIDTH: usize>(
    places: &[i16],
    base: Base,
    count: usize,
    task: &Task<'_>,
) -> Result<Vec<u8>, Cancelled> {
    let table = table::<WIDTH>();
    let whole = count / WIDTH;
    let mut text = vec![b'0'; count];
    let (top, body) = text.split_at_mut(count % WIDTH);
    let digit = |digit: Option<u32>| table[digit.unwrap_or(0) as usize];
    let highest = digit(Digits::from(places, base, whole).next());
    top.copy_from_slice(&highest[WIDTH - top.len()..]);
    let middle = whole / 2;
    let (upper, lower) = body.split_at_mut((whole - middle) * WIDTH);
    let write = |text: &mut [u8], start: usize, task: &Task<'_>| {
        let mut digits = Digits::from(places, base, start);
        for text in text.rchunks_mut(STRIDE * WIDTH) {
            for ascii in text.as_chunks_mut().0.iter_mut().rev() {
                *ascii = digit(digits.next());
            }
            task.beat((text.len() / WIDTH) as u64)?;
        }
        Ok(())
    };
    task.both(|task| write(upper, middle, task), |task| write(lower, 0, task))?;
    Ok(text)
}

/// The text of every digit there is in base 10^WIDTH.
fn table<const WIDTH: usize>() -> Vec<[u8; WIDTH]> {
    let ascii = |mut digit: u32| {
        let mut text = [b'0'; WIDTH];
        for byte in text.iter_mut().rev() {
            *byte += (digit % 10) as u8;
            digit /= 10;
        }
        text
    };
    let count = (0..WIDTH).fold(1, |count, _| 10 * count);
    (0..count).map(ascii).collect()
}

/// Limbs in base 10^18 of a number written in base ten.
pub(super) fn limbs_of_text(digits: &str) -> Vec<u64> {
    let groups = digits.as_bytes().rchunks(LIMB_DIGITS as usize);
    let limb = |group: &[u8]| {
        group
            .iter()
            .fold(0, |limb, digit| 10 * limb + u64::from(digit - b'0'))
    };
    groups.map(limb).collect()
}

/// Stored limbs modulo a prime.
pub(crate) fn limbs_residue(limbs: &[u64], field: &Montgomery) -> u64 {
    let shift = field.form(LIMB);
    let append = |above: u64, limb: &u64| field.add(field.mul(above, shift), field.reduced(*limb));
    limbs.iter().rev().fold(0, append)
}
