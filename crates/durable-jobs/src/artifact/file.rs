//! A file on its way to becoming an artifact.
//!
//! It is written under an unfinished name, which says whose it is; whoever chose the name can remove what another process
//! left of it. The BLAKE3 of what was written is computed on the way.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::presence::{ProcessMark, Sight, seen};

/// The bytes that are written between two looks at whether anybody still wants it.
const PIECE_BYTES: usize = 1 << 20;

/// A name that nobody else writes to, in the directory of the artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    directory: PathBuf,
    name: String,
}

/// Removes an unfinished file when it is dropped, unless it has another name by then.
pub struct ArtifactFile(pub Unfinished);

/// The content of an unfinished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// BLAKE3 of the bytes, in hexadecimal.
    pub blake3: String,
    /// Their number.
    pub bytes: u64,
}

/// The need of a file to outlast a loss of power as soon as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Flushed,
    /// It is checked before it is used, and can be made again.
    Cached,
}

/// Writes to a file, hashes what is written, and says how much it is to somebody who may stop it.
pub struct Writer<'a> {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
    observe: &'a dyn Fn(u64) -> ControlFlow<()>,
}

impl Unfinished {
    /// Chooses a name in this directory that nobody else writes to.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            name: format!(".{}.{}.part", writer(ProcessMark::own()), uuid::Uuid::now_v7()),
        }
    }

    /// Where it is written.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file under its unfinished name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Writes the file; `observe` is told how many bytes there are, about once in a megabyte.
    ///
    /// # Errors
    /// What the file system said, or when `observe` said stop; no file is left behind then.
    pub fn write(
        &self,
        durability: Durability,
        observe: &dyn Fn(u64) -> ControlFlow<()>,
        fill: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
    ) -> io::Result<Written> {
        let written = self.try_write(durability, observe, fill);
        if written.is_err() {
            self.remove();
        }
        written
    }

    fn try_write(
        &self,
        durability: Durability,
        observe: &dyn Fn(u64) -> ControlFlow<()>,
        fill: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
    ) -> io::Result<Written> {
        let mut writer = Writer {
            // The name belongs to one writer: a file that is there already is not overwritten.
            file: File::create_new(self.path())?,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            observe,
        };
        fill(&mut writer)?;
        // Before it gets its final name, under which a file is whole also after a loss of power.
        if durability == Durability::Flushed {
            writer.file.sync_all()?;
        }
        Ok(Written {
            blake3: writer.hasher.finalize().to_hex().to_string(),
            bytes: writer.bytes,
        })
    }

    /// Gives the file of so many bytes its final name in `directory`, durably; also where an earlier try did, and then failed.
    pub(super) fn put_in_place(&self, directory: &Path, name: &str, bytes: u64) -> io::Result<()> {
        let place = directory.join(name);
        // Not just any file: another one of that name would be recorded with the hash of this one.
        let is_there = || place.metadata().is_ok_and(|found| found.len() == bytes);
        match File::open(self.path()) {
            Ok(file) => {
                // It may have waited for an outage to end; what is in its place is young from now on.
                file.set_modified(SystemTime::now())?;
                std::fs::rename(self.path(), place)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_there() => {}
            Err(error) => return Err(error),
        }
        // The rename itself is durable once the directory is.
        File::open(directory)?.sync_all()
    }

    /// Removes what is there under the unfinished name, if anything is.
    pub fn remove(&self) {
        // Best effort: a file that cannot be removed could not be renamed either, and nobody reads it.
        let _ = std::fs::remove_file(self.path());
    }
}

impl Drop for ArtifactFile {
    fn drop(&mut self) {
        self.0.remove();
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        let count = self.file.write(piece)?;
        self.hasher.update(&piece[..count]);
        self.bytes += count as u64;
        if (self.observe)(self.bytes).is_break() {
            return Err(io::Error::other("the computation was stopped"));
        }
        Ok(count)
    }

    // Nothing is held back here that would have to be passed on.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time that a file whose writer cannot be seen is left alone after its last change.
pub(super) const UNSEEN_FOR: Duration = Duration::from_hours(1);

/// Says what can be seen of the process that chose the name of an unfinished file; nothing for a name of another kind.
pub(crate) fn writer_of(name: &str) -> Option<Sight> {
    let (writer, _) = name.strip_prefix('.')?.strip_suffix(".part")?.split_once('.')?;
    let mut parts = writer.split('-');
    let pid = parts.next()?.parse().ok()?;
    // Names of older programs have a number alone, which other processes have in other containers.
    let (Some(space), Some(started)) = (parts.next(), parts.next()) else {
        return Some(Sight::Unknown);
    };
    let started = started.parse().ok()?;
    let is_here = ProcessMark::own().is_some_and(|own| hash_of(&own.space) == space);
    Some(if is_here {
        seen(pid, started)
    } else {
        Sight::Unknown
    })
}

/// A process as a part of a file's name: its number, where that means something, and its start.
pub(super) fn writer(mark: Option<&ProcessMark>) -> String {
    match mark {
        Some(mark) => format!("{}-{}-{}", mark.pid, hash_of(&mark.space), mark.started),
        None => std::process::id().to_string(),
    }
}

fn hash_of(space: &str) -> String {
    blake3::hash(space.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use testkit::TempDir;

    use super::*;

    #[test]
    fn what_nobody_wants_any_more_leaves_no_file() {
        let directory = TempDir::new();
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        let pieces = Cell::new(0);
        let observe = |bytes| {
            pieces.set(pieces.get() + 1);
            assert_eq!((files(), bytes), (1, pieces.get() * PIECE_BYTES as u64));
            if pieces.get() == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let text = "7".repeat(5 * PIECE_BYTES);
        Unfinished::new(directory.path())
            .write(Durability::Flushed, &observe, |file| {
                file.write_all(text.as_bytes())
            })
            .unwrap_err();
        assert_eq!((pieces.get(), files()), (2, 0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_writer_is_seen_only_where_its_number_means_something() {
        let directory = TempDir::new();
        let name = Unfinished::new(directory.path()).name;
        assert_eq!(writer_of(&name), Some(Sight::Living));
        let (pid, rest) = name.split_once('-').unwrap();
        let of_nobody = format!(".{}-{rest}", i32::MAX);
        assert_eq!(writer_of(&of_nobody), Some(Sight::Gone));
        let (space, rest) = rest.split_once('-').unwrap();
        let (started, id) = rest.split_once('.').unwrap();
        let later = started.parse::<u64>().unwrap() + 1;
        let of_another = format!("{pid}-{space}-{later}.{id}");
        assert_eq!(
            writer_of(&of_another),
            Some(Sight::Gone),
            "another process has the number"
        );
        let elsewhere = format!(".{}-{}-{rest}", i32::MAX, hash_of("elsewhere"));
        assert_eq!(writer_of(&elsewhere), Some(Sight::Unknown));
        assert_eq!(writer_of(&format!(".{}.{id}", i32::MAX)), Some(Sight::Unknown));
        assert_eq!(writer_of(&"0".repeat(64)), None);
    }

    #[test]
    fn what_was_written_is_known_by_its_hash() {
        let directory = TempDir::new();
        let place = Unfinished::new(directory.path());
        let written = place
            .write(Durability::Cached, &|_| ControlFlow::Continue(()), |file| {
                file.write_all(b"3")?;
                file.write_all(b"77")
            })
            .unwrap();
        assert_eq!(std::fs::read(place.path()).unwrap(), b"377");
        assert_eq!(written.blake3, blake3::hash(b"377").to_hex().as_str());
        assert_eq!(written.bytes, 3);
    }
}
