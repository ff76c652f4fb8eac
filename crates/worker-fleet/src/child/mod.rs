//! The other end: what the processes that a supervisor started do with their channel to it.

mod health;
mod worker;

pub use health::{HealthProcess, HealthProcessEnd};
pub use worker::{Predecessor, SupervisorLink};
