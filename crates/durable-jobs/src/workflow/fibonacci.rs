//! `fibonacci_workflow`: compute, certify, publish.

use std::sync::Arc;

use dbos::{StepOptions, step_with};
use tokio::sync::Mutex;

use super::computation::Computation;
use super::steps::{CERTIFY, Certified, Computed, JobContext, PUBLISH, StepRun, certify, options, publish};
use crate::record::{Failure, JobResult, Request};

const COMPUTE: &str = "compute";

/// Computes F(n), proves it and forms the result.
pub(crate) async fn fibonacci(job: Arc<JobContext>, request: Request) -> dbos::Result<JobResult, Failure> {
    let computation = Mutex::new(Computation::new(&job, request, Vec::new(), &[]));
    let computed: Computed = step_with(COMPUTE, options(request), || async {
        let run = StepRun::begin(&job, COMPUTE);
        let computed = computation.lock().await.digits(COMPUTE, run.meter()).await;
        run.end(computed)
    })
    .await?;
    let certified: Certified = step_with(CERTIFY, options(request), || async {
        let run = StepRun::begin(&job, CERTIFY);
        let certified = certify(&job, request, &computed, &[], run.meter()).await;
        run.end(certified)
    })
    .await?;
    step_with(PUBLISH, StepOptions::default(), || async {
        Ok(publish(&job, request, &computed, &certified))
    })
    .await
}
