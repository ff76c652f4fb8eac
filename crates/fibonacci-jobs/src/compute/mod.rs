//! The computation of a worker or its computing process: the digits of F(n), and states on the way to them.

mod digits;
mod state;

pub(crate) use digits::Task;
pub(crate) use digits::{Answer, Done, StateFile, Stop, UNREADABLE, computing};
