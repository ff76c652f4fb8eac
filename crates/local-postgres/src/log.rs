//! The server's log: one file for what the keeper and the server say, so that a failure reads as one story.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;

/// A log above this size moves to `server.log.old` when a keeper starts.
const ROTATE_ABOVE_BYTES: u64 = 4 * 1024 * 1024;

/// The most of the log that an error carries.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 12;

/// Opens the log for appending, as standard output of a child for example.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::at(path))
}

/// Moves a log that has grown large aside; the caller is the only one who starts a keeper.
pub(crate) fn rotate(path: &Path) -> Result<(), Error> {
    if size(path) <= ROTATE_ABOVE_BYTES {
        return Ok(());
    }
    fs::rename(path, path.with_extension("log.old")).map_err(Error::at(path))
}

/// Returns the size in bytes, 0 for a log that is not there.
pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Returns the last lines that were written after the log had `since` bytes.
pub(crate) fn tail(path: &Path, since: u64) -> String {
    let Ok(text) = read_from(path, since.max(size(path).saturating_sub(TAIL_BYTES))) else {
        return String::from("(the log cannot be read)");
    };
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return String::from("(nothing was logged)");
    }
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Returns what was written after the log had `since` bytes.
pub(crate) fn read_from(path: &Path, since: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(since))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
