//! Values and states that are too large for a row: files of a directory, or objects of a bucket.
//!
//! An artifact is written as a file under an unfinished name, by the process that computes it, and put in its place by the
//! worker: renamed, or uploaded. Under its final name it is whole or it is not there, and whoever reads it compares its
//! BLAKE3 with the recorded one.
//! Those of one database are together under a name of that database, so that what nobody refers to can be told.
//!
//! A value is named by its hash, so a step that repeats ends in the same object. A state is named by its job and index.
//! A directory is this host's: a worker elsewhere that needs an artifact finds it missing and computes it again.
//!
//! The file is hashed while it is written, and its unfinished name says whose it is. So a computing process needs no network
//! and no credentials, and a dead one's file is known by its name; a file whose process cannot be seen from here is left
//! alone until nobody has changed it for an hour. The database's name is in `abaci.names`, so that two databases can share
//! a place; a copy of a database takes a name of its own.
//!
//! A file that cannot be written or read here is the host's fault and no job's, except one that is larger than any file may
//! be. A missing or changed artifact is computed again; a bucket that does not answer is asked again for a minute, three
//! times, and a finished file waits for it.
//!
//! It does not promise to remove an upload in parts that its worker did not live to finish: that stays in the bucket,
//! unseen, and a lifecycle rule for incomplete uploads removes it. A file that was written as
//! [`Durability::Cached`] is not flushed: after a loss of power its hash differs, and the artifact is computed again.

mod bucket;
mod file;
mod reading;
mod store;

use std::path::PathBuf;

pub use file::{ArtifactFile, Durability, Unfinished, Writer, Written};
pub use reading::{open, open_range, read, try_read};
pub use store::{Artifacts, Fetched};
pub(crate) use store::{Stored, may_have_writer};

use crate::Error;
use crate::record::Failure;

/// Where a worker keeps artifacts.
#[derive(Clone)]
pub struct ArtifactPlace {
    /// Where they are kept unless there is a bucket, and where they are written first in any case.
    pub directory: PathBuf,
    /// The bucket, as `s3://bucket` or `s3://bucket/prefix`.
    pub bucket: Option<String>,
    /// The access to the bucket.
    pub access: BucketAccess,
}

/// The access to buckets: names and values as the AWS tools know them from the environment, such as
/// `AWS_ACCESS_KEY_ID`, `AWS_REGION` or `AWS_ENDPOINT`. It holds secrets and is never printed.
#[derive(Clone, Default)]
pub struct BucketAccess(pub Vec<(String, String)>);

impl ArtifactPlace {
    /// A directory of this host.
    #[must_use]
    pub fn directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            bucket: None,
            access: BucketAccess::default(),
        }
    }
}

fn lost(uri: &str, reason: impl std::fmt::Display) -> Error {
    Error::ArtifactLost {
        uri: uri.to_owned(),
        reason: reason.to_string(),
    }
}

/// The failure of a file that cannot be read or written: the system says why, and no job is to blame, but for a file
/// that is larger than any may be here.
fn refused(place: impl std::fmt::Display, error: &std::io::Error) -> Error {
    if is_of_host(error) {
        return Error::Host {
            place: place.to_string(),
            reason: error.to_string(),
        };
    }
    failed(place, error)
}

/// Tests whether the host is to blame for what befell a file.
#[must_use]
pub fn is_of_host(error: &std::io::Error) -> bool {
    let code = error.raw_os_error();
    // Without a code it is not the system's, such as that of a computation which was stopped.
    code.is_some_and(|code| code != rustix::io::Errno::FBIG.raw_os_error())
}

/// The failure of a step that needs an artifact that could not be kept or had.
#[must_use]
pub fn failure_of(error: &Error) -> Failure {
    match error {
        Error::Host { .. } => Failure::of_host(error.to_string()),
        error => Failure::retryable("Artifact", error.to_string()),
    }
}

fn failed(place: impl std::fmt::Display, reason: impl std::fmt::Display) -> Error {
    Error::Artifacts {
        place: place.to_string(),
        reason: reason.to_string(),
    }
}
