//! The way to F(n), bit by bit of n, with tables, threads, progress and checks.

use std::num::NonZero;

use malachite_base::num::arithmetic::traits::Fibonacci;
use malachite_nz::natural::Natural;

use super::{Base, Pair, Workshop, binary, decimal, is_fibonacci, step_work};
use crate::magnitude::digits;
use crate::progress::{Cancelled, Observer, report};
use crate::task::{Ledger, Task, processors};
use crate::transform::{QuadraticForm, Wanted};

/// A state on the way: the pair at k, a prefix of n without one or more of its lowest bits.
pub(crate) struct Course {
    n: u64,
    k: u64,
    pair: Pair,
    /// Units of work reported so far.
    done: u64,
    threads: NonZero<usize>,
    workshop: Option<Workshop>,
}

impl Course {
    /// Starts at the longest prefix that has at most so many digits.
    pub(crate) fn new(n: u64, base: Base, first_digits: u64) -> Self {
        // The lowest bit is for `finish`, which forms only one of the two products.
        let mut k = n >> 1;
        while digits(k) > first_digits {
            k >>= 1;
        }
        Self::at(n, k, Pair::exact(k, base))
    }

    /// Starts at a known pair.
    pub(crate) fn at(n: u64, k: u64, pair: Pair) -> Self {
        Self {
            n,
            k,
            pair,
            done: 0,
            threads: processors(),
            workshop: None,
        }
    }

    pub(crate) fn with_threads(self, threads: NonZero<usize>) -> Self {
        Self { threads, ..self }
    }

    pub(crate) fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    pub(crate) fn target(&self) -> u64 {
        self.n
    }

    pub(crate) fn index(&self) -> u64 {
        self.k
    }

    pub(crate) fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Returns whether only the last product is left.
    pub(crate) fn is_done(&self) -> bool {
        self.k == self.n >> 1
    }

    /// Appends the next bit of n to k; does nothing when only the last product is left.
    pub(crate) fn step(&mut self, observe: &Observer<'_>) -> Result<(), Cancelled> {
        if self.is_done() {
            return Ok(());
        }
        let bits_left = self.k.leading_zeros() - self.n.leading_zeros();
        let next = self.n >> (bits_left - 1);
        self.pair = self.work(next, observe, |pair, workshop, task| {
            let doubled = workshop.double(pair, form(next), task)?;
            let is_right = doubled.is_at(next, task)?;
            Ok(if is_right {
                doubled
            } else {
                Pair::exact(next, pair.base)
            })
        })?;
        self.k = next;
        Ok(())
    }

