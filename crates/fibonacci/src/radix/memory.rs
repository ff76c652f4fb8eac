//! The memory of a course, from its lengths alone.
//!
//! Rings are powers of two and bases are as narrow as the transform's bound asks, so memory grows in steps: F(1.5·10⁹)
//! takes twice what F(10⁹) takes. Hence no factor of the length, but the sum of what is there at the same time: the rooms of both
//! factors, the roots, the places. Which sum is the largest depends on the rings; all are formed.
//!
//! Vectors are counted as they are asked for, whether or not they are filled, because it is address space that a
//! process is limited in. What the allocator and the stacks take besides is not counted.

use super::course::places;
use super::{Base, Shape};
use crate::magnitude::{bits, digits};
use crate::transform::{BLOCK_INTEGERS, QuadraticForm, is_proven_for};

/// One coefficient in the room of one factor.
const ROOM_BYTES: u64 = 8;
/// The roots of the ring and of all smaller ones, by coefficient: nodes, and twice as many tails.
const ROOTS_BYTES: u64 = 3;
/// A coefficient of both factors, while they are folded into a small ring.
const FOLDED_BYTES: u64 = 8;
const PLACE_BYTES: u64 = 2;
const LIMB_BYTES: u64 = 8;

/// Places beyond those of the digits: balancing and three products carry.
const CARRIED: usize = 8;

/// Beyond this no memory is large enough, and the sums would overflow.
const LARGEST_INDEX: u64 = 1 << 52;

/// Squared norms vary by less than this around what random digits have.
const NORM_MARGIN: f64 = 1.01;

/// The product that makes F(index), and the next if it is not the last one.
struct Product {
    base: Base,
    /// Places of one result.
    places: u64,
    /// Coefficients in the rings.
    large: u64,
    small: u64,
}

impl Product {
    /// In the first base from `base` on that is proven.
    fn of(index: u64, mut base: Base) -> Self {
        loop {
            let places = places_in(index, base);
            let shape = Shape::holding(places);
            // The mean square of places spread evenly from −base/2 to base/2; a factor has half as many.
            let digit = f64::from(base.value()).powi(2) / 12.0;
            let norm = NORM_MARGIN * digit * float(places) / 2.0;
            if base.narrower() == base || is_proven_for(QuadraticForm::Even, shape.large, [norm; 2]) {
                return Self {
                    base,
                    places: places as u64,
                    large: coefficients(shape.large),
                    small: coefficients(shape.small.unwrap_or(0)),
                };
            }
            base = base.narrower();
        }
    }

    /// The most while this is the last product and `reserved` coefficients of a room are there in any case.
    fn last_bytes(&self, reserved: u64) -> u64 {
        let room = ROOM_BYTES * self.large.max(reserved);
        // Of the large ring only one factor is left when the small one is filled.
        let small = room + (2 * ROOM_BYTES + FOLDED_BYTES) * self.small;
        let factors = PLACE_BYTES * self.places;
        small.max(2 * room) + ROOTS_BYTES * self.large + factors
    }

    /// The most while this is the product before the last one, which asks for `base`, and while its state is stored.
    fn before_bytes(&self, reserved: u64, base: Base, last: u64) -> u64 {
        let rooms = 2 * ROOM_BYTES * (self.large.max(reserved) + self.small) + ROOTS_BYTES * self.large;
        let (factors, results) = (PLACE_BYTES * self.places, 2 * PLACE_BYTES * self.places);
        // What is beyond the large ring, as floats.
        let settled = 2 * ROOM_BYTES * self.small + factors + results;
        let limbs = LIMB_BYTES * (digits(last) / 18 + 4);
        let rewritten = 2 * PLACE_BYTES * (places_in(last / 2, base) as u64);
        rooms + settled.max(limbs + results.max(rewritten))
    }
}

/// The most bytes that a course to F(n) has at one time, from `base` on, begun or resumed, on two threads.
///
/// On one thread it is up to a fifth less.
pub(crate) fn peak_bytes(n: u64, base: Base) -> u64 {
    if n > LARGEST_INDEX {
        return u64::MAX;
    }
    let reserved = coefficients(Shape::holding(places(n)).large);
    let last = Product::of(n, base);
    let before = Product::of(n / 2, base);
    let while_before = before.before_bytes(reserved, last.base, n);
    last.last_bytes(reserved).max(while_before)
}

/// Returns the most places that F(index) can have.
fn places_in(index: u64, base: Base) -> usize {
    let length = match base {
        Base::Decimal(width) => digits(index) / u64::from(width),
        Base::Binary(width) => bits(index) / u64::from(width),
    };
    usize::try_from(length).map_or(usize::MAX / 8, |length| length.min(usize::MAX / 8) + CARRIED)
}

fn coefficients(blocks: usize) -> u64 {
    (blocks * BLOCK_INTEGERS) as u64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a norm needs no more than its first digits"
)]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radix::Course;

    /// The model may narrow the base a little earlier, and never later.
    #[test]
    fn the_base_of_a_product_is_known_before_it_is_formed() {
        for n in [9_000, 600_001, 8_000_000, 12_000_000, 40_000_000] {
            for base in [Base::DECIMAL, Base::BINARY] {
                let mut course = Course::new(n, base, 400);
                while !course.is_done() {
                    course.step(&crate::progress::unobserved).unwrap();
                }
                let product = Product::of(n / 2, base);
                assert_eq!(product.base, course.pair().base, "F({n})");
                let places = course.pair().next.len() as u64;
                assert!(
                    (places..places + 16).contains(&product.places),
                    "F({n}): {places} places"
                );
            }
        }
    }

    #[test]
    fn memory_has_an_end_for_every_index() {
        for n in [0, 1, 1 << 20, 1 << 52, u64::MAX] {
            for base in [Base::DECIMAL, Base::BINARY] {
                assert!(peak_bytes(n, base) >= bits(n) / 8, "F({n})");
            }
        }
    }
}
