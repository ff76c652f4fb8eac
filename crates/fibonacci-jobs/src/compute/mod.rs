//! The computation of a worker or its computing process: the digits of F(n), and states on the way to them.

mod digits;
mod state;

pub(crate) use digits::FibonacciTask;
pub(crate) use digits::{DecimalValue, Done, StateFile, Stop, UNREADABLE, computing};
