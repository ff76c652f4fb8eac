//! Durable execution of Fibonacci jobs: workflows, workers and clients over one Postgres.
//!
//! A job is one row of the queue.
//! A client writes it, a [`worker::Worker`] claims it, the workflow's steps are checkpointed one by one, and the
//! outcome is recorded exactly once; whoever waits reads it from there.
//! Nothing else carries a job, so nothing else can lose one.
//!
//! This is the only product crate that names `dbos` or `sqlx`.
//! It knows nothing of HTTP, terminals, flags or the environment: everything is handed in.
//!
//! It promises that every accepted job reaches one outcome with the exact value as long as some worker runs and the
//! database keeps what it acknowledged.
//! It does not promise that a step runs only once: a step that was running when its worker died runs again.

pub mod artifact;
pub mod client;
mod compute;
pub mod database;
mod error;
mod gc;
mod job;
pub mod presence;
pub mod process;
pub mod record;
pub mod worker;
mod workflow;

pub use client::Client;
pub use error::Error;
pub use record::{Algorithm, Failure, Job, JobId, JobResult, Limits, Request, State};
pub use worker::Worker;

/// The queue that jobs wait in unless another one is named.
pub const DEFAULT_QUEUE: &str = "fibonacci";

/// The queue of the engine itself, which every worker serves beside its own.
pub const ENGINE_QUEUE: &str = dbos::sysdb::INTERNAL_QUEUE;

/// The workflow of every algorithm but `stepwise` and `giant`.
pub const FIBONACCI_WORKFLOW: &str = "fibonacci_workflow";

/// The workflow of the algorithm `stepwise`.
pub const STEPWISE_WORKFLOW: &str = "fibonacci_stepwise";

/// The workflow of the algorithm `giant`.
pub const GIANT_WORKFLOW: &str = "fibonacci_giant";

/// The application that owns our rows among those that share a database.
pub const APPLICATION: &str = "abaci";

/// The version of the sequence of steps.
///
/// It changes when a step is added, removed, renamed or moved, and at no other time: a worker only takes rows of its
/// own version, so a needless change would strand the jobs in flight.
pub const APPLICATION_VERSION: &str = "abaci-1";

// The tests beside the code need the shared server of the testkit, whose keeper is the test binary itself.
#[cfg(test)]
testkit::child_process! {}
