//! The places where the jobs of a submission are written, for what is said of one of them.

use std::fmt;
use std::sync::Arc;

/// The place where one job is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryPlace {
    /// An argument, from 1.
    Argument(usize),
    /// A line, from 1, of a file or of stdin.
    Line(Arc<str>, usize),
    /// The indices that are drawn, from 1.
    Drawn(usize),
}

impl fmt::Display for EntryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(number) => write!(f, "argument {number}"),
            Self::Line(source, number) => write!(f, "{source}:{number}"),
            Self::Drawn(number) => write!(f, "random index {number}"),
        }
    }
}
