//! The workflows, one file each.
//!
//! A body decides and calls steps; it has no clock, no randomness and no I/O of its own.
//! Step names are constants and never change meaning; a change to their sequence changes
//! [`crate::APPLICATION_VERSION`].

mod fibonacci;

pub(crate) use fibonacci::{JobContext, fibonacci};
