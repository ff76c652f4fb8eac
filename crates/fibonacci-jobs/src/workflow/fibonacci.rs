//! `fibonacci_workflow`: compute, certify, publish.

use durable_jobs::{Failure, JobContext};
use tokio::sync::Mutex;

use super::checkpointed_run::CheckpointedRun;
use super::steps::{CERTIFY, certify, options, publish};
use crate::record::{JobResult, Request};

const COMPUTE: &str = "compute";

/// Computes F(n), proves it and forms the result.
pub(super) async fn fibonacci(job: &JobContext, request: Request) -> Result<JobResult, Failure> {
    // A step may try its closure again, so all tries share the computation behind a lock.
    let computation = Mutex::new(CheckpointedRun::new(job, request, Vec::new(), &[]));
    let computed = job
        .step_with(COMPUTE, options(request), || async {
            computation.lock().await.digits().await
        })
        .await?;
    let certified = job
        .step_with(CERTIFY, options(request), || {
            certify(job, request, &computed, &[])
        })
        .await?;
    publish(job, request, &computed, &certified, &[]).await
}
