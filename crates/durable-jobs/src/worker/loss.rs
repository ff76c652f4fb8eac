//! The reasons for which a worker must not go on.

use std::fmt;

/// Names what a worker has lost and cannot work without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Its executor id, for this reason, and with it its jobs: discard it and start another.
    ExecutorId(String),
    /// The loop that claims jobs, which has broken off: a fault of this program.
    Claims,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExecutorId(reason) => f.write_str(reason),
            Self::Claims => f.write_str("the loop that claims jobs has broken off"),
        }
    }
}

impl std::error::Error for Loss {}
