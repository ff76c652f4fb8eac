//! Instructions that the environment names, for tests and benchmarks: no program is built with this.
//!
//! A set that the processor lacks is refused by a panic in everything that computes, and never replaced by another.

use std::sync::LazyLock;

use fearless_simd::Level;

use super::{Instructions, widest};

/// Has the name of a set of instructions, as [`Instructions`] write it; without it the widest set is used.
const VARIABLE: &str = "FIBONACCI_INSTRUCTIONS";

#[cfg(feature = "scalar-instructions")]
const SCALAR: Option<Level> = Some(Level::fallback());
#[cfg(not(feature = "scalar-instructions"))]
const SCALAR: Option<Level> = None;

/// The level for `dispatch!`, of all code in this crate.
pub(crate) fn level() -> Level {
    // Read once for the process, because every transform begins by this call.
    static FORCED: LazyLock<Level> = LazyLock::new(|| match std::env::var(VARIABLE) {
        Ok(name) => named(&name),
        Err(_) => widest(),
    });
    *FORCED
}

/// Returns the sets of instructions that this processor has, the widest first.
///
/// Scalar ones are among them with the feature `scalar-instructions`.
#[must_use]
pub fn available_instructions() -> Vec<Instructions> {
    levels().into_iter().map(Instructions::of).collect()
}

fn named(name: &str) -> Level {
    levels()
        .into_iter()
        .find(|level| Instructions::of(*level).to_string() == name)
        .unwrap_or_else(|| {
            let has: Vec<String> = available_instructions().iter().map(ToString::to_string).collect();
            panic!(
                "{VARIABLE} is {name:?}, but this processor has only {}",
                has.join(", ")
            )
        })
}

fn levels() -> Vec<Level> {
    let widest = widest();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let vectors = [
        widest.as_avx512().map(Level::Avx512),
        widest.as_avx2().map(Level::Avx2),
        widest.as_sse4_2().map(Level::Sse4_2),
        widest.as_sse2().map(Level::Sse2),
    ];
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    let vectors = [Some(widest)];
    vectors.into_iter().chain([SCALAR]).flatten().collect()
}
