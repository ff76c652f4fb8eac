//! The workflows by the names that rows carry.
//!
//! The name of a row says which sequence of steps its checkpoints belong to, so a request is never moved from one
//! workflow to another: a row whose name and algorithm contradict each other is refused.

use super::Algorithm;

/// Makes the workflows: each with its name as in the rows, and the algorithm of a row that names none.
macro_rules! workflows {
    ($($(#[$attribute:meta])* $workflow:ident: $name:literal, $algorithm:ident;)*) => {
        /// A workflow that exists here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum WorkflowName {
            $($(#[$attribute])* $workflow,)*
        }

        impl WorkflowName {
            /// Every workflow.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$workflow),*];

            /// The name, as in the rows.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$workflow => $name,)*
                }
            }

            /// The algorithm of a row of this workflow that names none.
            #[must_use]
            pub const fn usual_algorithm(self) -> Algorithm {
                match self {
                    $(Self::$workflow => Algorithm::$algorithm,)*
                }
            }
        }
    };
}

workflows! {
    /// `fibonacci_workflow`: compute, certify, publish.
    Fibonacci: "fibonacci_workflow", Doubling;
    /// `fibonacci_stepwise`: one step for every index, certify, publish.
    Stepwise: "fibonacci_stepwise", Stepwise;
    /// `fibonacci_giant`: doubling up to each of the states that are stored, the digits, certify, publish.
    Giant: "fibonacci_giant", Giant;
}

impl WorkflowName {
    /// The workflow of this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workflow| workflow.name() == name)
    }
}
