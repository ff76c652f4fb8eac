//! Steps of doubling on pairs: which rings hold the product, and the work from places to places.

use super::carry::{self, Coefficients, settle};
use super::{Pair, binary, decimal};
use crate::progress::Cancelled;
use crate::radix::Base;
use crate::task::Task;
use crate::transform::{
    self, BLOCK_INTEGERS, Block, MIN_BLOCKS, QuadraticForm, Roots, Vector, Wanted, is_proven, transform,
};

/// Tables and memory that steps use again.
pub(super) struct Workshop {
    roots: Roots,
    /// For each ring and each factor.
    rooms: [[Vec<Block>; 2]; 2],
}

/// The rings that hold a product: one, or a large one and a small one for what is longer.
///
/// In blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) large: usize,
    pub(super) small: Option<usize>,
}

/// The number of times that a small ring may go into a large one: sums of so many coefficients, which are below 2^44 where the
/// transform is proven, are exact in a float.
const MOST_WRAPS: usize = 256;

/// Why a product was not formed.
enum Refused {
    Cancelled,
    /// The base is too wide for numbers of this length.
    BaseTooWide,
}

impl From<Cancelled> for Refused {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl Workshop {
    /// Prepares for products of up to `places` places; longer ones cost time for more memory.
    pub(super) fn new(places: usize) -> Self {
        let shape = Shape::holding(places);
        let room = || Vec::with_capacity(shape.large);
        Self {
            roots: Roots::new(),
            rooms: [[room(), room()], [Vec::new(), Vec::new()]],
        }
    }

    /// From the pair at k to the pair at 2k, or at 2k + 1 for the odd form.
    pub(super) fn double(
        &mut self,
        pair: &mut Pair,
        form: QuadraticForm,
        task: &Task<'_>,
    ) -> Result<Pair, Cancelled> {
        self.proven(pair, task, &mut |workshop, pair| {
            let (count, largest) = (pair.places(), workshop.product(pair, (form, Wanted::Both), task)?);
            let places = |side: usize, task: &Task<'_>| {
                workshop.places(side, (pair.base.value(), largest), count, task)
            };
            let (value, next) = task.both(|task| places(0, task), |task| places(1, task))?;
            Ok(Pair {
                base: pair.base,
                value,
                next,
            })
        })
    }

    /// From the pair at k to F(2k), or F(2k + 1) for the odd form, and its base.
    pub(super) fn double_last(
        &mut self,
        pair: &mut Pair,
        form: QuadraticForm,
        task: &Task<'_>,
    ) -> Result<(Vec<i16>, Base), Cancelled> {
        self.proven(pair, task, &mut |workshop, pair| {
            let (count, largest) = (
                pair.places(),
                workshop.product(pair, (form, Wanted::First), task)?,
            );
            let value = workshop.places(0, (pair.base.value(), largest), count, task)?;
            Ok((value, pair.base))
        })
    }

    /// Does it in the pair's base, or in the first narrower one that is proven, which is the pair's from then on.
    fn proven<T>(
        &mut self,
        pair: &mut Pair,
        task: &Task<'_>,
        work: &mut impl FnMut(&mut Self, &Pair) -> Result<T, Refused>,
    ) -> Result<T, Cancelled> {
        loop {
            match work(self, pair) {
                Ok(done) => return Ok(done),
                Err(Refused::Cancelled) => return Err(Cancelled),
                Err(Refused::BaseTooWide) => pair.narrow(task)?,
            }
        }
    }

    /// Forms the product in all rings, and returns a bound for its coefficients.
    fn product(
        &mut self,
        pair: &Pair,
        what: (QuadraticForm, Wanted),
        task: &Task<'_>,
    ) -> Result<f64, Refused> {
        let shape = Shape::holding(pair.coefficients());
        let mut largest = 0.0;
        // Too small for this step, and in the way of its large ring.
        self.rooms[1] = [Vec::new(), Vec::new()];
        let rings = [Some(shape.large), shape.small];
        for (blocks, rooms) in rings.into_iter().flatten().zip(&mut self.rooms) {
            let [f, g] = rooms.each_mut().map(std::mem::take);
            let (f, g) = load(pair, blocks, [f, g], task)?;
            // The narrowest base is not tested: no number that fits memory needs a narrower one.
            let is_exact = pair.base.narrower() == pair.base || is_proven(what.0, &f, &g);
            largest = transform::size(what.0, [f.norm, g.norm]).max(largest);
            // Put back before a refusal, so that the next try, in a narrower base, has the memory.
            *rooms = [f.blocks, g.blocks];
            if !is_exact {
                return Err(Refused::BaseTooWide);
            }
            transform(what, rooms.each_mut(), &mut self.roots, task)?;
        }
        Ok(largest)
    }

