//! The definition as a program: F(n) = F(n−1) + F(n−2), 2·F(n+1) − 1 calls.
//!
//! It exists to burn CPU for a predictable time, 1 to 4 ns a call, φ times longer for each further n. The
//! subtrees of n ≤ 20 (about 20,000 calls, 0.1 ms) run without looking up; above, every node is a place to
//! stop. [`black_box`] around each result keeps the compiler from sharing calls or turning them into a
//! loop. Nothing bounds the time: limiting n is the caller's duty.

use std::hint::black_box;

use malachite_nz::natural::Natural;

use crate::progress::{Cancelled, Observer, report};
use crate::table::{TABLE_MAX_N, small};

/// The largest n that callers should let [`recursive`] compute: 4·10¹⁰ calls, one to three minutes.
pub const RECURSIVE_MAX_N: u64 = 50;

/// Subtrees up to this n run to their end unobserved.
const UNOBSERVED_N: u64 = 20;

/// Computes F(n) by naive recursion, in exponential time.
///
/// Progress is counted in calls. Above [`RECURSIVE_MAX_N`] nothing changes but the time: n = 60 takes hours,
/// n = 100 takes longer than the universe is old. Sums are kept in 128 bits and are exact as far as they
/// reach; the count of calls saturates above n = 91.
///
/// # Errors
/// [`Cancelled`] when `observe` breaks.
///
/// # Panics
/// When n > 186: the value would not fit 128 bits, and the recursion would not end in any case.
pub fn recursive(n: u64, observe: &Observer<'_>) -> Result<Natural, Cancelled> {
    assert!(
        n <= TABLE_MAX_N,
        "naive recursion is defined for n <= {TABLE_MAX_N}, got {n}"
    );
    let mut burner = Burner {
        observe,
        done: 0,
        total: calls(n),
    };
    burner.visit(n).map(Natural::from)
}

struct Burner<'a> {
    observe: &'a Observer<'a>,
    done: u64,
    total: u64,
}

impl Burner<'_> {
    fn visit(&mut self, n: u64) -> Result<u128, Cancelled> {
        // Larger nodes do not report: each comes to a small subtree, which does, right away.
        if n > UNOBSERVED_N {
            self.done = self.done.saturating_add(1);
            return Ok(self.visit(n - 1)? + self.visit(n - 2)?);
        }
        report(self.observe, self.done, self.total)?;
        self.done = self.done.saturating_add(calls(n));
        Ok(u128::from(burn(n)))
    }
}

#[inline(never)]
fn burn(n: u64) -> u64 {
    if n < 2 {
        n
    } else {
        black_box(burn(n - 1)) + black_box(burn(n - 2))
    }
}

/// Calls in the tree of n: 2·F(n+1) − 1, or as many as a `u64` can count.
fn calls(n: u64) -> u64 {
    small(n + 1)
        .and_then(|f| u64::try_from(f).ok())
        .and_then(|f| f.checked_mul(2))
        .map_or(u64::MAX, |f| f - 1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::ControlFlow;

    use super::*;

    #[test]
    fn calls_counts_the_tree() {
        fn count(n: u64) -> u64 {
            if n < 2 { 1 } else { 1 + count(n - 1) + count(n - 2) }
        }
        for n in 0..25 {
            assert_eq!(calls(n), count(n), "n = {n}");
        }
        assert_eq!(calls(TABLE_MAX_N), u64::MAX);
    }

    #[test]
    fn no_more_than_one_small_subtree_runs_between_observations() {
        let last = Cell::new(0);
        recursive(30, &|progress| {
            assert!(
                progress.done - last.get() <= calls(UNOBSERVED_N) + 30,
                "too long unobserved"
            );
            last.set(progress.done);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(
            last.get() >= calls(30) - calls(UNOBSERVED_N),
            "the work was not all counted"
        );
    }
}
