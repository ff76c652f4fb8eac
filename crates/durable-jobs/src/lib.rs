//! Durable jobs of any type on DBOS and Postgres: queue, workers, steps that are recorded, and a client.
//!
//! A job is one row of the queue.
//! A client writes it, a [`Worker`] claims it, its steps are checkpointed one by one, and the outcome is recorded exactly
//! once; whoever waits reads it from there.
//! Nothing else carries a job, so nothing else can lose one.
//!
//! It promises that every accepted job reaches one outcome as long as some worker that knows its type runs and the database
//! keeps what it acknowledged.
//! It does not promise that a step runs only once: a step that was running when its worker died runs again.
//!
//! It knows nothing of HTTP, terminals, flags or the environment: everything is handed in.
//!
//! # Layout
//!
//! A file imports only from lines below its own.
//!
//! | module | what it does |
//! |---|---|
//! | [`client`] | submits jobs, waits for them, lists, cancels and resumes them, asks how a queue stands |
//! | [`worker`] | claims jobs and runs them, drains, takes over from dead workers, keeps house |
//! | `gc` | deletes old jobs and the artifacts that nobody refers to |
//! | `job` | [`JobType`], [`JobContext`] with its steps and computations, what a job has cost in processes |
//! | [`process`] | runs heavy tasks in child processes with limits |
//! | [`compute`] | [`Task`](compute::Task), threads, progress |
//! | [`artifact`] | keeps values that are too large for a row |
//! | [`presence`] | says who works here: executor ids, locks, heartbeats |
//! | [`database`] | connects, makes the tables, tells failures apart |
//! | [`record`] | the types that are written to rows or printed as JSON |
//! | `error` | [`Error`], one variant for each decision of a caller |

pub mod artifact;
pub mod client;
pub mod compute;
pub mod database;
mod error;
mod gc;
mod job;
pub mod presence;
pub mod process;
pub mod record;
pub mod worker;

pub use client::Client;
pub use error::Error;
pub use job::{JobContext, JobEvent, JobType, JobTypes, StepOptions};
pub use record::{Failure, Job, JobId, State};
#[doc(hidden)]
pub use tracing;
pub use worker::Worker;

/// The queue that jobs wait in unless another one is named.
pub const DEFAULT_QUEUE: &str = "default";

/// The queue of the engine itself, which every worker serves beside its own.
pub const ENGINE_QUEUE: &str = dbos::sysdb::INTERNAL_QUEUE;

/// The application that owns our rows among those that share a database.
pub const APPLICATION: &str = "abaci";

// The tests beside the code need the shared server of the testkit, whose keeper is the test binary itself.
#[cfg(test)]
testkit::child_process! {}
