//! Collecting what nobody needs any more: jobs that ended long ago, and artifacts that no job refers to.
//!
//! The artifacts are listed first, then the references are read, in one statement and so at one moment; what was listed, is
//! old enough and is not referred to is removed. In the other order an artifact that was written and recorded between the
//! two would be listed, and its reference would not be known.
//! A value that was written again after it was listed is newer than the list says, and stays. Between this last look and
//! the removal are moments; an artifact that is written again just then is missing when the next step reads it, which
//! computes it again.
//!
//! A job that succeeded refers to its value alone. Any other job, also one that was parked, failed or was cancelled, refers
//! to all that its steps recorded, since it may go on from there.
//! References are compared by names and not by whole addresses: a directory may have another path tomorrow, or in another
//! container. So a copy that was left in a former place stays for as long as the job.
//!
//! Nothing that is needed is lost, for these reasons:
//!
//! - An artifact that was recorded after the references were read was written after the list, or was on the list and has
//!   been written again; then it is newer than the list says.
//! - One that is written and not recorded yet is young, and stays while it is younger than an hour; after an outage a worker
//!   records what it holds within a minute or two.
//! - Where clocks differ by more than that hour, a value or a state may go that is recorded right after; the step that reads
//!   it finds it missing and computes it again, as it does with one of another host.
//! - A copy of a database, whose oid is another one, takes a name of its own: the later artifacts of the original are no
//!   garbage of the copy.
//! - Only `<64 hexadecimal digits>.txt`, `<32 hexadecimal digits>-<number>.state` and `….part` are looked at, in this
//!   database's own directory or prefix.
//!
//! Jobs are deleted only where somebody asked for it, parked ones included, and never one that waits or runs.
//! Of the workers with one place of artifacts one collects at a time, by an advisory lock, which only saves work.
//!
//! It does not promise that what is left unfinished is removed while a process of this host has the id of its writer, nor
//! anything of other directories than this one: what another host keeps, that host collects.

mod rows;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::Error;
use crate::artifact::{Artifacts, Stored, may_have_writer};
use crate::database::Database;

/// A step that has written an artifact records it within moments, or within a minute or two after an outage.
const USUAL_MIN_AGE: Duration = Duration::from_hours(1);

/// So many removals are under way at once; a bucket takes tens of milliseconds for each.
const REMOVALS: usize = 8;

/// The options of a collection.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// Jobs that ended longer ago are deleted with all that is recorded of them; absent for none.
    pub keep_jobs: Option<Duration>,
    /// Artifacts that were written more recently stay: a running step may not have recorded them yet.
    ///
    /// Ages are differences between this machine's clock and that of the directory or bucket.
    pub min_age: Duration,
    /// Deletes, or only reports.
    pub mode: GcMode,
}

/// Says if garbage is deleted or only reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcMode {
    /// It is reported.
    Report,
    /// It is deleted and reported.
    Delete,
}

/// The objects that were deleted, or would have been.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// The number of jobs.
    pub jobs: u64,
    /// Which artifacts, ordered by their names.
    pub artifacts: Vec<Collected>,
    /// The sizes of these artifacts together.
    pub bytes: u64,
}

/// An artifact that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Where it is, or was.
    pub uri: String,
    /// Its size.
    pub bytes: u64,
}

impl GcOptions {
    /// No jobs, and artifacts from the age of one hour on.
    #[must_use]
    pub fn new(mode: GcMode) -> Self {
        Self {
            keep_jobs: None,
            min_age: USUAL_MIN_AGE,
            mode,
        }
    }
}

