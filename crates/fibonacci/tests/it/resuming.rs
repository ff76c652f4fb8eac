//! A doubling state that was stored at any bit and resumed gives the same value.

use fibonacci::{Doubling, Natural, Parts, PartsError, doubling, unobserved};
use proptest::prelude::*;

/// Every state on the way to F(n), the done one included.
fn states(n: u64) -> Vec<Doubling> {
    let mut state = Doubling::new(n);
    let mut states = vec![state.clone()];
    while !state.is_done() {
        state.step();
        states.push(state.clone());
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn resumed_at_any_bit_equals_straight(n in prop_oneof![0u64..1_000, 0u64..200_000]) {
        let straight = doubling(n, &unobserved).unwrap();
        for state in states(n) {
            let parts = state.clone().into_parts();
            prop_assert_eq!(state.parts(), (parts.k, &parts.value, &parts.previous));
            prop_assert_eq!((state.target(), state.index()), (n, parts.k));
            let resumed = Doubling::from_parts(n, parts).unwrap();
            prop_assert_eq!(&resumed, &state);
            prop_assert!(resumed.finish() == straight, "resumed at {}", state.index());
        }
    }

    #[test]
    fn an_index_that_is_no_prefix_is_refused(n in 1_000u64..1_000_000, k in 0u64..2_000) {
        prop_assume!((0..64).all(|bit| n >> bit != k) || k == 0);
        let (_, value, previous) = (k, doubling(k, &unobserved).unwrap(), Natural::from(1u32));
        let refused = Doubling::from_parts(n, Parts { k, value, previous });
        prop_assert_eq!(refused, Err(PartsError::NotOnTheWay { n, k }));
    }
}

#[test]
fn a_step_more_than_needed_changes_nothing() {
    for n in [0, 1, 186, 187, 10_000] {
        let mut state = states(n).pop().unwrap();
        let before = state.clone();
        state.step();
        assert_eq!(state, before, "n = {n}");
    }
}

#[test]
fn damaged_and_exchanged_numbers_are_refused() {
    let n = 123_456;
    for state in states(n) {
        let Parts { k, value, previous } = state.into_parts();
        let refused = |value: &Natural, previous: &Natural| {
            let parts = Parts {
                k,
                value: value.clone(),
                previous: previous.clone(),
            };
            assert_eq!(
                Doubling::from_parts(n, parts),
                Err(PartsError::NotFibonacci { k })
            );
        };
        refused(&previous, &value);
        refused(&(&value + Natural::from(1u32)), &previous);
        refused(&value, &(&previous + Natural::from(1u32)));
    }
}

#[test]
fn an_index_beyond_the_target_is_refused() {
    let parts = |k: u64| Parts {
        k,
        value: Natural::from(1u32),
        previous: Natural::from(1u32),
    };
    assert_eq!(
        Doubling::from_parts(5, parts(6)),
        Err(PartsError::NotOnTheWay { n: 5, k: 6 })
    );
    assert_eq!(
        Doubling::from_parts(u64::MAX, parts(0)),
        Err(PartsError::NotOnTheWay { n: u64::MAX, k: 0 })
    );
}
