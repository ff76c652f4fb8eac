//! The workflows, one file each.
//!
//! A body decides and calls steps; it has no clock, no randomness and no I/O of its own.
//! Step names are constants and never change meaning; a change to their sequence changes
//! [`crate::APPLICATION_VERSION`].

mod computation;
mod fault;
mod fibonacci;
mod giant;
mod steps;
mod stepwise;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub(crate) use steps::JobContext;

use crate::record::{Failure, JobResult, Request, WorkflowName};

/// Runs the body of the workflow that the request belongs to; a row that names another one does not get here.
pub(crate) fn run(
    job: Arc<JobContext>,
    request: Request,
) -> BoxFuture<'static, dbos::Result<JobResult, Failure>> {
    match WorkflowName::of(request.algorithm) {
        WorkflowName::Fibonacci => Box::pin(fibonacci::fibonacci(job, request)),
        WorkflowName::Stepwise => Box::pin(stepwise::stepwise(job, request)),
        WorkflowName::Giant => Box::pin(giant::giant(job, request)),
    }
}
