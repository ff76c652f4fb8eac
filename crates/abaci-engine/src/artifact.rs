//! Values that are too large for a row, kept as files named by their hash.
//!
//! A file is written under another name, flushed and renamed: under its final name it is whole or it is not there.
//! Writing the same value twice ends in the same file, so a step that repeats is harmless.
//! The directory is this host's: a worker elsewhere that needs the value finds it missing and computes it again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::record::ArtifactRecord;

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

    /// Stores `digits`; returns where, with hash and size. Repeating it is harmless.
    pub(crate) fn write(&self, digits: &str) -> Result<ArtifactRecord, Error> {
        let blake3 = blake3::hash(digits.as_bytes()).to_hex().to_string();
        let path = self.directory.join(format!("{blake3}.txt"));
        self.write_whole(&path, digits.as_bytes())
            .map_err(|error| failed(&self.directory, &error.to_string()))?;
        let path = fs::canonicalize(&path).map_err(|error| failed(&path, &error.to_string()))?;
        Ok(ArtifactRecord {
            uri: format!("file://{}", path.display()),
            blake3,
            bytes: digits.len() as u64,
        })
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let unfinished = self.directory.join(format!(".{}.part", uuid::Uuid::now_v7()));
        let written = write_flushed(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // Best effort: the error that matters is the one returned.
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        // The rename itself is durable once the directory is.
        fs::File::open(&self.directory)?.sync_all()
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

fn write_flushed(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn failed(path: &Path, reason: &str) -> Error {
    Error::Artifacts {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}
