//! `flock` on files of the data directory.
//!
//! The kernel releases such a lock when its holder ends, however it ends: this is the whole liveness protocol. The
//! descriptors are close-on-exec, so a child does not keep its parent's lock. Release is an explicit unlock, since a
//! child between `fork` and `exec` holds a copy of the descriptor for a moment, and a mere close would wait for it.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Device and inode, which stay a file's own whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> FileId {
        FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A held lock; released on drop.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the shared lock unless somebody holds the exclusive one.
    pub(crate) fn try_shared(path: &Path) -> Result<Option<Lock>, Error> {
        Self::taken(path, File::try_lock_shared)
    }

    /// Takes the exclusive lock unless somebody holds any.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Lock>, Error> {
        Self::taken(path, File::try_lock)
    }

    fn taken(path: &Path, take: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Lock>, Error> {
        // `flock` belongs to an open file, not to a process: each lock needs a file opened for it alone.
        let file = open(path)?;
        match take(&file) {
            Ok(()) => Ok(Some(Lock {
                file,
                path: path.to_path_buf(),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::at(path)(source)),
        }
    }

    /// Returns which file is locked.
    pub(crate) fn file_id(&self) -> Result<FileId, Error> {
        id_of(&self.file, &self.path)
    }

    /// Writes the holder's pid into the file, for people and for a forced stop.
    pub(crate) fn write_pid(&mut self) -> Result<(), Error> {
        let text = format!("{}\n", std::process::id());
        let written = self.file.set_len(0).and_then(|()| self.file.rewind());
        written
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(Error::at(&self.path))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file, which follows, releases it too: nothing to do about a failure here.
        let _ = self.file.unlock();
    }
}

/// A lock file that is looked at and not locked; it can be looked at when it has no name any more.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    pub(crate) fn open(path: &Path) -> Result<LockFile, Error> {
        Ok(LockFile {
            file: open(path)?,
            path: path.to_path_buf(),
        })
    }

    pub(crate) fn file_id(&self) -> Result<FileId, Error> {
        id_of(&self.file, &self.path)
    }

    /// Says whether nobody holds the lock, by holding it for a moment.
    pub(crate) fn is_free(&self) -> Result<bool, Error> {
        match self.file.try_lock() {
            Ok(()) => self.file.unlock().map(|()| true).map_err(Error::at(&self.path)),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(Error::at(&self.path)(source)),
        }
    }
}

fn id_of(file: &File, path: &Path) -> Result<FileId, Error> {
    let metadata = file.metadata().map_err(Error::at(path))?;
    Ok(FileId::of(&metadata))
}

/// Returns the pid in a lock file; it means something only while the lock is held.
pub(crate) fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        // The file may have the pid of a holder, which must stay.
        .truncate(false)
        .mode(0o600);
    options.open(path).map_err(Error::at(path))
}
