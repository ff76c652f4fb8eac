//! The Fibonacci job types: what a client may ask for, the workflows that compute it, and certified results.
//!
//! Every result is proven before it is published: the digits are compared with residues that were computed without them.
//! It knows nothing of SQL or terminals, and starts no processes.
//!
//! # Layout
//!
//! A file imports only from lines below its own.
//!
//! | module | what it does |
//! |---|---|
//! | `workflow` | the job types and their bodies, one file each |
//! | `compute` | what a worker or its computing process computes |
//! | [`record`] | requests, limits, faults and results, as they are recorded |

mod compute;
pub mod record;
mod workflow;

use durable_jobs::JobId;
use durable_jobs::client::NewJob;
use durable_jobs::process::TaskKind;

pub use record::{Algorithm, IndexRange, JobResult, Limits, Request};
pub use workflow::{VERSION, client_types, server_types};

/// The queue that Fibonacci jobs wait in unless another one is named.
pub const DEFAULT_QUEUE: &str = "fibonacci";

/// Makes jobs of requests, under their ids.
#[must_use]
pub fn new_jobs(requests: &[(JobId, Request)]) -> Vec<NewJob> {
    let jobs = requests.iter().map(|(id, request)| request.job_as(id.clone()));
    jobs.collect()
}

/// Names what a computing process of these jobs can compute.
#[must_use]
pub fn tasks() -> [TaskKind; 1] {
    [TaskKind::of::<compute::FibonacciTask>()]
}

// The tests beside the code need the shared server of the testkit, whose keeper is the test binary itself.
#[cfg(test)]
testkit::child_process! {}
