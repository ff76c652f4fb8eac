//! Recorded outputs: those of Fibonacci jobs have digits, those of other programs' jobs are JSON of any form.

use durable_jobs::record::JobDetail;
use fibonacci_jobs::JobResult;
use fibonacci_jobs::record::WorkflowName;

use crate::exit::Failed;
use crate::output;

/// Tests whether jobs of this workflow compute Fibonacci numbers.
pub(crate) fn is_fibonacci(workflow: &str) -> bool {
    WorkflowName::parse(workflow).is_some()
}

/// Reads the result of a Fibonacci job that succeeded.
///
/// # Errors
/// The answer no, with its reason, where the job has no digits.
pub(crate) fn fibonacci_result(detail: &JobDetail) -> Result<JobResult, Failed> {
    let (id, workflow) = (&detail.job.workflow_id, &detail.job.workflow);
    if !is_fibonacci(workflow) {
        let show = output::show_command(id);
        return Err(Failed::no(format!(
            "job {id} is of type {workflow:?} and has no digits; see: {show}"
        )));
    }
    let Some(result) = &detail.result else {
        return Err(Failed::no(format!(
            "job {id} has no value: it is {}",
            detail.job.state
        )));
    };
    result.read().map_err(|failure| Failed::no(failure.message))
}
