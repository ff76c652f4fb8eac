//! Decimal digits that were never converted equal those that were.

use std::num::NonZero;

use fibonacci::modular::{fibonacci_mod, residue_of_decimal};
use fibonacci::{
    Certificate, DecimalDoubling, DecimalParts, PartsError, decimal_digits, decimal_digits_with, doubling,
    unobserved,
};
use malachite_base::num::arithmetic::traits::Fibonacci;
use malachite_nz::natural::Natural;
use proptest::prelude::*;
use proptest::sample::Index;

const TWO: NonZero<usize> = NonZero::new(2).unwrap();

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
            let resumed = DecimalDoubling::from_parts(n, parts.clone(), TWO).unwrap();
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
    fn a_changed_limb_is_noticed(n in 2_000u64..100_000, at in any::<Index>(), flip in 0u32..59) {
        let mut parts = parts_on_the_way(n, usize::MAX);
        let limbs = parts.value.len() + parts.next.len();
        // The first word is the index.
        flip_bit(&mut parts, 64 * (1 + at.index(limbs)) + flip as usize);
        let refused = DecimalDoubling::from_parts(n, parts.clone(), TWO).err();
        prop_assert_eq!(refused, Some(PartsError::NotFibonacci { k: parts.k }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn flipped_bits_anywhere_in_a_state_are_noticed(
        n in prop_oneof![0u64..10_000, 0u64..200_000, 0u64..20_000_000],
        steps in 0usize..12,
        in_index in prop::collection::btree_set(0usize..64, 0..3),
        anywhere in prop::collection::vec(any::<Index>(), 1..100),
    ) {
        let mut parts = parts_on_the_way(n, steps);
        let bits = 64 * (1 + parts.value.len() + parts.next.len());
        let mut flips = in_index;
        flips.extend(anywhere.iter().map(|at| at.index(bits)));
        for bit in &flips {
            flip_bit(&mut parts, *bit);
        }
        prop_assert!(DecimalDoubling::from_parts(n, parts.clone(), TWO).is_err(), "F({}): bits {:?} of {:?}", n, flips, parts);
    }
}

/// The state after so many steps, or before the last product.
fn parts_on_the_way(n: u64, steps: usize) -> DecimalParts {
    let mut state = DecimalDoubling::new(n);
    for _ in 0..steps {
        if state.is_done() {
            break;
        }
        state.step(&unobserved).unwrap();
    }
    state.parts()
}

/// Flips a bit of the 64-bit words k, value and next, in this order.
fn flip_bit(parts: &mut DecimalParts, bit: usize) {
    let numbers = parts.value.iter_mut().chain(&mut parts.next);
    let word = std::iter::once(&mut parts.k).chain(numbers).nth(bit / 64);
    *word.unwrap() ^= 1 << (bit % 64);
}

#[test]
fn any_number_of_threads_writes_the_fastest_way_alike() {
    for n in [0, 100, 11_000, 700_001, 6_000_001] {
        let expected = decimal_digits(n, &unobserved).unwrap();
        for threads in [1, 2, 5] {
            let digits = decimal_digits_with(n, NonZero::new(threads).unwrap(), &unobserved).unwrap();
            assert_same(&digits, &expected, &format!("F({n}), {threads} threads"));
        }
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
        let refused = DecimalDoubling::from_parts(n, one(k), TWO).err();
        assert_eq!(refused, Some(PartsError::NotOnTheWay { n, k }));
    }
    let exchanged = DecimalParts {
        k: 2_000,
        ..DecimalDoubling::new(4_001).parts()
    };
    let refused = DecimalDoubling::from_parts(4_000, exchanged, TWO).err();
    assert!(refused.is_none() || refused == Some(PartsError::NotFibonacci { k: 2_000 }));
    let mut padded = DecimalDoubling::new(4_000).parts();
    padded.value.push(0);
    assert!(
        DecimalDoubling::from_parts(4_000, padded, TWO).is_err(),
        "a zero on top was taken"
    );
}
