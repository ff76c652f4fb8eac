//! Jobs: their types, and what one start of a job can use while it runs.

mod context;
mod crash_count;
mod event;
mod job_type;

pub(crate) use context::Ends;
pub use context::{JobContext, StepOptions};
pub(crate) use crash_count::{CrashCount, CrashCounter};
pub use event::JobEvent;
pub(crate) use event::JobLog;
pub(crate) use job_type::Admitted;
pub use job_type::{JobType, JobTypes};
