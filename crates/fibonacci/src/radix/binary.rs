//! Places in base 2^b as limbs of 64 bits, and back.

use super::Base;
use crate::progress::{Cancelled, unobserved};
use crate::task::{Ledger, Task};

/// Places that become limbs between two beats.
const STRIDE: usize = 1 << 16;

/// Reads limbs, lowest first, as balanced places.
pub(crate) fn from_limbs(limbs: &[u64], base: Base) -> Vec<i16> {
    let bits = base.value().ilog2();
    let mut places = Vec::with_capacity(limbs.len() * 64 / bits as usize + 2);
    let (mut rest, mut held) = (0u128, 0);
    for limb in limbs {
        // `held` is below `bits`, at most 13, so the limb fits above what is held.
        rest += u128::from(*limb) << held;
        held += 64;
        while held >= bits {
            rest = take(rest, bits, &mut places);
            held -= bits;
        }
    }
    while rest != 0 {
        rest = take(rest, bits, &mut places);
    }
    while places.last() == Some(&0) {
        places.pop();
    }
    places
}

/// Moves the lowest bits of `rest` to a place; above half the base it becomes negative, and the rest one more.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below the base, the place at most half"
)]
fn take(rest: u128, bits: u32, places: &mut Vec<i16>) -> u128 {
    let place = (rest % (1 << bits)) as i32;
    let is_high = place > 1 << (bits - 1);
    places.push((place - (i32::from(is_high) << bits)) as i16);
    (rest >> bits) + u128::from(is_high)
}

/// Writes places, whose number is not negative, as limbs without zeros at the top; on both threads.
pub(crate) fn to_limbs(places: &[i16], base: Base, task: &Task<'_>) -> Result<Vec<u64>, Cancelled> {
    let bits = base.value().ilog2() as usize;
    // 64 places are a whole number of limbs.
    let middle = places.len() / 2 / 64 * 64;
    let mut limbs = vec![0; places.len() * bits / 64 + 1];
    let (low, high) = limbs.split_at_mut(middle * bits / 64);
    // A negative lower half borrows one from the upper: known beforehand, both are written at the same time.
    let is_negative = places[..middle]
        .iter()
        .rev()
        .find(|place| **place != 0)
        .is_some_and(|place| *place < 0);
    task.both(
        |task| write((&places[..middle], bits), 0, low, task),
        |task| write((&places[middle..], bits), -i128::from(is_negative), high, task),
    )?;
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    Ok(limbs)
}

/// The same on one thread.
pub(crate) fn limbs(places: &[i16], base: Base) -> Vec<u64> {
    let ledger = Ledger::new(0, 1);
    // Nobody observes, so nobody cancels.
    to_limbs(places, base, &Task::new(&ledger, &unobserved, 1)).unwrap_or_default()
}

/// Writes places, to whose number `rest` is added, as many limbs as there is room for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low limb is what is wanted, and the sign stays in the rest"
)]
fn write(
    (places, bits): (&[i16], usize),
    mut rest: i128,
    limbs: &mut [u64],
    task: &Task<'_>,
) -> Result<(), Cancelled> {
    let mut limbs = limbs.iter_mut();
    let mut held = 0;
    for places in places.chunks(STRIDE) {
        for group in places.chunks(4) {
            let sum = group
                .iter()
                .rev()
                .fold(0, |above, place| (above << bits) + i64::from(*place));
            rest += i128::from(sum) << held;
            held += group.len() * bits;
            // Four places are at most 52 bits, so a group fills one limb at most.
            if held >= 64 {
                limbs.by_ref().take(1).for_each(|limb| *limb = rest as u64);
                rest >>= 64;
                held -= 64;
            }
        }
        task.beat(0)?;
    }
    // The lower half has no room left: its rest is the borrow that the upper half began with.
    limbs.take(1).for_each(|limb| *limb = rest as u64);
    Ok(())
}
