//! A fleet of real processes: how it starts, is steered, loses processes and ends.

mod chaos;
mod control;
mod deaths;
mod drain;
mod faults;
mod removal;
pub(crate) mod rig;
mod signals;
mod start;