/// Collects once; what an error or an abort leaves undone the next collection does.
pub(crate) async fn collect(
    database: &Database,
    artifacts: &Artifacts,
    options: GcOptions,
) -> Result<GcReport, Error> {
    let ended_before = match options.keep_jobs {
        Some(keep) => Some(rows::moment_before(database, keep).await?),
        None => None,
    };
    let jobs = match (options.mode, ended_before) {
        (_, None) => 0,
        (GcMode::Report, Some(moment)) => rows::count_jobs(database, moment).await?,
        (GcMode::Delete, Some(moment)) => rows::delete_jobs(database, moment).await?,
    };
    if options.mode == GcMode::Delete {
        rows::delete_leftovers(database).await?;
    }
    // What was to be deleted and is there still, such as a job that is being resumed, keeps its artifacts.
    let ignored = ended_before.filter(|_| options.mode == GcMode::Report);
    let garbage = garbage(database, artifacts, options.min_age, ignored).await?;
    let removed = match options.mode {
        GcMode::Report => garbage,
        GcMode::Delete => remove(artifacts, garbage).await?,
    };
    let collected = removed.into_iter().map(|stored| {
        Ok(Collected {
            uri: artifacts.uri(&stored.name)?,
            bytes: stored.bytes,
        })
    });
    let collected = collected.collect::<Result<Vec<_>, Error>>()?;
    Ok(GcReport {
        jobs,
        bytes: collected.iter().map(|artifact| artifact.bytes).sum(),
        artifacts: collected,
    })
}

/// The artifacts that are old enough and that no job refers to, but for jobs that ended before `ignored`.
async fn garbage(
    database: &Database,
    artifacts: &Artifacts,
    min_age: Duration,
    ignored: Option<i64>,
) -> Result<Vec<Stored>, Error> {
    let now = SystemTime::now();
    let is_old = |stored: &Stored| {
        // A file that is dated in the future has no age, and stays.
        let age = now.duration_since(stored.modified);
        age.is_ok_and(|age| age >= min_age)
    };
    let stored = artifacts.list().await?.into_iter();
    let has_writer = |stored: &Stored| may_have_writer(&stored.name, stored.modified);
    let old = stored.filter(|stored| is_ours(&stored.name) && !has_writer(stored) && is_old(stored));
    let mut garbage: BTreeMap<String, Stored> = old.map(|stored| (stored.name.clone(), stored)).collect();
    // Reading the references takes seconds for a million jobs.
    if !garbage.is_empty() {
        rows::each_reference(database, ignored, |name| {
            garbage.remove(name);
        })
        .await?;
    }
    Ok(garbage.into_values().collect())
}

/// Removes what is still as it was listed, and returns what was removed, in its order.
async fn remove(artifacts: &Artifacts, garbage: Vec<Stored>) -> Result<Vec<Stored>, Error> {
    let removals = futures_util::stream::iter(garbage).map(async |stored| {
        let is_gone = artifacts.remove_listed(&stored).await?;
        Ok::<_, Error>(is_gone.then_some(stored))
    });
    // `buffered` and not `buffer_unordered`, since the report is in the order of the names.
    let removed: Vec<Option<Stored>> = removals.buffered(REMOVALS).try_collect().await?;
    Ok(removed.into_iter().flatten().collect())
}

/// Tests whether workers give such names; whatever else lies there is not ours.
fn is_ours(name: &str) -> bool {
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Values are `<hash>.txt`, states `<hash of the job>-<index>.state`, unfinished files `….part`; what has another name is
    // never collected.
    match name.rsplit_once('.') {
        Some((stem, "txt")) => is_hex(stem, 64),
        Some((stem, "state")) => stem
            .split_once('-')
            .is_some_and(|(job, k)| is_hex(job, 32) && is_number(k)),
        Some((_, "part")) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_what_workers_write_is_ever_garbage() {
        let hash = "0123456789abcdef".repeat(4);
        for name in [
            format!("{hash}.txt"),
            format!("{}-500000000.state", &hash[..32]),
            ".17.019f.part".to_owned(),
            "019f.part".to_owned(),
        ] {
            assert!(is_ours(&name), "{name}");
        }
        for name in [
            "README.txt".to_owned(),
            format!("{hash}.txt.bak"),
            format!("{hash}0.txt"),
            format!("{}-.state", &hash[..32]),
            format!("{}.state", &hash[..32]),
            hash,
        ] {
            assert!(!is_ours(&name), "{name}");
        }
    }
}
