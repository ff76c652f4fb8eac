//! The list of all experiments.

use crate::experiment::Experiment;
use crate::{
    ex1_state_in_memory, ex2_poisoned_workflow, ex3_object_as_input, ex4_concurrent_steps,
    ex5_nested_workflows, ex6_error_panic_memory, ex7_new_version_in_flight, ex8_shared_executor_id,
    ex9_poisoned_queue,
};

/// Every experiment, in order.
///
/// A static and no constant, whose functions would be compiled again where it is used.
pub static EXPERIMENTS: &[Experiment] = &[
    ex1_state_in_memory::EXPERIMENT,
    ex2_poisoned_workflow::EXPERIMENT,
    ex3_object_as_input::EXPERIMENT,
    ex4_concurrent_steps::EXPERIMENT,
    ex5_nested_workflows::EXPERIMENT,
    ex6_error_panic_memory::EXPERIMENT,
    ex7_new_version_in_flight::EXPERIMENT,
    ex8_shared_executor_id::EXPERIMENT,
    ex9_poisoned_queue::EXPERIMENT,
];

/// Returns the experiment of this name, if there is one.
#[must_use]
pub fn find(name: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.name == name)
}
