//! The role of a process that an experiment started.

use anyhow::Context;

use crate::actor::Actor;
use crate::catalog::find;

/// A role in an experiment, as it was given to this process.
pub struct ChildRole(Actor);

impl ChildRole {
    /// Takes the role that is on standard input; the process ends when standard input does.
    ///
    /// # Errors
    /// When there is none.
    pub fn take() -> anyhow::Result<Self> {
        Actor::from_stdin().map(Self)
    }

    /// Acts: all that the process does, unless it dies of it.
    ///
    /// # Errors
    /// When the actor of the experiment failed; a crash does not come back.
    pub async fn act(self) -> anyhow::Result<()> {
        let experiment = find(self.0.experiment()).context("no such experiment")?;
        (experiment.act)(self.0).await
    }
}
