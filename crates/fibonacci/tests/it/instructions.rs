//! The vector instructions that are used; `scripts/instructions` runs all tests of this crate with each set that there is.

use fibonacci::{Instructions, instructions};

/// Also without the feature, so that a forced run that forces nothing fails.
#[test]
fn the_instructions_asked_for_are_the_ones_used() {
    if let Ok(name) = std::env::var("FIBONACCI_INSTRUCTIONS") {
        assert_eq!(instructions().to_string(), name);
    } else {
        assert_ne!(instructions(), Instructions::Scalar, "no vectors are used");
    }
}

#[cfg(feature = "forced-instructions")]
#[test]
fn the_widest_instructions_come_first() {
    let available = fibonacci::available_instructions();
    if std::env::var("FIBONACCI_INSTRUCTIONS").is_err() {
        assert_eq!(available[0], instructions());
    }
}
