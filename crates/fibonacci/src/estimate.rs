//! The cost of a computation, before it is started.
//!
//! Lengths are exact. Times and memory are models with a constant or two each, calibrated on both cores of a
//! 2.6 GHz server with AVX-512, n from 10⁴ to 10⁹. Times are within a factor of about two there; on another machine, or a
//! busy one, expect a factor of three either way: show people the [`TimeClass`] and not the seconds. Memory
//! is what the process needs on top of its own, for results of a megabyte and more within about a quarter.
//!
//! For decimal digits it is enough: the sum of what is there at one time (`radix::memory`) and a margin, in address space,
//! which is what a process is limited in. A process that may have so much, and 192 MiB for its allocator and its threads,
//! was run for n of 10⁷, 10⁸, 2·10⁸, 5·10⁸, 10⁹, 1.5·10⁹ and 2·10⁹, on one thread and on two, begun and resumed, and on two
//! for eight n between, where the rings differ most; all of them ended well. From 2·10⁸ on, one thread took 2
//! to 5 % less than the estimate, resumed 1 to 6 %. Below, what the allocator does not give back counts for more.

use std::fmt;

use crate::magnitude::{bits, digits};
use crate::radix::{Base, peak_bytes};

/// Seconds for one limb of the result and one halving of its length, in fast doubling.
const DOUBLING_SECONDS: f64 = 9e-9;
/// Seconds for one limb of the result and the square of the number of halvings, in decimal conversion.
const DECIMAL_SECONDS: f64 = 5e-9;
/// Seconds for one limb of the result in decimal digits, where it is below [`SMALL_DIGITS_LIMBS`] limbs.
const SMALL_DIGITS_SECONDS: f64 = 1e-7;
const SMALL_DIGITS_LIMBS: f64 = 1_000.0;
/// Seconds for one addition of short numbers.
const ADDITION_SECONDS: f64 = 2e-8;
/// Seconds for one more limb in an addition.
const LIMB_ADDED_SECONDS: f64 = 1e-9;
/// Seconds for one call of the naive recursion.
const CALL_SECONDS: f64 = 2.5e-9;

/// Memory of allocators and small buffers, whatever n is.
const FIXED_BYTES: u64 = 2 << 20;
/// One in so many bytes of a doubling is added for vectors that are freed and not yet given back.
const MARGIN: u64 = 32;
/// Sizes of the result during its decimal conversion, whose text alone takes 2.4.
const DECIMAL_VALUES: u64 = 17;
/// The two terms that are added, with room to grow.
const ITERATIVE_VALUES: u64 = 4;

/// `log2(φ)`: how many bits longer each F(n) is than the one before.
const BITS_PER_INDEX: f64 = 0.694_241_913_630_617_3;

/// The expected cost of one computation of F(n) and of writing it in base ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Significant bits of F(n); exact.
    pub bits: u64,
    /// Decimal digits of F(n), and bytes of its text; exact.
    pub digits: u64,
    /// Bytes of F(n) as a binary number; exact.
    pub value_bytes: u64,
    /// Most bytes in use at one time while computing F(n), without its decimal text.
    pub peak_bytes: u64,
    /// Most bytes in use at one time while writing F(n) in base ten, value and text included.
    pub decimal_peak_bytes: u64,
    /// Seconds on two cores to compute F(n).
    pub seconds: f64,
    /// Seconds on one core to convert F(n) to base ten.
    pub decimal_seconds: f64,
    /// Order of magnitude of both together.
    pub time: TimeClass,
}

impl Estimate {
    /// Estimates [`doubling`](crate::doubling()).
    #[must_use]
    pub fn for_doubling(n: u64) -> Self {
        let limbs = float(bits(n)) / 64.0;
        let seconds = DOUBLING_SECONDS * limbs * halvings(limbs);
        Self::new(n, seconds, with_margin(peak_bytes(n, Base::BINARY)))
    }

    /// Estimates [`decimal_digits`](crate::decimal_digits()): all of it is in `seconds` and `peak_bytes`.
    #[must_use]
    pub fn for_decimal_digits(n: u64) -> Self {
        let estimate = Self::for_doubling(n);
        let limbs = float(estimate.bits) / 64.0;
        let seconds = estimate.seconds + SMALL_DIGITS_SECONDS * limbs.min(SMALL_DIGITS_LIMBS);
        let peak_bytes = with_margin(peak_bytes(n, Base::DECIMAL));
        Self {
            peak_bytes,
            decimal_peak_bytes: peak_bytes,
            seconds,
            decimal_seconds: 0.0,
            time: TimeClass::of_seconds(seconds),
            ..estimate
        }
    }

    /// Estimates [`iterative`](crate::iterative()).
    #[must_use]
    pub fn for_iterative(n: u64) -> Self {
        // The terms grow evenly up to the result, so on average they have half of its limbs.
        let average_limbs = float(bits(n)) / 128.0;
        let seconds = float(n) * (ADDITION_SECONDS + LIMB_ADDED_SECONDS * average_limbs);
        Self::new(n, seconds, values_bytes(n, ITERATIVE_VALUES))
    }

    /// Estimates [`recursive`](crate::recursive()), for any n, also where it would panic.
    #[must_use]
    pub fn for_recursive(n: u64) -> Self {
        // The tree of n has 2·F(n+1) − 1 calls, and F(n+1) is φ^(n+1)/√5 nearly.
        let calls = 2.0 * ((float(n) + 1.0) * BITS_PER_INDEX).exp2() / 5f64.sqrt();
        Self::new(n, CALL_SECONDS * calls, values_bytes(n, 1))
    }

