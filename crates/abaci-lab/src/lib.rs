//! The laboratory: experiments on durable execution, each of which does it wrong and right, crashes for real, and says
//! what happened.
//!
//! An experiment is one file to be read in five minutes. Its `conduct` runs in this process: it starts actors, reads what
//! they leave in the database, and comes to a verdict. Its `act` runs in a process of its own, with the engine, and may
//! die there. Both forms of an experiment, the broken one and the right one, are in `act`.
//!
//! Every run has a schema of its own in the database, which is dropped at the end, so nothing of it is met by anything else;
//! what a run that was killed has left, the next one drops. Seeds are fixed. A run has a deadline, and no process outlives
//! it.
//!
//! This is the only crate besides `durable-jobs` that names `dbos` and `sqlx`: it teaches them.
//!
//! # Layout
//!
//! A file imports only from rows below its own.
//!
//! | module | has |
//! |---|---|
//! | `child_role` | the role of a process that an experiment started |
//! | `catalog` | all experiments; a new one is added here |
//! | `ex1_state_in_memory`, `ex2_poisoned_workflow`, `ex3_object_as_input`, `ex4_concurrent_steps`, `ex5_nested_workflows`, `ex6_error_panic_memory`, `ex7_new_version_in_flight`, `ex8_shared_executor_id`, `ex9_poisoned_queue` | one experiment each |
//! | `experiment` | a run from the empty schema to the report |
//! | `sandbox`, `parking` | the schema and the processes of a run; parking a job |
//! | `report`, `laboratory` | findings; settings of a run |
//! | `actor` | a process that acts and may die |
//! | `schema`, `crash` | the schema's owner and its end; real crashes |

mod actor;
mod catalog;
mod child_role;
mod crash;
mod ex1_state_in_memory;
mod ex2_poisoned_workflow;
mod ex3_object_as_input;
mod ex4_concurrent_steps;
mod ex5_nested_workflows;
mod ex6_error_panic_memory;
mod ex7_new_version_in_flight;
mod ex8_shared_executor_id;
mod ex9_poisoned_queue;
mod experiment;
mod laboratory;
mod parking;
mod report;
mod sandbox;
mod schema;

pub use self::catalog::{EXPERIMENTS, find};
pub use self::child_role::ChildRole;
pub use self::experiment::Experiment;
pub use self::laboratory::{Forms, Laboratory, SEED};
pub use self::report::{Case, Report, Trace};
pub use self::schema::{Leftover, Removal, remove_leftovers};
