//! The fast residues equal the simple ones, and useless moduli are refused.

use fibonacci::modular::{DecimalError, ModulusError, fibonacci_mod, residue, residue_of_decimal};
use fibonacci::{Natural, doubling, unobserved};
use proptest::prelude::*;

use crate::independent::{fibonacci_modulo, natural_modulo};

fn modulus() -> impl Strategy<Value = u64> {
    prop_oneof![3u64..1_000, 3u64..1 << 63, (1u64 << 63) - 1_000..1 << 63].prop_map(|m| m | 1)
}

proptest! {
    #[test]
    fn fibonacci_mod_equals_plain_doubling(n in any::<u64>(), modulus in modulus()) {
        prop_assert_eq!(fibonacci_mod(n, modulus), Ok(fibonacci_modulo(n, modulus)));
    }

    #[test]
    fn fibonacci_mod_is_the_residue_of_the_value(n in 0u64..5_000, modulus in modulus()) {
        let value = doubling(n, &unobserved).unwrap();
        prop_assert_eq!(fibonacci_mod(n, modulus), residue(&value, modulus));
        let of_decimal = residue_of_decimal(&value.to_string(), modulus);
        prop_assert_eq!(of_decimal, fibonacci_mod(n, modulus).map_err(DecimalError::from));
    }

    #[test]
    fn residue_equals_plain_division(
        limbs in proptest::collection::vec(prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)], 0..40),
        modulus in modulus(),
    ) {
        let value = Natural::from_owned_limbs_asc(limbs);
        let expected = natural_modulo(&value, modulus);
        prop_assert_eq!(residue(&value, modulus), Ok(expected));
        prop_assert_eq!(residue_of_decimal(&value.to_string(), modulus), Ok(expected));
    }

    /// Long enough for blocks, and for halves of a block and a group at the top.
    #[test]
    fn long_decimals_have_the_residue_of_their_value(n in 2_000u64..60_000, modulus in modulus(), zeros in 0usize..600) {
        let value = doubling(n, &unobserved).unwrap();
        let padded = format!("{}{value}", "0".repeat(zeros));
        prop_assert_eq!(residue_of_decimal(&padded, modulus).ok(), residue(&value, modulus).ok());
    }

    #[test]
    fn a_wrong_byte_is_found_in_a_long_text(length in 1usize..5_000, at in any::<prop::sample::Index>(), wrong in 0u8..128) {
        prop_assume!(!wrong.is_ascii_digit());
        let mut text = vec![b'7'; length];
        let position = at.index(length);
        text[position] = wrong;
        let text = String::from_utf8(text).unwrap();
        prop_assert_eq!(residue_of_decimal(&text, 7), Err(DecimalError::NotADigit { position }));
    }

    #[test]
    fn any_byte_that_is_no_digit_is_found(digits in "[0-9]{1,60}", at in any::<prop::sample::Index>(), wrong in any::<char>()) {
        prop_assume!(!wrong.is_ascii_digit());
        let position = at.index(digits.len() + 1);
        let mut text = digits;
        text.insert(position, wrong);
        prop_assert_eq!(residue_of_decimal(&text, 7), Err(DecimalError::NotADigit { position }));
    }
}

/// Two million nines are read on two threads.
#[test]
fn very_long_decimals_are_read_in_halves() {
    let prime = 1_000_000_007;
    let expected = (0..2_100_001).fold(0u64, |sum, _| (10 * sum + 9) % prime);
    let mut text = "9".repeat(2_100_001);
    assert_eq!(residue_of_decimal(&text, prime), Ok(expected));
    text.replace_range(2_000_000..2_000_001, "x");
    let fault = DecimalError::NotADigit { position: 2_000_000 };
    assert_eq!(residue_of_decimal(&text, prime), Err(fault));
}

#[test]
fn the_last_index_has_a_residue() {
    assert_eq!(
        fibonacci_mod(u64::MAX, 1_000_000_007),
        Ok(fibonacci_modulo(u64::MAX, 1_000_000_007))
    );
    assert_eq!(fibonacci_mod(0, 3), Ok(0));
    assert_eq!(fibonacci_mod(1, 3), Ok(1));
}

#[test]
fn useless_moduli_are_refused_with_the_reason() {
    let value = Natural::from(5u32);
    let cases = [
        (
            0,
            ModulusError::TooSmall { modulus: 0 },
            "modulus 0 is too small: it must be above 1",
        ),
        (
            1,
            ModulusError::TooSmall { modulus: 1 },
            "modulus 1 is too small: it must be above 1",
        ),
        (
            10,
            ModulusError::Even { modulus: 10 },
            "modulus 10 is even: it must be odd",
        ),
        (
            1 << 63,
            ModulusError::TooLarge { modulus: 1 << 63 },
            "modulus 9223372036854775808 is too large: it must be below 2^63",
        ),
        (
            u64::MAX,
            ModulusError::TooLarge { modulus: u64::MAX },
            "modulus 18446744073709551615 is too large: it must be below 2^63",
        ),
    ];
    for (modulus, error, message) in cases {
        assert_eq!(fibonacci_mod(5, modulus), Err(error));
        assert_eq!(residue(&value, modulus), Err(error));
        assert_eq!(
            residue_of_decimal("5", modulus),
            Err(DecimalError::Modulus(error))
        );
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(
        residue_of_decimal("", 7),
        Err(DecimalError::NotADigit { position: 0 })
    );
    assert_eq!(
        DecimalError::NotADigit { position: 3 }.to_string(),
        "no decimal digit at byte 3"
    );
}
