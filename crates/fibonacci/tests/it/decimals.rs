//! Decimal output equals the arithmetic library's own, also where digits are hard to tell.

use fibonacci::{Natural, decimal, unobserved};
use malachite_base::num::arithmetic::traits::{Fibonacci, Pow};
use proptest::prelude::*;

fn assert_same(value: &Natural, what: &str) {
    let (ours, library) = (decimal(value, &unobserved).unwrap(), value.to_string());
    let first = ours.bytes().zip(library.bytes()).position(|(a, b)| a != b);
    assert!(
        ours == library,
        "{what}: {} and {} digits, first difference at {first:?}",
        ours.len(),
        library.len()
    );
}

#[test]
fn short_and_long_values_are_written_alike() {
    for n in [
        0, 1, 6, 7, 186, 187, 700_000, 740_000, 745_000, 1_000_000, 1_500_000, 10_000_000,
    ] {
        assert_same(&Natural::fibonacci(n), &format!("F({n})"));
    }
}

/// Around a power of ten every digit behind the first depends on all the others.
#[test]
fn long_runs_of_zeros_and_nines_are_right() {
    let one = Natural::from(1u32);
    for exponent in [155_646u64, 155_647, 155_648, 155_649, 200_000, 311_296, 500_000] {
        let power = Natural::from(10u32).pow(exponent);
        assert_same(&power, &format!("10^{exponent}"));
        assert_same(&(&power - &one), &format!("10^{exponent} - 1"));
        assert_same(&(&power + &one), &format!("10^{exponent} + 1"));
        let gap = Natural::fibonacci(400_000) * &power + Natural::fibonacci(1_000);
        assert_same(&gap, &format!("F(400000) 10^{exponent} + F(1000)"));
        assert_same(
            &((Natural::from(7u32) * power - &one) << 3u64),
            &format!("8 (7 10^{exponent} - 1)"),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn decimal_equals_the_librarys_own(n in 0u64..1_000_000) {
        assert_same(&Natural::fibonacci(n), &format!("F({n})"));
    }

    #[test]
    fn decimal_of_any_number_of_limbs(limbs in 8_000usize..30_000, seed in any::<u64>()) {
        let noise = |i: usize| (seed ^ i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) ^ seed;
        let value = Natural::from_owned_limbs_asc((1..limbs).map(noise).collect());
        assert_same(&value, &format!("{limbs} limbs from {seed}"));
    }
}
