//! Decimal digits that were never converted equal those that were.

use std::num::NonZero;

use fibonacci::modular::{fibonacci_mod, residue_of_decimal};
use fibonacci::{
    Certificate, DecimalDoubling, DecimalParts, PartsError, decimal_digits, doubling, unobserved,
};
use malachite_base::num::arithmetic::traits::Fibonacci;
use malachite_nz::natural::Natural;
use proptest::prelude::*;

/// Neither is one of the primes that the computation itself is checked with.
const PRIMES: [u64; 4] = [1_000_000_007, 998_244_353, (1 << 61) - 1, 0x7fff_ffff_ffff_ffe7];

fn straight(n: u64) -> String {
    DecimalDoubling::new(n).finish(&unobserved).unwrap()
}

fn assert_same(ours: &str, expected: &str, what: &str) {
    let first = ours.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
    assert!(
        ours == expected,
        "{what}: {} and {} digits, first difference at {first:?}",
        ours.len(),
        expected.len()
    );
}

#[test]
fn every_digit_of_the_first_three_thousand_is_right() {
    let (mut value, mut next) = (Natural::from(0u32), Natural::from(1u32));
    for n in 0..=3_000 {
        let expected = value.to_string();
        assert_same(&straight(n), &expected, &format!("F({n})"));
        assert_same(
            &decimal_digits(n, &unobserved).unwrap(),
            &expected,
            &format!("F({n}), fastest"),
        );
        let sum = &value + &next;
        (value, next) = (next, sum);
    }
}

#[test]
fn the_first_indices_behind_a_change_of_method_are_right() {
    for n in (11_900..12_000).chain([24_000, 100_000, 144_040, 144_041, 250_000, 1_000_000]) {
        let expected = Natural::fibonacci(n).to_string();
        assert_same(
            &decimal_digits(n, &unobserved).unwrap(),
            &expected,
            &format!("F({n})"),
        );
    }
}

/// Indices where one ring, a large and a small one, and each base are used.
#[test]
fn residues_of_long_numbers_agree_in_both_bases() {
    for n in [3_000_000, 4_700_000, 5_400_001, 9_999_999, 28_000_000, 36_000_000] {
        let (digits, value) = (
            decimal_digits(n, &unobserved).unwrap(),
            doubling(n, &unobserved).unwrap(),
        );
        for prime in PRIMES {
            let expected = fibonacci_mod(n, prime);
            assert_eq!(
                residue_of_decimal(&digits, prime).ok(),
                expected.ok(),
                "digits of F({n}) mod {prime}"
            );
            assert_eq!(
                fibonacci::modular::residue(&value, prime),
                expected,
                "F({n}) mod {prime}"
            );
        }
        assert_eq!(Certificate::for_index(n).check_decimal(&digits), Ok(()), "F({n})");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_digit_is_right(n in prop_oneof![0u64..40_000, 0u64..1_000_000]) {
        assert_same(&straight(n), &Natural::fibonacci(n).to_string(), &format!("F({n})"));
    }

    #[test]
    fn resumed_at_any_bit_equals_straight(n in prop_oneof![0u64..10_000, 0u64..300_000]) {
        let expected = straight(n);
        let mut state = DecimalDoubling::new(n);
        loop {
            let parts = state.parts();
            let resumed = DecimalDoubling::from_parts(n, &parts).unwrap();
            prop_assert_eq!((resumed.target(), resumed.index()), (n, parts.k));
            prop_assert_eq!(resumed.parts(), parts);
            assert_same(&resumed.finish(&unobserved).unwrap(), &expected, &format!("F({n}) from {}", state.index()));
            if state.is_done() {
                break;
            }
            state.step(&unobserved).unwrap();
        }
    }

    #[test]
    fn a_changed_limb_is_noticed(n in 2_000u64..100_000, at in any::<prop::sample::Index>(), flip in 0u32..59) {
        let mut state = DecimalDoubling::new(n);
        while !state.is_done() {
            state.step(&unobserved).unwrap();
        }
        let mut parts = state.parts();
        let index = at.index(parts.value.len() + parts.next.len());
        let split = parts.value.len();
        let limb = if index < split { &mut parts.value[index] } else { &mut parts.next[index - split] };
        *limb ^= 1 << flip;
        let refused = DecimalDoubling::from_parts(n, &parts).err();
        prop_assert_eq!(refused, Some(PartsError::NotFibonacci { k: parts.k }));
    }
}

#[test]
fn one_thread_writes_what_two_write() {
    for n in [1_000, 700_001, 6_000_000] {
        let [one, two] = [1, 2].map(|threads| {
            let threads = NonZero::new(threads).unwrap();
            DecimalDoubling::new(n)
                .with_threads(threads)
                .finish(&unobserved)
                .unwrap()
        });
        assert_same(&one, &two, &format!("F({n})"));
    }
}

#[test]
fn parts_that_are_not_on_the_way_are_refused() {
    let one = |k| DecimalParts {
        k,
        value: vec![1],
        next: vec![1],
    };
    for (n, k) in [(5, 5), (5, 3), (5, 0), (u64::MAX, 0), (2, 2)] {
        let refused = DecimalDoubling::from_parts(n, &one(k)).err();
        assert_eq!(refused, Some(PartsError::NotOnTheWay { n, k }));
    }
    let exchanged = DecimalParts {
        k: 2_000,
        ..DecimalDoubling::new(4_001).parts()
    };
    let refused = DecimalDoubling::from_parts(4_000, &exchanged).err();
    assert!(refused.is_none() || refused == Some(PartsError::NotFibonacci { k: 2_000 }));
    let mut padded = DecimalDoubling::new(4_000).parts();
    padded.value.push(0);
    assert!(
        DecimalDoubling::from_parts(4_000, &padded).is_err(),
        "a zero on top was taken"
    );
}
