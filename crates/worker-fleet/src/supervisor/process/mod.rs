//! The processes of a fleet, one by one.

mod child;
mod end;
mod health;
mod restarts;
mod worker;

pub use child::Program;
pub(super) use child::{Child, News};
pub(super) use end::End;
pub use health::HealthChild;
pub use restarts::Intensity;
pub(super) use restarts::{Pause, Restarts, Run};
pub(super) use worker::Occupant;
#[cfg(test)]
pub(super) use worker::tests as worker_tests;