    /// Reads what the last product replaced one of the factors by.
    fn places(
        &self,
        side: usize,
        base_and_largest: (i32, f64),
        count: usize,
        task: &Task<'_>,
    ) -> Result<Vec<i16>, Cancelled> {
        let [large, small] = &self.rooms;
        let upper = if small[side].is_empty() {
            Vec::new()
        } else {
            carry::upper(&large[side], &small[side], task)?
        };
        let coefficients = Coefficients::new(&large[side], &upper);
        let mut places = settle(&coefficients, base_and_largest, count, task)?;
        while places.last() == Some(&0) {
            places.pop();
        }
        Ok(places)
    }
}

/// Puts both numbers into rings of so many blocks.
fn load(
    pair: &Pair,
    blocks: usize,
    [f, g]: [Vec<Block>; 2],
    task: &Task<'_>,
) -> Result<(Vector, Vector), Cancelled> {
    task.both(
        |task| folded(&pair.value, blocks, f, task),
        |task| folded(&pair.next, blocks, g, task),
    )
}

/// Puts places into a ring, where what is too long wraps around with a change of sign.
fn folded(places: &[i16], blocks: usize, room: Vec<Block>, task: &Task<'_>) -> Result<Vector, Cancelled> {
    let length = blocks * BLOCK_INTEGERS;
    if places.len() <= length {
        return Vector::new(places, blocks, room, task);
    }
    let mut sums = vec![0i32; length];
    for (wrap, places) in places.chunks(length).enumerate() {
        let sign = if wrap % 2 == 0 { 1 } else { -1 };
        for (sum, place) in sums.iter_mut().zip(places) {
            *sum += sign * i32::from(*place);
        }
    }
    Vector::new(&sums, blocks, room, task)
}

impl Pair {
    /// Coefficients of the products of this pair.
    fn coefficients(&self) -> usize {
        2 * self.value.len().max(self.next.len())
    }

    /// Places of the forms of this pair: three products can carry beyond the last coefficient.
    fn places(&self) -> usize {
        self.coefficients() + 1
    }

    /// Rewrites both numbers in the next narrower base; when it is cancelled they are in one of the two.
    ///
    /// No places are kept beside those that replace them: the product that follows needs all the memory there is.
    fn narrow(&mut self, task: &Task<'_>) -> Result<(), Cancelled> {
        let (wide, base) = (self.base, self.base.narrower());
        let limbs = |places: &[i16], task: &Task<'_>| match wide {
            Base::Decimal(_) => Ok(decimal::to_limbs(places, wide)),
            Base::Binary(_) => binary::to_limbs(places, wide, task),
        };
        let (value, next) = task.both(|task| limbs(&self.value, task), |task| limbs(&self.next, task))?;
        let rewrite = |places: &mut Vec<i16>, limbs: Vec<u64>| {
            *places = Vec::new();
            *places = match base {
                Base::Decimal(_) => decimal::from_limbs(&limbs, base),
                Base::Binary(_) => binary::from_limbs(&limbs, base),
            };
            Ok(())
        };
        // Neither fails, so both are rewritten also when the observer breaks meanwhile.
        let rewritten = task.both(
            |_| rewrite(&mut self.value, value),
            |_| rewrite(&mut self.next, next),
        );
        self.base = base;
        rewritten.map(drop)
    }
}

impl Shape {
    /// The smallest that holds so many places; a small ring is at most half of the large one.
    pub(super) fn holding(places: usize) -> Self {
        let blocks = |places: usize| {
            places
                .div_ceil(BLOCK_INTEGERS)
                .next_power_of_two()
                .max(MIN_BLOCKS)
        };
        let one = blocks(places);
        let half = one / 2;
        let small = blocks(places.saturating_sub(half * BLOCK_INTEGERS)).max(half / MOST_WRAPS);
        if half >= 2 * small {
            Self {
                large: half,
                small: Some(small),
            }
        } else {
            Self {
                large: one,
                small: None,
            }
        }
    }

    fn work(self, wanted: Wanted) -> u64 {
        let rings = [Some(self.large), self.small];
        rings
            .into_iter()
            .flatten()
            .map(|blocks| transform::work(wanted, blocks))
            .sum()
    }
}

/// Units of work in a step to numbers of so many places.
pub(super) fn step_work(places: usize, wanted: Wanted) -> u64 {
    let results = match wanted {
        Wanted::Both => 2,
        Wanted::First => 1,
    };
    Shape::holding(places).work(wanted) + results * carry::work(places)
}

