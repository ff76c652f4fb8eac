//! Exact Fibonacci numbers, F(0) = 0, F(1) = 1, F(n) = F(n−1) + F(n−2).
//!
//! Three algorithms give the same value at very different cost: [`recursive`] (exponential, a CPU burner),
//! [`iterative`] (n additions) and [`doubling`] (two squarings per bit of n; the one to use). [`Doubling`]
//! is the last one as a state that can be stored and resumed at any bit. A [`Certificate`] says what a
//! value must satisfy without computing it, [`decimal`] writes it in base ten, and [`Estimate`] says
//! beforehand what it will cost.
//!
//! Long computations report to an [`Observer`] and stop when it breaks. They call it often enough that a
//! cancelled computation returns within 50 ms for n ≤ 10⁷ on a current machine; above, one squaring or one
//! division of the arithmetic library may run longer than that, and none is interrupted in the middle.
//!
//! The crate knows nothing of I/O, async, serialisation or clocks, and starts no threads.
//!
//! ```
//! let value = fibonacci::doubling(100, &fibonacci::unobserved).unwrap();
//! assert_eq!(value.to_string(), "354224848179261915075");
//! assert_eq!(fibonacci::Certificate::for_index(100).check(&value), Ok(()));
//! ```

mod certificate;
mod decimal;
mod doubling;
mod estimate;
mod iterative;
mod limbs;
mod magnitude;
pub mod modular;
mod montgomery;
mod progress;
mod recursive;
mod table;

pub use certificate::{Certificate, Mismatch};
pub use decimal::decimal;
pub use doubling::{Doubling, Parts, PartsError, doubling};
pub use estimate::{Estimate, TimeClass};
pub use iterative::iterative;
pub use magnitude::{bits, digits};
pub use malachite_nz::natural::Natural;
pub use progress::{Cancelled, Observer, Progress, unobserved};
pub use recursive::{RECURSIVE_MAX_N, recursive};
