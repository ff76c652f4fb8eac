//! A certificate accepts F(n), and nothing that was damaged.

use std::sync::LazyLock;

use fibonacci::{Certificate, DecimalCheck, Mismatch, Natural, decimal_digits, digits, doubling, unobserved};
use malachite_base::num::arithmetic::traits::Fibonacci;
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
fn the_primes_are_the_three_largest_safe_ones_of_61_bits() {
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

/// The outcome for a text that comes in pieces of these lengths, again and again.
fn checked_in_pieces(certificate: &Certificate, text: &[u8], lengths: &[usize]) -> Result<(), Mismatch> {
    let mut check = DecimalCheck::new();
    let mut left = text;
    for length in lengths.iter().cycle() {
        let (piece, rest) = left.split_at((*length).min(left.len()));
        check.update(piece);
        left = rest;
        if left.is_empty() {
            break;
        }
    }
    check.finish(certificate)
}

/// Lengths around those of a group, a block and several, and no piece at all in between.
fn piece_lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![0usize..40, 500usize..530, 0usize..3_000, Just(16), Just(512)];
    prop::collection::vec(length, 0..12).prop_map(|mut lengths| {
        lengths.push(1 + lengths.len() * 13);
        lengths
    })
}

/// Damage that may happen to a text on its way.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Byte(prop::sample::Index, char),
    Cut(prop::sample::Index),
    Longer(String),
    Bits(Vec<prop::sample::Index>),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        use prop::{collection::vec, sample::Index};
        prop_oneof![
            Just(Self::None),
            (any::<Index>(), proptest::char::range('0', '9')).prop_map(|(at, digit)| Self::Byte(at, digit)),
            (any::<Index>(), proptest::char::range('\0', '\x7f')).prop_map(|(at, byte)| Self::Byte(at, byte)),
            any::<Index>().prop_map(Self::Cut),
            "[0-9x]{1,600}".prop_map(Self::Longer),
            vec(any::<Index>(), 1..50).prop_map(Self::Bits),
        ]
    }

    /// Only the lower seven bits of a byte are flipped, so that the text stays one.
    fn done_to(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        match self {
            Self::None => {}
            Self::Byte(at, byte) => bytes[at.index(text.len())] = *byte as u8,
            Self::Cut(at) => bytes.truncate(at.index(text.len())),
            Self::Longer(more) => bytes.extend(more.bytes()),
            Self::Bits(flips) => {
                for bit in flips.iter().map(|flip| flip.index(7 * text.len())) {
                    bytes[bit / 7] ^= 1 << (bit % 7);
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn a_text_read_in_pieces_on_two_threads_is_the_same() {
    let n = 25_000_000;
    let (certificate, mut text) = (
        Certificate::for_index(n),
        decimal_digits(n, &unobserved).unwrap().into_bytes(),
    );
    for lengths in [[1, 2_500_000], [511, 2_100_000], [3_000_000, 7]] {
        assert_eq!(
            checked_in_pieces(&certificate, &text, &lengths),
            Ok(()),
            "{lengths:?}"
        );
    }
    let position = 4_321_987;
    text[position] = b' ';
    text[position + 10] = b'\n';
    let fault = Err(Mismatch::NotADigit { position });
    assert_eq!(checked_in_pieces(&certificate, &text, &[511, 2_100_000]), fault);
}

#[test]
fn nothing_but_empty_pieces_is_no_number() {
    let mut check = DecimalCheck::default();
    check.update(b"");
    let refused = check.finish(&Certificate::for_index(0));
    assert_eq!(refused, Err(Mismatch::NotADigit { position: 0 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_cutting_of_any_text_has_the_outcome_of_the_whole(
        n in prop_oneof![0u64..10_000, Just(N)],
        damage in Damage::any(),
        lengths in piece_lengths(),
    ) {
        let text = if n == N { TEXT.clone() } else { Natural::fibonacci(n).to_string() };
        let damaged = damage.done_to(&text);
        let certificate = Certificate::for_index(n);
        let whole = certificate.check_decimal(&damaged);
        prop_assert_eq!(checked_in_pieces(&certificate, damaged.as_bytes(), &lengths), whole);
        prop_assert_eq!(whole.is_ok(), damaged == text, "{:?}", damage);
        if let Some(position) = damaged.bytes().position(|byte| !byte.is_ascii_digit()) {
            prop_assert_eq!(whole, Err(Mismatch::NotADigit { position }));
        }
    }

    #[test]
    fn a_flipped_bit_of_a_certificate_is_noticed(n in 0u64..20_000, field in 0usize..4, bit in 0u32..64) {
        let mut damaged = Certificate::for_index(n);
        let [first, second, third] = &mut damaged.residues;
        *[first, second, third, &mut damaged.digits][field] ^= 1 << bit;
        let value = Natural::fibonacci(n);
        prop_assert!(damaged.check_decimal(&value.to_string()).is_err());
        // The length in bits may allow two digit counts that are neighbours; those with residues differ by one.
        prop_assert!(damaged.check(&value).is_err() || (field == 3 && bit == 0));
    }

    #[test]
    fn flipped_bits_are_noticed(flips in proptest::collection::btree_set(0..VALUE.significant_bits(), 1..5)) {
        let mut damaged = VALUE.clone();
        for bit in &flips {
            damaged.flip_bit(*bit);
        }
        prop_assert!(Certificate::for_index(N).check(&damaged).is_err(), "bits {:?}", flips);
    }

    #[test]
    fn wrong_digits_are_noticed(changes in prop::collection::btree_map(0..TEXT.len(), 1..10u8, 1..100)) {
        let mut damaged = TEXT.clone().into_bytes();
        for (position, change) in &changes {
            damaged[*position] = b'0' + (damaged[*position] - b'0' + change) % 10;
        }
        let damaged = String::from_utf8(damaged).unwrap();
        prop_assert!(Certificate::for_index(N).check_decimal(&damaged).is_err(), "{:?}", changes);
    }

    #[test]
    fn another_index_has_another_certificate(n in any::<u64>(), other in any::<u64>()) {
        prop_assume!(n != other);
        prop_assert_ne!(Certificate::for_index(n).residues, Certificate::for_index(other).residues);
        prop_assert_eq!(Certificate::for_index(n % (1 << 62)).digits, digits(n % (1 << 62)));
    }
}
