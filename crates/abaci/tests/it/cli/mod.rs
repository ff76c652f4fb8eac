//! The command line: settings, help, refusals, tables, colours.

mod configuration;
pub(crate) mod demo;
mod help;
mod hostile;
mod long_lists;
mod managing;
mod other_programs;
mod refusals;
mod servers;
mod status;
mod status_wait;
mod streams;
pub(crate) mod terminal;
