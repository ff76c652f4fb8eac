//! Values that are too large for a row, kept as files named by their hash.
//!
//! A file is written under another name, flushed and renamed: under its final name it is whole or it is not there.
//! Writing the same value twice ends in the same file, so a step that repeats is harmless.
//! The directory is this host's: a worker elsewhere that needs the value finds it missing and computes it again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use fibonacci::{Observer, Progress};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::presence::is_alive;
use crate::record::{ArtifactRecord, Failure};

/// How much is written between two looks at whether anybody still wants it.
const PIECE_BYTES: usize = 1 << 20;

/// What is said of the progress while a value is written.
const ALL_COMPUTED: Progress = Progress { done: 1, total: 1 };

/// A directory of artifacts.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    directory: PathBuf,
}

impl Artifacts {
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// A place for a value that is not there yet, under a name of its own.
    pub(crate) fn unfinished(&self) -> Unfinished {
        Unfinished {
            directory: self.directory.clone(),
            name: format!(".{}.{}.part", std::process::id(), uuid::Uuid::now_v7()),
        }
    }

    /// Removes what workers of this host that are dead left unfinished.
    ///
    /// A worker elsewhere that shares the directory may lose a file that it is writing; it then computes it again.
    pub(crate) fn sweep(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for entry in entries {
            if entry
                .file_name()
                .to_str()
                .and_then(writer_of)
                .is_some_and(|pid| !is_alive(pid))
            {
                // Best effort: it is in nobody's way.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The process that chose the name of an unfinished file.
fn writer_of(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix('.')?.strip_suffix(".part")?.split_once('.')?;
    pid.parse().ok()
}

/// A file on its way to becoming an artifact: whoever chose its name can remove what another process left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    directory: PathBuf,
    name: String,
}

impl Unfinished {
    /// Stores `digits`; returns where, with hash and size. Repeating it is harmless.
    ///
    /// # Errors
    /// A retryable failure with what the file system said, or when `observe` said stop; no file is left behind then.
    pub(crate) fn store(&self, digits: &str, observe: &Observer<'_>) -> Result<ArtifactRecord, Failure> {
        let blake3 = blake3::hash(digits.as_bytes()).to_hex().to_string();
        let path = self.directory.join(format!("{blake3}.txt"));
        let path = self
            .write_whole(&path, digits.as_bytes(), observe)
            .and_then(|()| fs::canonicalize(&path))
            .map_err(|error| {
                Failure::retryable(
                    "Artifact",
                    failed(&self.directory, &error.to_string()).to_string(),
                )
            })?;
        Ok(ArtifactRecord {
            uri: format!("file://{}", path.display()),
            blake3,
            bytes: digits.len() as u64,
        })
    }

    /// Removes what is there under the unfinished name, if anything is.
    pub(crate) fn remove(&self) {
        // Best effort: a file that cannot be removed could not be renamed either, and nobody reads it.
        let _ = fs::remove_file(self.path());
    }

    fn write_whole(&self, path: &Path, bytes: &[u8], observe: &Observer<'_>) -> std::io::Result<()> {
        let written = self
            .write_flushed(bytes, observe)
            .and_then(|()| fs::rename(self.path(), path));
        if written.is_err() {
            self.remove();
        }
        written?;
        // The rename itself is durable once the directory is.
        fs::File::open(&self.directory)?.sync_all()
    }

    fn write_flushed(&self, bytes: &[u8], observe: &Observer<'_>) -> std::io::Result<()> {
        let mut file = fs::File::create_new(self.path())?;
        for piece in bytes.chunks(PIECE_BYTES) {
            file.write_all(piece)?;
            if observe(ALL_COMPUTED).is_break() {
                return Err(std::io::Error::other("the computation was stopped"));
            }
        }
        file.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

/// Reads the digits of an artifact and checks them against its hash.
///
/// # Errors
/// [`Error::Artifacts`] when it is missing, unreadable or not what was stored.
pub fn read(record: &ArtifactRecord) -> Result<String, Error> {
    let path = record
        .uri
        .strip_prefix("file://")
        .ok_or_else(|| failed(Path::new(&record.uri), "not a file URL"))?;
    let path = Path::new(path);
    let bytes = fs::read(path).map_err(|error| failed(path, &error.to_string()))?;
    if blake3::hash(&bytes).to_hex().as_str() != record.blake3 {
        return Err(failed(
            path,
            "its BLAKE3 is not the recorded one; the file was changed",
        ));
    }
    String::from_utf8(bytes).map_err(|_| failed(path, "not decimal digits"))
}

/// Whether values can be stored in `directory`; makes it where it is missing.
///
/// # Errors
/// [`Error::Artifacts`] with what the file system said.
pub fn check_directory(directory: &Path) -> Result<(), Error> {
    let probe = directory.join(format!(".{}.part", uuid::Uuid::now_v7()));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&probe, b""))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| failed(directory, &error.to_string()))
}

fn failed(path: &Path, reason: &str) -> Error {
    Error::Artifacts {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::ControlFlow;

    use abaci_testkit::TempDir;

    use super::*;

    fn files(directory: &TempDir) -> usize {
        fs::read_dir(directory.path()).unwrap().count()
    }

    #[test]
    fn a_value_that_nobody_wants_any_more_leaves_no_file() {
        let directory = TempDir::new();
        let place = Artifacts::new(directory.path()).unfinished();
        let pieces = Cell::new(0);
        let observe = |_| {
            pieces.set(pieces.get() + 1);
            assert_eq!(files(&directory), 1, "nothing is being written");
            if pieces.get() == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        place.store(&"7".repeat(5 * PIECE_BYTES), &observe).unwrap_err();
        assert_eq!((pieces.get(), files(&directory)), (2, 0));
    }

    #[test]
    fn what_a_dead_worker_left_unfinished_is_swept_away_and_nothing_else() {
        let directory = TempDir::new();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let kept = [
            format!(".{}.a.part", std::process::id()),
            ".a.part".into(),
            "b.txt".into(),
        ];
        for name in kept.iter().chain([&format!(".{}.a.part", dead.id())]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        Artifacts::new(directory.path()).sweep();
        assert_eq!(files(&directory), kept.len());
        assert!(kept.iter().all(|name| directory.path().join(name).exists()));
    }

    #[test]
    fn a_value_is_stored_once_however_often_it_is_written() {
        let directory = TempDir::new();
        let artifacts = Artifacts::new(directory.path());
        let store = || {
            artifacts
                .unfinished()
                .store("377", &fibonacci::unobserved)
                .unwrap()
        };
        let record = store();
        assert_eq!((store(), files(&directory)), (record.clone(), 1));
        assert_eq!(read(&record).unwrap(), "377");
    }
}
