//! The settings of a run: where its database and its program are, and which forms it runs.

use std::path::PathBuf;

/// The seed of every run that is given no other.
pub const SEED: u64 = 7;

/// Everything that a run of an experiment needs.
pub struct Laboratory {
    /// A database in which schemas can be made.
    pub database_url: String,
    /// A program that takes a [`ChildRole`](crate::ChildRole) and acts.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Decides where the crashes are.
    pub seed: u64,
    /// The forms that are run as the right ones.
    pub forms: Forms,
}

/// Selects the forms that are run where an experiment runs the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// The right ones.
    AsWritten,
    /// The broken ones, which no verdict must survive.
    Swapped,
}
