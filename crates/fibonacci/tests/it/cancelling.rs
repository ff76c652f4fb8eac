//! A broken observer stops a computation at once, and every computation asks often enough.
//!
//! Nothing here looks at a clock: what is bounded is the work between two observations.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use fibonacci::{
    Cancelled, DecimalDoubling, Natural, Observer, Progress, decimal, decimal_digits, doubling, iterative,
    recursive, unobserved,
};
use malachite_base::num::arithmetic::traits::Fibonacci;

type Computation<'a> = &'a dyn Fn(&Observer<'_>) -> Result<(), Cancelled>;

/// The view of an observer that never cancels.
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
    check("doubling", &|observe| doubling(100_000, observe).map(drop));
    check("long doubling", &|observe| doubling(8_000_000, observe).map(drop));
    check("short digits", &|observe| {
        decimal_digits(2_000, observe).map(drop)
    });
    check("long digits", &|observe| {
        decimal_digits(8_000_000, observe).map(drop)
    });
    check("resumable digits", &|observe| {
        let mut state = DecimalDoubling::new(1_000_000);
        while !state.is_done() {
            state.step(observe)?;
        }
        state.finish(observe).map(drop)
    });
    check("decimal", &|observe| decimal(&value, observe).map(drop));
}

#[test]
fn a_cancelled_computation_stops_at_that_very_observation() {
    with_every_computation(|name, computation| {
        let total = observations(computation).len();
        for last in [1, 2, (total / 2).max(1), total] {
            let calls = Cell::new(0);
            let outcome = computation(&|_| {
                calls.set(calls.get() + 1);
                if calls.get() < last {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if calls.get() < last {
                // Waiting for another thread is observed too, and that is not always as long.
                assert_eq!(outcome, Ok(()), "{name} was cancelled by nobody");
                continue;
            }
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

/// A unit is about a nanosecond on one thread, and the other thread's units are counted too. Counting ahead of
/// the work, where a step takes fewer units than planned, is not work.
#[test]
fn long_computations_ask_after_a_few_milliseconds_of_work() {
    let computations: [(&str, Computation<'_>); 2] = [
        ("doubling", &|observe| doubling(25_000_000, observe).map(drop)),
        ("digits", &|observe| decimal_digits(30_000_000, observe).map(drop)),
    ];
    for (name, computation) in computations {
        let seen = observations(computation);
        let total = seen[0].total;
        let enough = usize::try_from(total / 4_000_000).unwrap();
        assert!(
            seen.len() > enough,
            "{name}: {} observations of {total} units",
            seen.len()
        );
        let longest = seen
            .windows(2)
            .map(|pair| pair[1].done - pair[0].done)
            .max()
            .unwrap();
        assert!(longest < total / 3, "{name}: {longest} of {total} units at once");
    }
}

/// The step that was cancelled can be taken again.
#[test]
fn a_cancelled_step_leaves_the_state_as_it_was() {
    let n = 4_000_000;
    let expected = decimal_digits(n, &unobserved).unwrap();
    let mut state = DecimalDoubling::new(n);
    let mut calls_allowed = 1;
    while !state.is_done() {
        let calls = Cell::new(0);
        let index = state.index();
        let outcome = state.step(&|_| {
            calls.set(calls.get() + 1);
            if calls.get() < calls_allowed {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if outcome.is_err() {
            assert_eq!(state.index(), index, "a cancelled step went on");
        }
        calls_allowed += 1;
        state.step(&unobserved).unwrap();
    }
    assert!(
        state.finish(&unobserved).unwrap() == expected,
        "F({n}) differs after cancelled steps"
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
