//! The log lines of a job: start, steps, end, each with the same fields.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::record::{Failure, JobId, Request};

/// The fields that every line of a job carries.
#[derive(Debug, Clone)]
pub(crate) struct JobLog {
    id: JobId,
    request: Request,
}

/// One line with the fields of the job and some of its own.
macro_rules! line {
    ($level:ident, $log:expr, $($field:tt)*) => {
        $level!(
            workflow_id = %$log.id,
            n = $log.request.n,
            algorithm = $log.request.algorithm.name(),
            pid = std::process::id(),
            ppid = std::os::unix::process::parent_id(),
            $($field)*
        )
    };
}

impl JobLog {
    pub(crate) fn new(id: JobId, request: Request) -> Self {
        Self { id, request }
    }

    pub(crate) fn id(&self) -> &JobId {
        &self.id
    }

    pub(crate) fn started(&self, attempt: u32) {
        line!(info, self, attempt, "job started");
    }

    pub(crate) fn step_done(&self, step: &'static str, took: Duration) {
        line!(info, self, step, seconds = took.as_secs_f64(), "step done");
    }

    pub(crate) fn child_started(&self, child: u32) {
        line!(info, self, child, "child started");
    }

    pub(crate) fn step_failed(&self, step: &'static str, failure: &Failure) {
        line!(warn, self, step, reason = failure.message, "step failed");
    }

    /// Says where the steps of indices go on; a first start that begins with the first one is said already.
    pub(crate) fn begins_at(&self, index: u64, attempt: u32) {
        if attempt > 1 || index > 2 {
            line!(info, self, attempt, index, "resumed at index");
        }
    }

    /// One line per index is too much for every day.
    pub(crate) fn added(&self, index: u64, took: Duration) {
        line!(debug, self, index, seconds = took.as_secs_f64(), "index added");
    }

    pub(crate) fn fault(&self, fault: &'static str, index: u64) {
        line!(warn, self, fault, index, "a fault on purpose strikes");
    }

    /// Says that the host failed the job; what it lacks is said once for all jobs.
    pub(crate) fn given_back(&self, took: Duration) {
        line!(info, self, seconds = took.as_secs_f64(), "job given back");
    }

    pub(crate) fn ended(&self, took: Duration, outcome: Result<(), &dbos::Error<Failure>>) {
        let seconds = took.as_secs_f64();
        match outcome {
            Ok(()) => line!(info, self, seconds, "job succeeded"),
            Err(error) => line!(warn, self, seconds, reason = %error, "job ended without a value"),
        }
    }
}