#[cfg(test)]
mod tests {
    use malachite_base::num::arithmetic::traits::Pow;
    use malachite_base::num::basic::traits::One;
    use malachite_nz::natural::Natural;
    use proptest::prelude::*;

    use super::*;
    use crate::progress::unobserved;
    use crate::task::Ledger;

    fn natural(places: &[i16], base: Base) -> Natural {
        match base {
            Base::Binary(_) => Natural::from_owned_limbs_asc(binary::limbs(places, base)),
            Base::Decimal(_) => {
                let limb = Natural::from(crate::limbs::DECIMAL_LIMB);
                let limbs = decimal::to_limbs(places, base);
                limbs.iter().rev().fold(Natural::from(0u32), |above, digit| {
                    above * &limb + Natural::from(*digit)
                })
            }
        }
    }

    /// Doubles with both forms and compares with the arithmetic library.
    fn assert_forms_are_right(value: &Natural, next: &Natural, base: Base, threads: usize) {
        let mut pair = Pair::from_naturals(value, next, base);
        let ledger = Ledger::new(0, 1);
        let task = Task::new(&ledger, &unobserved, threads);
        let mut workshop = Workshop::new(0);
        let two = Natural::from(2u32);
        let squares = value * value + next * next;
        let even = value * (&two * next - value);
        let odd = next * (&two * value + next);
        for (form, first, second) in [
            (QuadraticForm::Even, &even, &squares),
            (QuadraticForm::Odd, &squares, &odd),
        ] {
            let doubled = workshop.double(&mut pair, form, &task).unwrap();
            assert!(
                natural(&doubled.value, doubled.base) == *first,
                "{base:?} {form:?}, first"
            );
            assert!(
                natural(&doubled.next, doubled.base) == *second,
                "{base:?} {form:?}, second"
            );
            let (last, last_base) = workshop.double_last(&mut pair, form, &task).unwrap();
            assert!(natural(&last, last_base) == *first, "{base:?} {form:?}, last");
        }
    }

    const BASES: [Base; 6] = [
        Base::Decimal(1),
        Base::Decimal(2),
        Base::Decimal(3),
        Base::Decimal(4),
        Base::Binary(10),
        Base::Binary(13),
    ];

    /// All digits 9 carry to the top; places of half the base are the largest there are.
    #[test]
    fn the_worst_carries_and_the_largest_places_are_right() {
        for digits in [1u64, 2, 3, 4, 18, 36, 200, 1_023, 4_099, 20_000] {
            let nines = Natural::from(10u32).pow(digits) - Natural::ONE;
            let halves = &nines / Natural::from(9u32) * Natural::from(5u32);
            let ones = (Natural::ONE << (10 * digits / 3)) - Natural::ONE;
            let alternating = &ones / Natural::from(3u32);
            for base in BASES {
                for value in [&nines, &halves, &ones, &alternating] {
                    assert_forms_are_right(value, value, base, 1);
                }
            }
        }
    }

    #[test]
    fn two_threads_and_large_rings_are_right() {
        let nines = Natural::from(10u32).pow(300_000) - Natural::ONE;
        let halves = &nines / Natural::from(9u32) * Natural::from(5u32);
        for value in [&nines, &halves] {
            assert_forms_are_right(value, value, Base::DECIMAL, 2);
            assert_forms_are_right(value, value, Base::BINARY, 2);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn forms_of_any_numbers_are_right(
            value in proptest::collection::vec(any::<u64>(), 1..400),
            difference in proptest::collection::vec(any::<u64>(), 0..400),
            base in proptest::sample::select(BASES.to_vec()),
            threads in 1usize..3,
        ) {
            let value = Natural::from_owned_limbs_asc(value);
            let next = &value + Natural::from_owned_limbs_asc(difference);
            assert_forms_are_right(&value, &next, base, threads);
        }
    }

    #[test]
    fn a_shape_holds_what_it_should_and_not_much_more() {
        for places in (1..5_000).chain([100_000, 1 << 20, (1 << 20) + 1, 3_000_000, 69_662_548]) {
            let Shape { large, small } = Shape::holding(places);
            let room = (large + small.unwrap_or(0)) * BLOCK_INTEGERS;
            assert!(room >= places, "{places} places in {large} and {small:?} blocks");
            assert!(
                room <= (2 * places).max(MIN_BLOCKS * BLOCK_INTEGERS),
                "{places} places in {room}"
            );
            assert!(
                small.is_none_or(|small| large % (2 * small) == 0),
                "{places} places"
            );
        }
    }
}
