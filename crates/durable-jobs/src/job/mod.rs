//! One job while it runs: its log, how far it is, and what it has cost in processes.

mod crash_count;
mod log;
mod progress;

pub(crate) use crash_count::{Deaths, Toll};
pub(crate) use log::JobLog;
pub(crate) use progress::{Activity, Gauge, Meter, StepGuard};
