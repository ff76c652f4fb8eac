//! Places in a decimal base as text and as stored limbs.
//!
//! Two limbs, 36 digits, are a whole number of places in every base, so pairs are converted one by one.

use super::Base;
use crate::limbs::DECIMAL_LIMB_DIGITS;
use crate::progress::Cancelled;
use crate::task::Task;

const LIMB_SIGNED: i64 = 10i64.pow(DECIMAL_LIMB_DIGITS);

/// Pairs of limbs that are cut at a time, in the first-level cache.
const WINDOW: usize = 64;

/// Places that become text between two beats.
const STRIDE: usize = 1 << 16;

/// Returns the number of decimal digits of a place.
fn width(base: Base) -> u32 {
    base.value().ilog10()
}

/// Reads limbs in base 10^18, lowest first, as balanced places.
pub(crate) fn from_limbs(limbs: &[u64], base: Base) -> Vec<i16> {
    let mut places = match width(base) {
        4 => cut::<10_000, 9>(limbs),
        3 => cut::<1_000, 12>(limbs),
        2 => cut::<100, 18>(limbs),
        _ => cut::<10, 36>(limbs),
    };
    drop_zeros(&mut places);
    places
}

/// Cuts pairs of limbs into places; a digit that is half the base or more carries, whatever is carried to it, so
/// that no place waits for the one below.
fn cut<const BASE: u64, const PLACES: usize>(limbs: &[u64]) -> Vec<i16> {
    let (pairs, top) = limbs.as_chunks();
    let last = [top.first().copied().unwrap_or(0), 0];
    // One more place than digits, because the highest may carry.
    let mut places = vec![0; (pairs.len() + 1) * PLACES + 1];
    let (lower, upper) = places.split_at_mut(pairs.len() * PLACES);
    let mut window = [[0; PLACES]; 1 + WINDOW];
    for (places, pairs) in lower.chunks_mut(WINDOW * PLACES).zip(pairs.chunks(WINDOW)) {
        for (digits, pair) in window[1..].iter_mut().zip(pairs) {
            *digits = digits_of::<BASE, PLACES>(*pair);
        }
        balance::<BASE>(places, &window.as_flattened()[PLACES - 1..]);
        // The highest pair is what carries into the next window.
        window[0] = window[pairs.len()];
    }
    window[1] = digits_of::<BASE, PLACES>(last);
    window[2] = [0; PLACES];
    balance::<BASE>(upper, &window.as_flattened()[PLACES - 1..]);
    places
}

/// The digits of two limbs, lowest first; of an odd number the one in the middle has two decimal digits of each.
#[expect(clippy::cast_possible_truncation, reason = "digits are below 10^4")]
fn digits_of<const BASE: u64, const PLACES: usize>([mut low, mut high]: [u64; 2]) -> [i16; PLACES] {
    let mut digits = [0; PLACES];
    let (lower, upper) = digits.split_at_mut(PLACES / 2);
    for digit in lower {
        *digit = (low % BASE) as i16;
        low /= BASE;
    }
    let (middle, upper) = upper.split_at_mut(PLACES % 2);
    for digit in middle {
        *digit = (low + high % 100 * 100) as i16;
        high /= 100;
    }
    for digit in upper {
        *digit = (high % BASE) as i16;
        high /= BASE;
    }
    digits
}

/// Writes digits as places of at most half the base; the first one is that below the lowest place.
#[expect(clippy::cast_possible_truncation, reason = "the base is at most 10^4")]
fn balance<const BASE: u64>(places: &mut [i16], digits: &[i16]) {
    let (base, half) = (BASE as i16, (BASE / 2) as i16);
    for ((place, digit), below) in places.iter_mut().zip(&digits[1..]).zip(digits) {
        let carried = if *digit >= half { base } else { 0 };
        *place = digit - carried + i16::from(*below >= half);
    }
}

