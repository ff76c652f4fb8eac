//! Durable jobs of any type on DBOS and Postgres: queue, workers, steps that are recorded, and a client.
//!
//! A job is one row of the queue.
//! A client writes it, a [`Worker`] claims it, its steps are checkpointed one by one, and the outcome is recorded exactly
//! once; whoever waits reads it from there.
//! Nothing else carries a job, so nothing else can lose one.
//!
//! It promises that every accepted job reaches one outcome as long as some worker that knows its type runs and the database
//! keeps what it acknowledged.
//! A step that was running when its worker died runs again.
//!
//! It knows nothing of HTTP, terminals, flags or the environment: everything is handed in.
//!
//! # Write a job type
//!
//! 1. A [`Task`](compute::Task) is one piece of heavy work: its data, and a function that may run in another process.
//!    It calls [`progress`](compute::TaskRun::progress) often, which also tells it to stop.
//! 2. A [`JobType`] says which steps a job has.
//!    [`JobContext::step`] records what a step returned, and [`JobContext::compute`] runs the task.
//! 3. [`JobTypes`] names the types that a worker or a client knows, and the version of their steps.
//! 4. The program that holds the worker is also that of the computing processes: an argument of its own leads to
//!    [`compute_for_worker`](process::compute_for_worker).
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use durable_jobs::client::{ClientSettings, SubmitOptions};
//! use durable_jobs::compute::{Task, TaskRun};
//! use durable_jobs::process::{Isolation, TaskKind, compute_for_worker};
//! use durable_jobs::worker::{WorkerSettings, asked_to_stop};
//! use durable_jobs::{Client, Failure, JobContext, JobType, JobTypes, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! /// One piece: the square numbers from the first to before the second.
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Piece(u64, u64);
//!
//! impl Task for Piece {
//!     const NAME: &'static str = "count";
//!     type Output = u64;
//!
//!     fn run(&self, run: &TaskRun<'_, u64>) -> Result<u64, Failure> {
//!         let mut count = 0;
//!         for n in self.0..self.1 {
//!             run.progress(n - self.0, self.1 - self.0)?;
//!             count += u64::from(n.isqrt().pow(2) == n);
//!         }
//!         Ok(count)
//!     }
//! }
//!
//! struct CountSquares;
//!
//! impl JobType for CountSquares {
//!     const WORKFLOW: &'static str = "count_squares";
//!     type Input = Vec<Piece>;
//!     type Output = u64;
//!
//!     async fn run(&self, job: &JobContext, pieces: Vec<Piece>) -> Result<u64, Failure> {
//!         let mut count = 0;
//!         for piece in pieces {
//!             count += job.step("count", || job.compute(piece.clone())).await?;
//!         }
//!         Ok(count)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let argument = std::env::args().nth(1).unwrap_or_default();
//!     if argument == "compute" {
//!         // This process has no environment: ask for nothing before.
//!         return Ok(compute_for_worker(&[TaskKind::of::<Piece>()])?);
//!     }
//!     let types = JobTypes::new("squares-1").with(CountSquares);
//!     let url = std::env::var("DATABASE_URL")?;
//!     match argument.as_str() {
//!         "work" => {
//!             let mut settings = WorkerSettings::new(url, "this-host", "/var/tmp/squares", types);
//!             // Without it tasks run on threads of this process, with no limit of memory.
//!             settings.isolation = Some(Isolation::of_this_program(["compute"])?);
//!             let (stop, worker) = (asked_to_stop()?, Worker::start(settings).await?);
//!             worker.run_until(stop, Duration::from_secs(30)).await?;
//!         }
//!         _ => {
//!             let client = Client::connect(ClientSettings::new(url, types)).await?;
//!             let pieces = vec![Piece(0, 1_000_000), Piece(1_000_000, 2_000_000)];
//!             let id = client.submit::<CountSquares>(&pieces, SubmitOptions::default()).await?;
//!             println!("{} squares", client.output_of::<CountSquares>(&id).await?);
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! `examples/primes.rs` is a whole program, with a private database.
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

#![expect(
    clippy::must_use_candidate,
    reason = "a future that nobody awaits is warned of by itself"
)]

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
pub use error::{Difference, Error, Reply, Stated, Term};
pub use job::{JobContext, JobEvent, JobType, JobTypes, StepOptions};
pub use record::{APPLICATION, Advice, DEFAULT_QUEUE, ENGINE_QUEUE, Failure, Job, JobFilter, JobId, State};
// The macro `log_job_event` is expanded in other crates, which may not depend on `tracing` themselves.
#[doc(hidden)]
pub use tracing;
pub use worker::Worker;

// The tests beside the code need the shared server of the testkit, whose keeper is the test binary itself.
#[cfg(test)]
testkit::child_process! {}
