//! A second opinion on F(n): plain 128-bit arithmetic modulo many primes, sharing nothing with the crate.

use fibonacci::{Natural, doubling, unobserved};

/// F(n) mod m by fast doubling, for m below 2^63.
pub(crate) fn fibonacci_modulo(n: u64, modulus: u64) -> u64 {
    let m = u128::from(modulus);
    let (mut a, mut b) = (0, 1 % m);
    for bit in (0..64).rev() {
        let even = a * ((2 * b + m - a) % m) % m;
        let odd = (a * a % m + b * b % m) % m;
        (a, b) = if n >> bit & 1 == 0 {
            (even, odd)
        } else {
            (odd, (even + odd) % m)
        };
    }
    u64::try_from(a).unwrap()
}

/// `value` mod m, one limb after the other.
pub(crate) fn natural_modulo(value: &Natural, modulus: u64) -> u64 {
    let m = u128::from(modulus);
    let rest = value
        .limbs()
        .rev()
        .fold(0, |rest, limb| (rest << 64 | u128::from(limb)) % m);
    u64::try_from(rest).unwrap()
}

fn is_prime(candidate: u64) -> bool {
    (2..=candidate.isqrt()).all(|divisor| !candidate.is_multiple_of(divisor))
}

/// Forty primes of 31 bits: together 1,240 bits.
fn primes() -> impl Iterator<Item = u64> {
    (1u64 << 30..).filter(|candidate| is_prime(*candidate)).take(40)
}

#[test]
fn large_values_agree_with_it_modulo_forty_primes() {
    for n in [1_000_000, 10_000_000] {
        let value = doubling(n, &unobserved).unwrap();
        for prime in primes() {
            assert_eq!(
                natural_modulo(&value, prime),
                fibonacci_modulo(n, prime),
                "F({n}) modulo {prime}"
            );
        }
    }
}