fn drop_zeros<T: PartialEq + From<u8>>(digits: &mut Vec<T>) {
    while digits.last() == Some(&T::from(0)) {
        digits.pop();
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
    let mut limbs = match width(base) {
        4 => join::<10_000, 9>(places),
        3 => join::<1_000, 12>(places),
        2 => join::<100, 18>(places),
        _ => join::<10, 36>(places),
    };
    drop_zeros(&mut limbs);
    limbs
}

/// Joins places to pairs of limbs.
fn join<const BASE: i64, const PLACES: usize>(places: &[i16]) -> Vec<u64> {
    let (groups, top) = places.as_chunks();
    let mut last = [0; PLACES];
    last[..top.len()].copy_from_slice(top);
    let mut limbs = vec![[0; 2]; groups.len() + 1];
    let mut borrowed = false;
    for (pair, group) in limbs.iter_mut().zip(groups) {
        borrowed = lend(pair, sums::<BASE, PLACES>(group), borrowed);
    }
    // The number is not negative, so nothing is borrowed beyond the last limb.
    lend(&mut limbs[groups.len()], sums::<BASE, PLACES>(&last), borrowed);
    limbs.into_flattened()
}

/// The sum of the places of two limbs, between −10^18 and 10^18.
fn sums<const BASE: i64, const PLACES: usize>(places: &[i16; PLACES]) -> [i64; 2] {
    let sum = |places: &[i16]| {
        places
            .iter()
            .rev()
            .fold(0, |above, place| above * BASE + i64::from(*place))
    };
    let (lower, upper) = places.split_at(PLACES / 2);
    let (middle, upper) = upper.split_at(PLACES % 2);
    let (mut low, mut high) = (sum(lower), sum(upper));
    for middle in middle {
        let middle = i64::from(*middle);
        // Remainder and quotient both have the sign of `middle`, so they make it up below zero too.
        low += middle % 100 * (LIMB_SIGNED / 100);
        high = 100 * high + middle / 100;
    }
    [low, high]
}

/// Writes sums as limbs, each negative one with 10^18 borrowed from the next; whether the last one was.
fn lend(limbs: &mut [u64; 2], sums: [i64; 2], mut borrowed: bool) -> bool {
    for (limb, sum) in limbs.iter_mut().zip(sums) {
        let sum = sum - i64::from(borrowed);
        borrowed = sum < 0;
        *limb = (if borrowed { sum + LIMB_SIGNED } else { sum }).unsigned_abs();
    }
    borrowed
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
    // The place that the text begins in may have digits only where the text has some, and all above are zero.
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
    // A digit is below the base, and so many entries are in the table.
    let digit = |digit: Option<u32>| table[digit.unwrap_or(0) as usize];
    let highest = digit(Digits::from(places, base, whole).next());
    top.copy_from_slice(&highest[WIDTH - top.len()..]);
    let middle = whole / 2;
    let (upper, lower) = body.split_at_mut((whole - middle) * WIDTH);
    let write = |text: &mut [u8], start: usize, task: &Task<'_>| {
        // The borrow at `start` is found from the places below it, so no half waits for the other.
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
    let groups = digits.as_bytes().rchunks(DECIMAL_LIMB_DIGITS as usize);
    let limb = |group: &[u8]| {
        group
            .iter()
            .fold(0, |limb, digit| 10 * limb + u64::from(digit - b'0'))
    };
    groups.map(limb).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limbs::DECIMAL_LIMB;
    use crate::progress::unobserved;
    use crate::task::Ledger;

    fn bases() -> impl Strategy<Value = Base> {
        (1u32..=4).prop_map(Base::Decimal)
    }

    fn text_of(limbs: &[u64]) -> String {
        let padded: Vec<String> = limbs.iter().rev().map(|limb| format!("{limb:018}")).collect();
        padded.concat().trim_start_matches('0').to_owned()
    }

    proptest! {
        /// Long enough for some windows and a part of one.
        #[test]
        fn limbs_cut_and_joined_are_the_same_limbs(
            limb in prop_oneof![Just(0), Just(DECIMAL_LIMB - 1), 0..DECIMAL_LIMB],
            others in prop::collection::vec(prop_oneof![Just(0), Just(DECIMAL_LIMB / 2), Just(DECIMAL_LIMB - 1), 0..DECIMAL_LIMB], 0..400),
            base in bases(),
        ) {
            let mut limbs = others;
            limbs.push(limb);
            drop_zeros(&mut limbs);
            let places = from_limbs(&limbs, base);
            let largest = places.iter().map(|place| i32::from(*place).abs()).max();
            prop_assert!(largest.unwrap_or(0) <= base.value() / 2 + 1, "{:?}", largest);
            prop_assert!(places.last() != Some(&0), "zeros on top");
            prop_assert_eq!(to_limbs(&places, base), limbs);
        }

        /// Places may be two units beyond half the base.
        #[test]
        fn limbs_of_places_have_the_digits_of_their_text(
            seeds in prop::collection::vec(-1.0..1.0f64, 0..1_000),
            base in bases(),
        ) {
            let largest = f64::from(base.value()) / 2.0 + 2.0;
            #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
            let mut places: Vec<i16> = seeds.iter().map(|seed| (seed * largest).round() as i16).collect();
            places.push(1);
            let text = text_of(&to_limbs(&places, base));
            let ledger = Ledger::new(0, 1);
            let task = Task::new(&ledger, &unobserved, 1);
            let written = to_text(&places, base, text.len() as u64, &task);
            prop_assert_eq!(written, Ok(Some(text)));
        }
    }
}
