//! The name and version under which answers are given.

/// The program that answers.
#[derive(Debug, Clone, Copy)]
pub struct Application {
    /// Its name, which the name of each metric begins with.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}
