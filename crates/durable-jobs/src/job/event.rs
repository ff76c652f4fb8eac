//! The log lines of a job: start, steps, end, each with the same fields.

use std::sync::Arc;
use std::time::Duration;

use super::job_type::Admitted;
use crate::record::{Failure, JobId};

/// One line of a job's log, as [`JobType::log`](crate::JobType::log) is to write it; see [`log_job_event`](crate::log_job_event).
#[derive(Debug, Clone, Copy, Default)]
pub struct JobEvent<'a> {
    /// The text of the line.
    pub message: &'static str,
    /// Says that an operator should look at it.
    pub is_warning: bool,
    /// The job's id.
    pub workflow_id: &'a str,
    /// The start of the job, counted from 1.
    pub attempt: Option<u32>,
    /// The process id of a computing process.
    pub child: Option<u32>,
    /// The name of a step.
    pub step: Option<&'a str>,
    /// The time that something took.
    pub seconds: Option<f64>,
    /// The reason why something failed.
    pub reason: Option<&'a str>,
}

/// Writes a [`JobEvent`] to the log, with fields of the job type's own: `log_job_event!(event, from = input.from)`.
#[macro_export]
macro_rules! log_job_event {
    (@line $level:ident, $event:ident, $($fields:tt)*) => {
        $crate::tracing::$level!(
            workflow_id = %$event.workflow_id,
            $($fields)*
            pid = ::std::process::id(),
            ppid = ::std::os::unix::process::parent_id(),
            attempt = $event.attempt,
            child = $event.child,
            step = $event.step,
            seconds = $event.seconds,
            reason = $event.reason,
            "{}",
            $event.message
        )
    };
    ($event:expr $(, $($fields:tt)+)?) => {{
        let event: &$crate::JobEvent<'_> = $event;
        // The level is a constant of each call of `tracing`: one that is known at run time needs two calls.
        if event.is_warning {
            $crate::log_job_event!(@line warn, event, $($($fields)+,)?)
        } else {
            $crate::log_job_event!(@line info, event, $($($fields)+,)?)
        }
    }};
}

/// The log of one start of a job.
#[derive(Clone)]
pub(crate) struct JobLog {
    id: JobId,
    job: Arc<dyn Admitted>,
}

impl JobLog {
    pub(crate) fn new(id: JobId, job: Arc<dyn Admitted>) -> Self {
        Self { id, job }
    }

    pub(crate) fn id(&self) -> &JobId {
        &self.id
    }

    pub(crate) fn started(&self, attempt: u32) {
        self.write(JobEvent {
            message: "job started",
            attempt: Some(attempt),
            ..JobEvent::default()
        });
    }

    pub(crate) fn step_done(&self, step: &str, took: Duration) {
        self.write(JobEvent {
            message: "step done",
            step: Some(step),
            seconds: Some(took.as_secs_f64()),
            ..JobEvent::default()
        });
    }

    pub(crate) fn child_started(&self, child: u32) {
        self.write(JobEvent {
            message: "child started",
            child: Some(child),
            ..JobEvent::default()
        });
    }

    pub(crate) fn step_failed(&self, step: &str, failure: &Failure) {
        self.write(JobEvent {
            message: "step failed",
            is_warning: true,
            step: Some(step),
            reason: Some(&failure.message),
            ..JobEvent::default()
        });
    }

    /// Says that the host failed the job; what it lacks is said once for all jobs.
    pub(crate) fn given_back(&self, took: Duration) {
        self.write(JobEvent {
            message: "job given back",
            seconds: Some(took.as_secs_f64()),
            ..JobEvent::default()
        });
    }

    pub(crate) fn succeeded(&self, took: Duration) {
        self.write(JobEvent {
            message: "job succeeded",
            seconds: Some(took.as_secs_f64()),
            ..JobEvent::default()
        });
    }

    pub(crate) fn ended(&self, took: Duration, reason: &str) {
        self.write(JobEvent {
            message: "job ended without a value",
            is_warning: true,
            seconds: Some(took.as_secs_f64()),
            reason: Some(reason),
            ..JobEvent::default()
        });
    }

    fn write(&self, event: JobEvent<'_>) {
        self.job.log(&JobEvent {
            workflow_id: self.id.as_str(),
            ..event
        });
    }
}
