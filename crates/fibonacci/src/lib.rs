//! Exact Fibonacci numbers, F(0) = 0, F(1) = 1, F(n) = F(n−1) + F(n−2).
//!
//! Three algorithms give the same value at very different cost: [`recursive`] (exponential, a CPU burner),
//! [`iterative`] (n additions) and [`doubling`] (two products per bit of n; the one to use). [`decimal_digits`]
//! is the last one in base ten, for all digits without a conversion. [`Doubling`] and [`DecimalDoubling`] are
//! both as states that can be stored and resumed at any bit. A [`Certificate`] says what a value must satisfy
//! without computing it, [`DecimalCheck`] compares digits with one as they come, [`decimal`] converts any number to
//! base ten, and [`Estimate`] says beforehand what a computation will cost.
//!
//! Long computations report to an [`Observer`] and stop when it breaks. They call it often enough that a
//! cancelled computation returns within about 0.1 s on a current machine, where it is not in the middle of a
//! single operation of the arithmetic library, as [`decimal`] and [`Doubling`] may be above n = 10⁷.
//!
//! The crate knows nothing of I/O, async, serialisation or clocks. [`doubling`], [`decimal_digits`] and the
//! states use a second thread for long numbers when there is a second processor; it has ended when they return.
//! Only with the feature `forced-instructions`, which is for tests, it reads one variable of the environment.
//!
//! # Layout
//!
//! A file imports only from rows below its own.
//!
//! | module | has |
//! |---|---|
//! | `decimal_doubling` | F(n) in base ten, as a state that can be stored |
//! | `doubling` | F(n) in base two, as a state that can be stored |
//! | `estimate` | what a computation will cost |
//! | `radix` | places in a base of our choice, and their doubling |
//! | `certificate` | what a value must satisfy |
//! | `modular` | F(n) and numbers modulo an odd number |
//! | `transform`, `decimal`, `iterative`, `recursive` | products by the transform, base ten, the two slow algorithms |
//! | `task`, `magnitude`, `montgomery` | two threads and their progress, lengths, arithmetic without divisions |
//! | `progress`, `table`, `limbs`, `instructions` | cancelling, small values, passes over limbs, vector instructions |
//!
//! ```
//! let value = fibonacci::doubling(100, &fibonacci::unobserved).unwrap();
//! assert_eq!(value.to_string(), "354224848179261915075");
//! assert_eq!(fibonacci::Certificate::for_index(100).check(&value), Ok(()));
//! ```

mod certificate;
mod decimal;
mod decimal_doubling;
mod doubling;
mod estimate;
mod instructions;
mod iterative;
mod limbs;
mod magnitude;
pub mod modular;
mod montgomery;
mod progress;
mod radix;
mod recursive;
mod table;
mod task;
mod transform;

pub use certificate::{Certificate, DecimalCheck, Mismatch};
pub use decimal::decimal;
pub use decimal_doubling::{DecimalDoubling, DecimalParts, decimal_digits, decimal_digits_with};
pub use doubling::{Doubling, Parts, PartsError, doubling};
pub use estimate::{Estimate, TimeClass};
#[cfg(feature = "forced-instructions")]
pub use instructions::available_instructions;
pub use instructions::{Instructions, instructions};
pub use iterative::iterative;
pub use magnitude::{bits, digits};
pub use malachite_nz::natural::Natural;
pub use progress::{Cancelled, Observer, Progress, unobserved};
pub use recursive::{RECURSIVE_MAX_N, recursive};
