//! The ways to compute F(n).

use std::fmt;
use std::str::FromStr;

use durable_jobs::record::shorten;
use serde::{Deserialize, Serialize};

use super::{Limits, RequestError, WorkflowName};

/// Makes the algorithms: each with its name as in the JSON and on the command line, its workflow, the largest index that any
/// server gives it, and what it is for.
macro_rules! algorithms {
    ($($(#[$attribute:meta])* $algorithm:ident: $name:literal, $workflow:ident, $max_n:expr, $about:literal;)*) => {
        /// The ways to compute F(n).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        pub enum Algorithm {
            $($(#[$attribute])* #[serde(rename = $name)] $algorithm,)*
        }

        impl Algorithm {
            /// Every algorithm, the default first.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$algorithm),*];

            /// The algorithm's name, as in the JSON and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$algorithm => $name,)*
                }
            }

            /// The workflow that runs it.
            #[must_use]
            pub const fn workflow(self) -> WorkflowName {
                match self {
                    $(Self::$algorithm => WorkflowName::$workflow,)*
                }
            }

            /// The largest index that it is given, whatever a server's limit.
            #[must_use]
            pub const fn max_n(self) -> u64 {
                match self {
                    $(Self::$algorithm => $max_n,)*
                }
            }

            /// Describes it for a form.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$algorithm => $about,)*
                }
            }
        }
    };
}

algorithms! {
    /// Fast doubling: about log2(n) squarings; the one for any n.
    #[default]
    Doubling: "doubling", Fibonacci, u64::MAX, "for any n, fast";
    /// n additions; linear in n times the length of the value.
    Iterative: "iterative", Fibonacci, Limits::ITERATIVE_MAX_N, "n additions";
    /// The naive recursion, kept as work that burns a processor: about 1.6^n calls.
    Recursive: "recursive", Fibonacci, fibonacci::RECURSIVE_MAX_N, "work that burns a processor";
    /// One addition per index, each a checkpointed step of its own.
    Stepwise: "stepwise", Stepwise, Limits::STEPWISE_MAX_N, "each addition a recorded step";
    /// Fast doubling whose last states are stored, so that a large n goes on from there after a crash.
    Giant: "giant", Giant, u64::MAX, "goes on where it was after a crash";
}

impl Algorithm {
    /// The index from which on `giant` is chosen: about a second of arithmetic.
    const GIANT_MIN_N: u64 = 600_000_000;

    /// The algorithm for F(n) where none is named.
    #[must_use]
    pub fn for_index(n: u64) -> Self {
        if n < Self::GIANT_MIN_N {
            Self::Doubling
        } else {
            Self::Giant
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = RequestError;

    fn from_str(name: &str) -> Result<Self, RequestError> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        known.ok_or_else(|| RequestError::Algorithm { given: shorten(name) })
    }
}

/// Lists the names: `doubling, … or giant`.
pub(super) fn names() -> String {
    let names = Algorithm::ALL.map(Algorithm::name);
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("{} or {last}", others.join(", "))
}
