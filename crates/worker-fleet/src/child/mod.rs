//! The other end: what the processes that a supervisor started do with their channel to it.

mod serving;
mod worker;

pub use serving::{ServingEnd, ServingProcess, SupervisorFeed};
pub use worker::{Predecessor, SupervisorLink};
