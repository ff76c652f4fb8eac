//! The workflows by the names that rows carry, and which algorithm is whose.
//!
//! The name of a row says which sequence of steps its checkpoints belong to, so a request is never moved from one
//! workflow to another: a row whose name and algorithm contradict each other is refused.

use super::Algorithm;

/// A workflow that exists here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkflowName {
    /// `fibonacci_workflow`: compute, certify, publish.
    Fibonacci,
    /// `fibonacci_stepwise`: one step for every index, certify, publish.
    Stepwise,
    /// `fibonacci_giant`: doubling up to each of the states that are stored, the digits, certify, publish.
    Giant,
}

impl WorkflowName {
    /// Every workflow.
    pub const ALL: [Self; 3] = [Self::Fibonacci, Self::Stepwise, Self::Giant];

    /// The name, as in the rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fibonacci => "fibonacci_workflow",
            Self::Stepwise => "fibonacci_stepwise",
            Self::Giant => "fibonacci_giant",
        }
    }

    /// The workflow of this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workflow| workflow.name() == name)
    }

    /// The workflow that runs `algorithm`.
    #[must_use]
    pub fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Stepwise => Self::Stepwise,
            Algorithm::Giant => Self::Giant,
            Algorithm::Doubling | Algorithm::Iterative | Algorithm::Recursive => Self::Fibonacci,
        }
    }

    /// The algorithm of a row of this workflow that names none.
    #[must_use]
    pub fn usual_algorithm(self) -> Algorithm {
        match self {
            Self::Fibonacci => Algorithm::Doubling,
            Self::Stepwise => Algorithm::Stepwise,
            Self::Giant => Algorithm::Giant,
        }
    }
}
