//! Collecting garbage by hand.

use super::Client;
use crate::Error;
use crate::artifact::{ArtifactPlace, Artifacts};
use crate::gc::{GcOptions, GcReport, collect};

impl Client {
    /// Deletes, or only reports, jobs that ended long ago and the artifacts in `place` that no job refers to.
    ///
    /// Only artifacts of this database are looked at. Repeating it is harmless, and so is doing it twice at a time.
    ///
    /// # Errors
    /// [`Error::Artifacts`], [`Error::Unreachable`] or [`Error::Database`]; what was deleted before stays so.
    pub async fn collect_garbage(
        &self,
        place: &ArtifactPlace,
        options: GcOptions,
    ) -> Result<GcReport, Error> {
        let name = self.database.name().await?;
        Artifacts::check_is_there(place)?;
        let artifacts = Artifacts::open(place, &name)?;
        collect(&self.database, &artifacts, options).await
    }
}
