//! The vector instructions that long numbers are computed with.
//!
//! `fearless_simd` compiles every loop over vectors once for each set of instructions and takes the widest set
//! that the processor has. No caller decides: [`level`] is the one place where a set is chosen.
//!
//! With the feature `forced-instructions`, for tests and benchmarks, the environment names the set; see `forced`.
//! The arithmetic library chooses its own instructions, AVX2 or none, whatever is forced here.

#[cfg(feature = "forced-instructions")]
mod forced;

use std::fmt;

use fearless_simd::{Level, Simd, dispatch};

#[cfg(feature = "forced-instructions")]
pub use forced::available_instructions;

/// A set of vector instructions, which is written by its usual name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instructions {
    /// Eight numbers at a time, on x86 processors as of Ice Lake and Zen 4.
    Avx512,
    /// Four numbers at a time, with fused products, on x86 processors as of Haswell and Zen.
    Avx2,
    /// Two numbers at a time, on x86 processors as of Nehalem.
    Sse4_2,
    /// Two numbers at a time, on all x86 processors of 64 bits.
    Sse2,
    /// Two numbers at a time, with fused products, on all ARM processors of 64 bits.
    Neon,
    /// One number at a time, on all others.
    Scalar,
}

/// Returns the instructions that long numbers are computed with: the widest that this processor has.
#[must_use]
pub fn instructions() -> Instructions {
    // Not of the level that was chosen, but of the code that runs.
    dispatch!(level(), simd => Instructions::of(simd.level()))
}

/// The level for `dispatch!`, of all code in this crate.
#[cfg(not(feature = "forced-instructions"))]
#[inline]
pub(crate) fn level() -> Level {
    widest()
}

#[cfg(feature = "forced-instructions")]
pub(crate) use forced::level;

#[inline]
#[expect(clippy::disallowed_methods, reason = "all others ask here")]
fn widest() -> Level {
    Level::new()
}

impl Instructions {
    fn of(level: Level) -> Self {
        match level {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Level::Avx512(_) => Self::Avx512,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Level::Avx2(_) => Self::Avx2,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Level::Sse4_2(_) => Self::Sse4_2,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Level::Sse2(_) => Self::Sse2,
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => Self::Neon,
            _ => Self::Scalar,
        }
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Sse4_2 => "SSE4.2",
            Self::Sse2 => "SSE2",
            Self::Neon => "NEON",
            Self::Scalar => "scalar",
        })
    }
}
