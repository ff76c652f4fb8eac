//! The place that a fleet has on its machine: one per data directory, held by a lock, with a socket for requests.
//!
//! The lock is the kernel's and goes with the process, so a fleet that was killed is in nobody's way.
//! The directory is closed to other accounts before the socket is in it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

use crate::exit::Failed;

/// The longest path that a Unix socket may have, without the final zero; the smaller of Linux's and macOS's.
pub(super) const LONGEST_SOCKET_PATH: usize = 103;

/// A fleet's place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _lock: File,
    socket: PathBuf,
    pub(super) listener: UnixListener,
}

/// The socket of the fleet whose directory this is.
pub(crate) fn socket_in(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

impl Seat {
    /// Takes the place, or says who has it.
    ///
    /// # Errors
    /// A usage error when another fleet has it, or the directory cannot be used.
    pub(crate) fn take(directory: &Path) -> anyhow::Result<Self> {
        let socket = socket_in(directory);
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            let message = format!(
                "{} is too long for a socket, {LONGEST_SOCKET_PATH} bytes at most; choose a shorter --data-dir",
                socket.display()
            );
            return Err(Failed::usage(message).into());
        }
        let unusable = |error: io::Error| {
            let message = format!(
                "cannot use {}: {error}; choose another --data-dir",
                directory.display()
            );
            Failed::usage(message)
        };
        make_private(directory).map_err(unusable)?;
        let lock = lock(directory).map_err(unusable)?;
        let Some(lock) = lock else {
            return Err(taken(directory).into());
        };
        // Whoever had the place is gone, or we would not have the lock.
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error).into()),
            _ => {}
        }
        let listener = UnixListener::bind(&socket).map_err(unusable)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(unusable)?;
        Ok(Self {
            _lock: lock,
            socket,
            listener,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Before the lock goes, so that it is never a successor's.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Makes the directory, or makes sure that the one that is there is ours alone: a link to somewhere else is not.
fn make_private(directory: &Path) -> io::Result<()> {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it is no directory of this account"));
    }
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

/// Takes the lock and writes our process id into its file; nothing when somebody has it.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    // The file is never removed, or two processes could lock "the same" one.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_file(directory))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    file.set_len(0)?;
    file.write_all(std::process::id().to_string().as_bytes())?;
    Ok(Some(file))
}

fn lock_file(directory: &Path) -> PathBuf {
    directory.join("fleet.lock")
}

fn taken(directory: &Path) -> Failed {
    let mut pid = String::new();
    let read = File::open(lock_file(directory)).and_then(|mut file| file.read_to_string(&mut pid));
    let who = match read {
        Ok(_) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Failed::usage(format!(
        "a fleet runs already in {}, {who}; change it with: abaci fleet scale, or give this one another --data-dir",
        directory.display()
    ))
}

/// Where the fleet of a data directory has its place.
pub(crate) fn directory_in(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let data_dir = std::path::absolute(data_dir).context("finding the data directory")?;
    Ok(data_dir.join("fleet"))
}
