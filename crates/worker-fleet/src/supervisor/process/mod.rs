//! The processes of a fleet, one by one: how each is started, watched, stopped, reaped and started again.
//!
//! # Layout
//!
//! | module | holds |
//! |---|---|
//! | `slot` | the place of a process, whichever fills it, and when the next one is started |
//! | `worker` | a worker's process: its reports, and what they say about it |
//! | `managed` | any child process: its last sign of life, what was asked of it, and when it must be killed |
//! | `end` | the end of a process, in words |
//! | `child` | a child of the operating system: start, signals, messages, end |
//! | `restarts` | the pause before the next start |

mod child;
mod end;
mod managed;
mod restarts;
mod slot;
mod worker;

pub use child::Program;
pub(crate) use child::{Child, ChildEvent};
pub(crate) use managed::ManagedProcess;
pub use restarts::Intensity;
pub(crate) use restarts::RunOutcome;
pub(crate) use slot::ProcessSlot;
pub use worker::WorkerTimes;
#[cfg(test)]
pub(super) use worker::tests as worker_tests;
pub(crate) use worker::{WorkerProcess, WorkerRecord};
