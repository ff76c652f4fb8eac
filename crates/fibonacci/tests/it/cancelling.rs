//! A broken observer stops a computation at once, and every computation asks often enough.
//!
//! Nothing here looks at a clock: what is bounded is the work between two observations.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use fibonacci::{
    Cancelled, Natural, Observer, Progress, decimal, doubling, iterative, recursive, unobserved,
};
use malachite_base::num::arithmetic::traits::Fibonacci;

type Computation<'a> = &'a dyn Fn(&Observer<'_>) -> Result<(), Cancelled>;

/// What an observer that never cancels gets to see.
fn observations(computation: Computation<'_>) -> Vec<Progress> {
    let seen = RefCell::new(Vec::new());
    computation(&|progress| {
        seen.borrow_mut().push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    seen.into_inner()
}

fn with_every_computation(check: impl Fn(&str, Computation<'_>)) {
    let value = Natural::fibonacci(2_000_000);
    check("recursive", &|observe| recursive(27, observe).map(drop));
    check("iterative", &|observe| iterative(40_000, observe).map(drop));
    check("doubling", &|observe| doubling(300_000, observe).map(drop));
    check("decimal", &|observe| decimal(&value, observe).map(drop));
}

#[test]
fn a_cancelled_computation_stops_at_that_very_observation() {
    with_every_computation(|name, computation| {
        let total = observations(computation).len();
        for last in [1, 2, total / 2, total] {
            let calls = Cell::new(0);
            let outcome = computation(&|_| {
                calls.set(calls.get() + 1);
                if calls.get() < last {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            assert_eq!(
                outcome,
                Err(Cancelled),
                "{name} went on after observation {last} of {total}"
            );
            assert_eq!(calls.get(), last, "{name} asked again after it was cancelled");
        }
    });
}

#[test]
fn progress_starts_at_nothing_grows_and_stays_within_its_total() {
    with_every_computation(|name, computation| {
        let seen = observations(computation);
        assert!(
            seen.is_sorted_by_key(|progress| progress.done),
            "{name} went backwards: {seen:?}"
        );
        assert!(
            seen.iter().all(|progress| progress.done <= progress.total),
            "{name} did too much: {seen:?}"
        );
        assert!(
            seen.iter().all(|progress| progress.total == seen[0].total),
            "{name} changed its total"
        );
        assert!(seen[0].total > 0, "{name} has nothing to do");
    });
}

#[test]
fn even_the_smallest_computations_can_be_cancelled() {
    let cancel = |_| ControlFlow::Break(());
    assert_eq!(recursive(0, &cancel), Err(Cancelled));
    assert_eq!(iterative(0, &cancel), Err(Cancelled));
    assert_eq!(doubling(0, &cancel), Err(Cancelled));
    assert_eq!(decimal(&Natural::from(0u32), &cancel), Err(Cancelled));
}

/// A step at k doubles it, and the last product makes n from n/2: nothing is longer than that product, which
/// takes about 10 ms for n = 10⁷.
#[test]
fn doubling_asks_before_every_step_and_before_the_last_product() {
    let n = 10_000_000;
    let seen = observations(&|observe| doubling(n, observe).map(drop));
    assert!(
        seen[0].done <= 186,
        "the first steps were not observed: {:?}",
        seen[0]
    );
    for pair in seen.windows(2) {
        assert!(
            pair[1].done <= 2 * pair[0].done + 1,
            "a step is missing between {pair:?}"
        );
    }
    assert_eq!(
        seen.last().unwrap().done,
        n / 2,
        "the last product was not announced"
    );
}

/// An addition takes about 1 ns a limb: 2^19 limbs are below a millisecond.
#[test]
fn iterative_never_adds_more_than_half_a_million_limbs_unasked() {
    let n = 60_000;
    let seen = observations(&|observe| iterative(n, observe).map(drop));
    for pair in seen.windows(2) {
        let [from, to] = [pair[0].done, pair[1].done].map(u64::isqrt);
        let limbs_each = (to * 694 / 1000 / 64).max(1);
        assert!((to - from) * limbs_each < 1 << 19, "too long between {pair:?}");
    }
}

/// Pieces have at most 156,000 digits, 5 ms; only the divisions of the first levels take longer, the first
/// of all about 15 ms for n = 10⁷.
#[test]
fn decimal_asks_after_every_piece() {
    let value = Natural::fibonacci(10_000_000);
    let seen = observations(&|observe| decimal(&value, observe).map(drop));
    let largest = seen
        .windows(2)
        .map(|pair| pair[1].done - pair[0].done)
        .max()
        .unwrap();
    assert!(largest <= 156_000, "{largest} digits were written unasked");
    let divisions = seen
        .windows(2)
        .filter(|pair| pair[0].done == pair[1].done)
        .count();
    let pieces = seen.len() - divisions;
    assert!(
        divisions + 1 >= pieces,
        "{divisions} observed divisions for {pieces} pieces"
    );
}

#[test]
fn nobody_watching_means_nobody_cancels() {
    assert_eq!(
        unobserved(Progress { done: 0, total: 1 }),
        ControlFlow::Continue(())
    );
    assert_eq!(Cancelled.to_string(), "the computation was cancelled");
}