    fn new(n: u64, seconds: f64, peak_bytes: u64) -> Self {
        let (bits, digits) = (bits(n), digits(n));
        let value_bytes = bits.div_ceil(8);
        let limbs = float(bits) / 64.0;
        let decimal_seconds = DECIMAL_SECONDS * limbs * halvings(limbs).powi(2);
        Self {
            bits,
            digits,
            value_bytes,
            peak_bytes,
            decimal_peak_bytes: values_bytes(n, DECIMAL_VALUES),
            seconds,
            decimal_seconds,
            time: TimeClass::of_seconds(seconds + decimal_seconds),
        }
    }
}

/// An order of magnitude of time, written in words: `milliseconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeClass {
    /// Below a millisecond.
    Instant,
    /// Below a second.
    Milliseconds,
    /// Below a minute.
    Seconds,
    /// Below an hour.
    Minutes,
    /// Below a day.
    Hours,
    /// A day or more, up to never.
    Longer,
}

impl TimeClass {
    /// Classifies a time; anything that is not below a day, also infinity, is [`Longer`](Self::Longer).
    #[must_use]
    pub fn of_seconds(seconds: f64) -> Self {
        match seconds {
            ..1e-3 => Self::Instant,
            ..1.0 => Self::Milliseconds,
            ..60.0 => Self::Seconds,
            ..3600.0 => Self::Minutes,
            ..86400.0 => Self::Hours,
            _ => Self::Longer,
        }
    }
}

impl fmt::Display for TimeClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Instant => "less than a millisecond",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Longer => "a day or longer",
        })
    }
}

/// So many sizes of F(n), and what is always needed.
fn values_bytes(n: u64, values: u64) -> u64 {
    let value_bytes = bits(n).div_ceil(8);
    FIXED_BYTES.saturating_add(value_bytes.saturating_mul(values))
}

fn with_margin(bytes: u64) -> u64 {
    FIXED_BYTES.saturating_add(bytes).saturating_add(bytes / MARGIN)
}

/// Returns how often a length can be halved, at least once.
fn halvings(limbs: f64) -> f64 {
    (limbs + 2.0).log2()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a model is not exact in its 16th digit"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_are_within_a_factor_of_two_of_measurements() {
        let near = |model: f64, measured: f64| model < 2.2 * measured && measured < 2.2 * model;
        for (n, compute, decimal, digits) in [
            (100_000, 0.000_1, 0.000_4, 0.000_16),
            (1_000_000, 0.000_95, 0.0074, 0.000_95),
            (10_000_000, 0.010, 0.11, 0.0095),
            (100_000_000, 0.15, 1.6, 0.17),
        ] {
            let estimate = Estimate::for_doubling(n);
            assert!(
                near(estimate.seconds, compute) && near(estimate.decimal_seconds, decimal),
                "{estimate:?}"
            );
            let estimate = Estimate::for_decimal_digits(n);
            assert!(near(estimate.seconds, digits), "{estimate:?}");
        }
        assert!(near(Estimate::for_iterative(1_000_000).seconds, 4.4));
        assert!(near(Estimate::for_recursive(37).seconds, 0.1));
        let giant = Estimate::for_decimal_digits(1_000_000_000);
        assert!(near(giant.seconds, 3.4), "{giant:?}");
    }

    #[test]
    fn memory_is_enough_for_what_was_measured_and_not_much_more() {
        for (n, grown_mb) in [
            (200_000_000, 415),
            (500_000_000, 803),
            (1_000_000_000, 1532),
            (1_500_000_000, 2932),
            (2_000_000_000, 5605),
        ] {
            // Of these, 68 are the thread's that listens to the worker; a second one's are as many.
            let grown = grown_mb * 1_000_000 - (68 << 20);
            let estimated = Estimate::for_decimal_digits(n).peak_bytes;
            let enough = grown..grown * 11 / 10;
            assert!(enough.contains(&estimated), "F({n}): {estimated} for {grown}");
        }
    }

    #[test]
    fn every_index_has_an_estimate() {
        for n in [0, 1, 186, 187, 1 << 40, u64::MAX] {
            for estimate in [
                Estimate::for_doubling(n),
                Estimate::for_decimal_digits(n),
                Estimate::for_iterative(n),
                Estimate::for_recursive(n),
            ] {
                assert!(
                    estimate.seconds >= 0.0 && estimate.peak_bytes > estimate.value_bytes,
                    "n = {n}"
                );
            }
        }
        assert_eq!(Estimate::for_doubling(100).time, TimeClass::Instant);
        assert_eq!(Estimate::for_doubling(10_000_000).time, TimeClass::Milliseconds);
        assert_eq!(Estimate::for_recursive(50).time, TimeClass::Minutes);
        assert_eq!(Estimate::for_recursive(u64::MAX).time, TimeClass::Longer);
    }

    #[test]
    fn classes_are_in_order_and_readable() {
        let classes = [0.0, 0.5, 5.0, 500.0, 5_000.0, f64::INFINITY].map(TimeClass::of_seconds);
        assert!(classes.is_sorted());
        assert_eq!(
            classes.map(|class| class.to_string()).join(", "),
            "less than a millisecond, milliseconds, seconds, minutes, hours, a day or longer"
        );
    }
}