    /// Takes the steps that are left and the last product, and lets `write` write F(n).
    ///
    /// `None` if the check fails, so that the product must be wrong.
    pub(crate) fn finish<T>(
        mut self,
        observe: &Observer<'_>,
        write: impl FnOnce(&[i16], Base, &Task<'_>) -> Result<T, Cancelled>,
    ) -> Result<Option<T>, Cancelled> {
        while !self.is_done() {
            self.step(observe)?;
        }
        let n = self.n;
        let written = self.work(n, observe, |pair, workshop, task| {
            let (value, base) = workshop.double_last(pair, form(n), task)?;
            // Its memory is not needed any more, but what is written needs some.
            *workshop = Workshop::new(0);
            if is_fibonacci(&value, base, n) {
                write(&value, base, task).map(Some)
            } else {
                Ok(None)
            }
        })?;
        report(observe, self.total(), self.total())?;
        Ok(written)
    }

    /// Runs the part of the computation up to an index.
    fn work<T>(
        &mut self,
        until: u64,
        observe: &Observer<'_>,
        part: impl FnOnce(&mut Pair, &mut Workshop, &Task<'_>) -> Result<T, Cancelled>,
    ) -> Result<T, Cancelled> {
        let total = self.total();
        // A step that was cancelled has been counted in part; progress does not go back.
        let begun = (total - work_from(self.n, self.k)).max(self.done);
        report(observe, begun, total)?;
        let mut workshop = self
            .workshop
            .take()
            .unwrap_or_else(|| Workshop::new(places(self.n)));
        let ledger = Ledger::new(begun, total);
        let task =
            Task::new(&ledger, observe, self.threads.get()).sized(step_work(places(until), Wanted::Both));
        let outcome = part(&mut self.pair, &mut workshop, &task);
        self.done = ledger.done().min(total);
        self.workshop = Some(workshop);
        outcome
    }

    /// Units of work from the first bit on.
    fn total(&self) -> u64 {
        work_from(self.n, 0)
    }
}

impl Pair {
    /// The pair at k by the arithmetic library.
    pub(crate) fn exact(k: u64, base: Base) -> Self {
        Self::from_naturals(&Natural::fibonacci(k), &Natural::fibonacci(k + 1), base)
    }

    /// Writes two numbers in a base.
    pub(crate) fn from_naturals(value: &Natural, next: &Natural, base: Base) -> Self {
        let places = |number: &Natural| match base {
            Base::Binary(_) => binary::from_limbs(number.as_limbs_asc(), base),
            Base::Decimal(_) => decimal::from_limbs(&decimal::limbs_of_text(&number.to_string()), base),
        };
        Self {
            base,
            value: places(value),
            next: places(next),
        }
    }
}

/// The way in which the step to an index is taken.
fn form(index: u64) -> QuadraticForm {
    if index & 1 == 0 {
        QuadraticForm::Even
    } else {
        QuadraticForm::Odd
    }
}

/// About how many places F(index) has, in base 10^3 or 2^10.
pub(super) fn places(index: u64) -> usize {
    usize::try_from(digits(index) / 3).map_or(usize::MAX / 8, |places| places.min(usize::MAX / 8) + 2)
}

/// Units of work from index k on; writing the result counts as a place each.
fn work_from(n: u64, k: u64) -> u64 {
    let last = step_work(places(n), Wanted::First) + places(n) as u64;
    let steps = std::iter::successors(Some(n >> 1), |index| Some(index >> 1));
    steps
        .take_while(|index| *index > k)
        .map(|index| step_work(places(index), Wanted::Both))
        .fold(last, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::progress::unobserved;
    use crate::transform::fault::{TransformFault, with_fault};
    use crate::{Doubling, decimal_digits, doubling};

    const FAULTS: [TransformFault; 3] = [
        TransformFault::OneMore,
        TransformFault::Negated,
        TransformFault::NotANumber,
    ];

    /// Above the lengths that are left to the library, odd and even.
    const INDICES: [u64; 2] = [200_001, 333_334];

    #[test]
    fn a_step_that_goes_wrong_is_taken_by_the_library() {
        for base in [Base::DECIMAL, Base::BINARY] {
            for (fault, side) in FAULTS.into_iter().flat_map(|fault| [(fault, 0), (fault, 1)]) {
                let mut course = Course::new(INDICES[0], base, 5_000);
                let (stepped, struck) = with_fault((fault, side), 0..1, || course.step(&unobserved));
                assert_eq!((stepped, struck), (Ok(()), 1));
                assert!(
                    *course.pair() == Pair::exact(course.index(), base),
                    "{base:?} {fault:?} of result {side}"
                );
            }
        }
    }

    #[test]
    fn a_last_product_that_goes_wrong_writes_nothing() {
        for (base, fault) in [Base::DECIMAL, Base::BINARY].into_iter().zip(FAULTS) {
            let mut course = Course::new(INDICES[0], base, 5_000);
            while !course.is_done() {
                course.step(&unobserved).unwrap();
            }
            let (written, struck) = with_fault((fault, 0), 0..1, || {
                course.finish(&unobserved, |_, _, _| -> Result<(), Cancelled> {
                    panic!("wrong places are written")
                })
            });
            assert_eq!((written, struck), (Ok(None), 1), "{base:?} {fault:?}");
        }
    }

    /// Computes F(n) in all ways that use the transform, and returns how many went wrong in each.
    fn assert_exact(n: u64, what: &(TransformFault, Range<u32>)) -> [u32; 3] {
        let (fault, transforms) = what;
        let value = Natural::fibonacci(n).to_string();
        let ways: [&dyn Fn() -> String; 3] = [
            &|| decimal_digits(n, &unobserved).unwrap(),
            &|| doubling(n, &unobserved).unwrap().to_string(),
            &|| Doubling::new(n).finish().to_string(),
        ];
        ways.map(|way| {
            let (found, struck) = with_fault((*fault, 0), transforms.clone(), way);
            assert!(found == value, "F({n}) with {what:?}");
            struck
        })
    }

    #[test]
    fn values_are_exact_whichever_transform_goes_wrong() {
        for n in INDICES {
            let is_struck = |number: &u32| {
                let fault = FAULTS[*number as usize % FAULTS.len()];
                assert_exact(n, &(fault, *number..number + 1)) != [0; 3]
            };
            let count = (0..100).take_while(is_struck).count();
            assert!(count > 5, "{count} transforms lead to F({n})");
        }
    }

    #[test]
    fn values_are_exact_when_all_transforms_go_wrong() {
        for n in INDICES {
            for fault in FAULTS {
                let struck = assert_exact(n, &(fault, 0..u32::MAX));
                assert!(struck.iter().all(|struck| *struck > 0), "{fault:?} {struck:?}");
            }
        }
    }
}
