//! The lock of a fleet on its directory, with the socket for requests beside it.
//!
//! The lock is the kernel's and goes with the process, so a fleet that was killed is in nobody's way.
//! The directory is closed to other accounts before the socket is in it.
//!
//! A file that is removed under a living fleet is made again. A fleet without its lock file is still found by its
//! socket, and one without its socket by its lock, so no second fleet starts and nobody believes that there is none.
//! Only while both are missing, for half a second, can another fleet start there. It keeps the directory then; on the
//! same database its workers are refused, since their executor ids are in use.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::Error;

/// The longest path that a Unix socket may have, without the final zero; the smaller of Linux's and macOS's.
pub(super) const LONGEST_SOCKET_PATH: usize = 103;

/// The time for which a lock or a socket is looked at before it is believed.
const LOOK: Duration = Duration::from_millis(200);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// The hold of a fleet on its directory, released when this is dropped.
#[derive(Debug)]
pub struct FleetLock {
    directory: PathBuf,
    lock: File,
    socket: InodeId,
    pub(super) listener: UnixListener,
}

/// Device and inode, which stay a file's own whatever its name.
type InodeId = (u64, u64);

/// Returns the socket of the fleet in this directory.
pub(crate) fn socket_in(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

impl FleetLock {
    /// Locks the directory and opens the socket, or reports who holds it.
    ///
    /// # Errors
    /// [`Error::Running`], [`Error::SocketPath`] or [`Error::Directory`].
    pub async fn take(directory: &Path) -> Result<Self, Error> {
        let socket = socket_in(directory);
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            let longest = LONGEST_SOCKET_PATH;
            return Err(Error::SocketPath { socket, longest });
        }
        let unusable = |source| Error::Directory {
            directory: directory.to_path_buf(),
            source,
        };
        make_private(directory).map_err(unusable)?;
        let Some(lock) = lock_soon(directory).await.map_err(unusable)? else {
            return Err(taken(directory));
        };
        // Without its lock file a fleet still answers, and makes the file again in a moment.
        if is_answered(&socket).await {
            return Err(taken(directory));
        }
        write_pid(&lock).map_err(unusable)?;
        let (listener, socket) = listen(&socket).map_err(unusable)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            lock,
            socket,
            listener,
        })
    }

    /// Makes again the lock file or the socket if somebody removed it; returns whether one was missing.
    ///
    /// While all is there it looks at two files and does nothing else.
    ///
    /// # Errors
    /// The reason, such as that another fleet holds the directory by now, whose files stay as they are.
    pub(super) fn restore(&mut self) -> io::Result<bool> {
        let (directory, socket) = (&self.directory, socket_in(&self.directory));
        let has_socket = file_id(&socket) == Some(self.socket);
        let has_lock = file_id(&lock_file(directory)) == Some(id_of(&self.lock.metadata()?));
        if has_socket && has_lock {
            return Ok(false);
        }
        make_private(directory)?;
        // The lock first: a fleet that does not get it must not touch the socket of the one that has it.
        if !has_lock {
            let another = || {
                io::Error::other(format!(
                    "another fleet has its place in {}, {}",
                    directory.display(),
                    who(directory)
                ))
            };
            self.lock = lock(directory)?.ok_or_else(another)?;
            write_pid(&self.lock)?;
        }
        if !has_socket {
            (self.listener, self.socket) = listen(&socket)?;
        }
        Ok(true)
    }
}

impl Drop for FleetLock {
    fn drop(&mut self) {
        let socket = socket_in(&self.directory);
        // Before the lock goes, so that it is never a successor's.
        if file_id(&socket) == Some(self.socket) {
            let _ = fs::remove_file(socket);
        }
    }
}

/// Names the process that holds the directory; nothing when nobody does.
pub(super) fn holder(directory: &Path) -> Option<String> {
    let file = File::open(lock_file(directory)).ok()?;
    // Shared: with an exclusive lock, one of two who look at once would take the other for a fleet.
    let is_held = flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK);
    is_held.then(|| who(directory))
}

/// Makes the socket anew, in place of one that its fleet has left, and listens there.
fn listen(socket: &Path) -> io::Result<(UnixListener, InodeId)> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    // Until this is done the closed directory keeps others away.
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    let id = id_of(&fs::symlink_metadata(socket)?);
    Ok((listener, id))
}

/// Says whether a process listens there, even one that does not answer.
async fn is_answered(socket: &Path) -> bool {
    !matches!(timeout(LOOK, UnixStream::connect(socket)).await, Ok(Err(_)))
}

fn file_id(path: &Path) -> Option<InodeId> {
    fs::symlink_metadata(path).ok().map(|found| id_of(&found))
}

fn id_of(found: &Metadata) -> InodeId {
    (found.dev(), found.ino())
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

/// Takes the lock, after a moment if need be: who only looks at it holds it for a moment, too.
async fn lock_soon(directory: &Path) -> io::Result<Option<File>> {
    let began = Instant::now();
    loop {
        match lock(directory)? {
            None if began.elapsed() < LOOK => sleep(PAUSE).await,
            taken => return Ok(taken),
        }
    }
}

/// Takes the lock; nothing when somebody has it.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    // The file is never removed by us, or two processes could lock "the same" one.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_file(directory))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes our process id into the lock's file, for those who find it taken.
fn write_pid(mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(std::process::id().to_string().as_bytes())
}

fn lock_file(directory: &Path) -> PathBuf {
    directory.join("fleet.lock")
}

fn taken(directory: &Path) -> Error {
    Error::Running {
        directory: directory.to_path_buf(),
        holder: who(directory),
    }
}

fn who(directory: &Path) -> String {
    match fs::read_to_string(lock_file(directory)) {
        Ok(pid) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

/// Returns the directory of the fleet within a data directory.
///
/// # Errors
/// When the working directory cannot be found.
pub fn directory_in(data_dir: &Path) -> Result<PathBuf, Error> {
    let data_dir = std::path::absolute(data_dir).map_err(Error::system("finding the data directory"))?;
    Ok(data_dir.join("fleet"))
}
