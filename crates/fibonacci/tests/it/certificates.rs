//! A certificate accepts F(n), and nothing that was damaged.

use std::sync::LazyLock;

use fibonacci::{Certificate, Mismatch, Natural, digits, doubling, unobserved};
use malachite_base::num::logic::traits::{BitAccess, SignificantBits};
use proptest::prelude::*;

const N: u64 = 50_021;
static VALUE: LazyLock<Natural> = LazyLock::new(|| doubling(N, &unobserved).unwrap());
static TEXT: LazyLock<String> = LazyLock::new(|| VALUE.to_string());

/// Miller and Rabin with the first twelve primes as bases, which decides every 64-bit number.
fn is_prime(candidate: u64) -> bool {
    let m = u128::from(candidate);
    let power = |base: u128, mut exponent: u64| {
        let (mut result, mut square) = (1, base % m);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * square % m;
            }
            square = square * square % m;
            exponent >>= 1;
        }
        result
    };
    let twos = (candidate - 1).trailing_zeros();
    let passes = |base: u128| {
        let first = power(base, (candidate - 1) >> twos);
        let mut squares = std::iter::successors(Some(first), |x| Some(x * x % m)).take(twos as usize);
        first == 1 || squares.any(|x| x == m - 1)
    };
    candidate & 1 == 1
        && [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]
            .into_iter()
            .all(passes)
}

#[test]
fn the_primes_are_the_three_largest_safe_primes_of_61_bits_that_are_4_modulo_5() {
    let found: Vec<u64> = (1 << 60..1u64 << 61)
        .rev()
        .filter(|p| p % 5 == 4 && p % 4 == 3 && is_prime(p / 2) && is_prime(*p))
        .take(3)
        .collect();
    assert_eq!(found, Certificate::PRIMES);
}

#[test]
fn every_value_has_its_certificate() {
    for n in (0..400).chain([4_711, 65_536, 1_000_000]) {
        let value = doubling(n, &unobserved).unwrap();
        let certificate = Certificate::for_index(n);
        assert_eq!(certificate.check(&value), Ok(()), "F({n})");
        assert_eq!(
            certificate.check_decimal(&value.to_string()),
            Ok(()),
            "decimal F({n})"
        );
    }
}

#[test]
fn the_mismatch_names_what_did_not_agree() {
    let certificate = Certificate::for_index(100);
    let text = "354224848179261915075";
    let digits = |found| Err(Mismatch::Digits { expected: 21, found });
    assert_eq!(certificate.check_decimal(&text[1..]), digits(20));
    assert_eq!(certificate.check_decimal(&format!("0{text}")), digits(22));
    assert_eq!(certificate.check(&Natural::from(5u32)), digits(1));
    assert_eq!(
        certificate.check_decimal(""),
        Err(Mismatch::NotADigit { position: 0 })
    );
    assert_eq!(
        certificate.check_decimal("35422484817926191507x"),
        Err(Mismatch::NotADigit { position: 20 })
    );
    let wrong = certificate.check_decimal("354224848179261915076").unwrap_err();
    assert!(
        matches!(wrong, Mismatch::Residue { prime, .. } if prime == Certificate::PRIMES[0]),
        "{wrong}"
    );
    assert!(
        wrong
            .to_string()
            .starts_with("the value modulo 2305843009213691579 is "),
        "{wrong}"
    );
}

#[test]
fn shifts_by_limbs_and_digits_are_noticed() {
    let certificate = Certificate::for_index(N);
    let mut limbs = VALUE.to_limbs_asc();
    for by in 1..limbs.len() {
        limbs.rotate_left(1);
        assert!(
            certificate.check(&Natural::from_limbs_asc(&limbs)).is_err(),
            "rotated by {by} limbs"
        );
    }
    for by in 1..200 {
        let rotated = format!("{}{}", &TEXT[by..], &TEXT[..by]);
        assert!(
            certificate.check_decimal(&rotated).is_err(),
            "rotated by {by} digits"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn flipped_bits_are_noticed(flips in proptest::collection::btree_set(0..VALUE.significant_bits(), 1..5)) {
        let mut damaged = VALUE.clone();
        for bit in &flips {
            damaged.flip_bit(*bit);
        }
        prop_assert!(Certificate::for_index(N).check(&damaged).is_err(), "bits {:?}", flips);
    }

    #[test]
    fn a_wrong_digit_is_noticed(position in 0..TEXT.len(), change in 1..10u8) {
        let mut damaged = TEXT.clone().into_bytes();
        damaged[position] = b'0' + (damaged[position] - b'0' + change) % 10;
        let damaged = String::from_utf8(damaged).unwrap();
        prop_assert!(Certificate::for_index(N).check_decimal(&damaged).is_err(), "digit {}", position);
    }

    #[test]
    fn another_index_has_another_certificate(n in any::<u64>(), other in any::<u64>()) {
        prop_assume!(n != other);
        prop_assert_ne!(Certificate::for_index(n).residues, Certificate::for_index(other).residues);
        prop_assert_eq!(Certificate::for_index(n % (1 << 62)).digits, digits(n % (1 << 62)));
    }
}
