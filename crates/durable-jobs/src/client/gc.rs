//! Collecting garbage by hand.

use std::collections::HashSet;

use super::Client;
use crate::Reply;
use crate::artifact::{ArtifactPlace, Artifacts};
use crate::database::workflow_rows::DELETE_ENDED;
use crate::gc::{GcOptions, GcReport, collect};
use crate::record::{APPLICATION, JobId};

/// A job may have ten thousand steps, so that a statement deletes up to a million of them.
const DELETED_AT_ONCE: usize = 100;

impl Client {
    /// Deletes those of the jobs that have ended, whatever their type, and returns them; what was deleted before an error
    /// stays so. The artifacts that they referred to are garbage then.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn delete_all<'a>(&'a self, jobs: &'a [JobId]) -> Reply<'a, HashSet<JobId>> {
        Box::pin(async move {
            let mut deleted = HashSet::new();
            for some in jobs.chunks(DELETED_AT_ONCE) {
                let ids: Vec<&str> = some.iter().map(JobId::as_str).collect();
                let gone = sqlx::query_as(DELETE_ENDED)
                    .bind(ids)
                    .bind(APPLICATION)
                    .fetch_one(&self.database.pool);
                let gone = self.database.bounded("deleting jobs", self.timeout, gone);
                let (gone, _): (Vec<String>, Option<String>) = gone.await?;
                deleted.extend(gone.into_iter().map(JobId::new));
            }
            Ok(deleted)
        })
    }

    /// Deletes, or only reports, jobs that ended long ago and the artifacts in `place` that no job refers to.
    ///
    /// Only artifacts of this database are looked at. Repeating it is harmless, and so is doing it twice at a time.
    ///
    /// # Errors
    /// [`Error::Artifacts`](crate::Error::Artifacts), [`Error::Unreachable`](crate::Error::Unreachable) or
    /// [`Error::Database`](crate::Error::Database); what was deleted before stays so.
    pub fn collect_garbage<'a>(
        &'a self,
        place: &'a ArtifactPlace,
        options: GcOptions,
    ) -> Reply<'a, GcReport> {
        Box::pin(async move {
            let name = self.database.name().await?;
            // Before the next line, which would make the directory.
            Artifacts::check_is_there(place)?;
            let artifacts = Artifacts::open(place, &name)?;
            collect(&self.database, &artifacts, options).await
        })
    }
}
