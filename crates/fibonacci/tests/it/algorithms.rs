//! Every algorithm gives the same, and known, values.

use fibonacci::{
    Estimate, Natural, RECURSIVE_MAX_N, bits, digits, doubling, iterative, recursive, unobserved,
};
use malachite_base::num::arithmetic::traits::Fibonacci;
use malachite_base::num::logic::traits::SignificantBits;
use proptest::prelude::*;

#[test]
fn known_values() {
    let known = [
        (0, "0"),
        (1, "1"),
        (2, "1"),
        (10, "55"),
        (93, "12200160415121876738"),
        (94, "19740274219868223167"),
        (100, "354224848179261915075"),
        (186, "332825110087067562321196029789634457848"),
        (187, "538522340430300790495419781092981030533"),
        (200, "280571172992510140037611932413038677189525"),
    ];
    for (n, value) in known {
        assert_eq!(
            doubling(n, &unobserved).unwrap().to_string(),
            value,
            "doubling F({n})"
        );
        assert_eq!(
            iterative(n, &unobserved).unwrap().to_string(),
            value,
            "iterative F({n})"
        );
    }
    assert_eq!(recursive(30, &unobserved).unwrap().to_string(), "832040");
}

#[test]
fn the_length_of_a_giant_is_known_without_computing_it() {
    let giant = Estimate::for_doubling(1_000_000_000);
    assert_eq!(
        (giant.digits, giant.bits, giant.value_bytes),
        (208_987_640, 694_241_913, 86_780_240)
    );
}

#[test]
fn all_three_agree_where_the_recursion_ends_soon() {
    for n in 0..=25 {
        let expected = iterative(n, &unobserved).unwrap();
        assert_eq!(recursive(n, &unobserved).unwrap(), expected, "recursive F({n})");
        assert_eq!(doubling(n, &unobserved).unwrap(), expected, "doubling F({n})");
    }
    assert_eq!(RECURSIVE_MAX_N, 50);
}

#[test]
fn doubling_and_iterative_agree_around_the_end_of_the_table() {
    for n in 150..800 {
        assert_eq!(
            doubling(n, &unobserved).unwrap(),
            iterative(n, &unobserved).unwrap(),
            "F({n})"
        );
    }
}

#[test]
#[should_panic(expected = "naive recursion is defined for n <= 186")]
fn the_recursion_refuses_what_could_overflow() {
    let _ = recursive(187, &unobserved);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn doubling_equals_iterative(n in 0u64..20_000) {
        prop_assert_eq!(doubling(n, &unobserved).unwrap(), iterative(n, &unobserved).unwrap());
    }

    #[test]
    fn doubling_equals_the_librarys_own(n in 0u64..3_000_000) {
        let value = doubling(n, &unobserved).unwrap();
        prop_assert_eq!(value.significant_bits(), bits(n));
        prop_assert!(value == Natural::fibonacci(n), "F({}) differs", n);
    }

    #[test]
    fn digits_counts_what_is_written(n in 0u64..300_000) {
        prop_assert_eq!(digits(n), Natural::fibonacci(n).to_string().len() as u64);
    }
}
