//! Major versions of PostgreSQL.

use std::fmt;

/// A major version of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub(crate) u32);

impl Version {
    /// The oldest version that is supported.
    pub const OLDEST: Version = Version(13);

    /// Returns the major number, 15 for PostgreSQL 15.14.
    #[must_use]
    pub fn major(self) -> u32 {
        self.0
    }

    /// Reads the first number of `15`, `15.14`, `17beta1` or `postgres (PostgreSQL) 15.14 (Debian 15.14-0)`.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok().map(Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
