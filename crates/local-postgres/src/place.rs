//! The data directory: which file is where, and who may enter.
//!
//! All names are absolute and free of links, so that every process computes the same ones, whatever its working
//! directory is.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::Error;
use crate::lock::{self, Lock};
use crate::wait::Deadline;

/// The port only names the socket's file: nothing listens on a network.
pub(crate) const PORT: u16 = 5432;

/// Longest path of a socket, in bytes: the size of `sun_path` less the final zero.
const LONGEST_SOCKET_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Parent of the socket's directory when the data directory's path is too long for a socket.
// Not `TMPDIR`: it differs between processes, and all must come to the same name.
const SHORT_PARENT: &str = "/tmp";

const USERS_LOCK: &str = "users.lock";
const REMOVED_LOCK: &str = "removed.lock";

/// The time to look again before "somebody holds a lease" is believed: others look too, and each look is itself a
/// lock for a few microseconds.
const SECOND_LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// An existing data directory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    /// Opens the data directory, and makes it when it is missing.
    pub(crate) fn create(data_dir: &Path) -> Result<Place, Error> {
        if !data_dir.is_dir() {
            make_data_dir(data_dir).map_err(Error::at(data_dir))?;
        }
        let root = fs::canonicalize(data_dir).map_err(Error::at(data_dir))?;
        Ok(Place { root })
    }

    /// Opens the data directory when it is there and has ever been used.
    pub(crate) fn find(data_dir: &Path) -> Result<Option<Place>, Error> {
        let is_used = |file| data_dir.join(file).exists();
        // After a removal `removed.lock` may be all that is there, and whoever looks must learn of it.
        if !is_used(USERS_LOCK) && !is_used(REMOVED_LOCK) {
            return Ok(None);
        }
        Self::create(data_dir).map(Some)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// A file of the cluster that is written once, when the cluster is made.
    pub(crate) fn version_file(&self) -> PathBuf {
        self.cluster().join("PG_VERSION")
    }

    pub(crate) fn users_lock(&self) -> PathBuf {
        self.root.join(USERS_LOCK)
    }

    pub(crate) fn keeper_lock(&self) -> PathBuf {
        self.root.join("keeper.lock")
    }

    pub(crate) fn start_lock(&self) -> PathBuf {
        self.root.join("start.lock")
    }

    /// Refuses a place whose database was removed while processes used it that still live.
    pub(crate) fn check_not_removed(&self) -> Result<(), Error> {
        let path = self.removed_lock();
        // To try the lock would make its file, which is there only after a removal.
        if !path.exists() {
            return Ok(());
        }
        let free = Deadline::after(SECOND_LOOK).poll(|| Lock::try_exclusive(&path))?;
        free.map(drop).ok_or_else(|| self.removed())
    }

    /// Says, for as long as the lock is held, that a database was removed here under this process.
    pub(crate) fn hold_removed_lock(&self) -> Result<Option<Lock>, Error> {
        // The directory may be gone with the database, and others look for the lock by its name.
        if !self.root.is_dir() {
            make_data_dir(&self.root).map_err(Error::at(&self.root))?;
        }
        Deadline::after(SECOND_LOOK).poll(|| Lock::try_shared(&self.removed_lock()))
    }

    pub(crate) fn removed(&self) -> Error {
        Error::Removed {
            data_dir: self.root.clone(),
        }
    }

    pub(crate) fn removed_lock(&self) -> PathBuf {
        self.root.join(REMOVED_LOCK)
    }

    /// Says whether a keeper lives.
    pub(crate) fn has_keeper(&self) -> Result<bool, Error> {
        // Shared: with an exclusive lock, one of two who look at once would take the other for a keeper.
        Ok(Lock::try_shared(&self.keeper_lock())?.is_none())
    }

    /// Returns the living keeper's pid; a keeper that has just locked the file may not have written it yet.
    pub(crate) fn keeper_pid(&self) -> Result<Option<u32>, Error> {
        if self.has_keeper()? {
            Ok(lock::read_pid(&self.keeper_lock()))
        } else {
            Ok(None)
        }
    }

    /// Says whether any process holds a lease; it may be wrong about one that comes at this moment.
    pub(crate) fn has_users(&self) -> Result<bool, Error> {
        Ok(self.lock_out_users()?.is_none())
    }

    /// Takes the exclusive lock of the users: `None` when there are users.
    pub(crate) fn lock_out_users(&self) -> Result<Option<Lock>, Error> {
        Deadline::after(SECOND_LOOK).poll(|| Lock::try_exclusive(&self.users_lock()))
    }

    /// Returns the directory of the server's socket: in the data directory, or a short one when that path is too long
    /// or has a comma, at which libpq splits a list of hosts.
    pub(crate) fn socket_dir(&self) -> PathBuf {
        let inside = self.root.join("socket");
        let path = socket_in(&inside).into_os_string();
        if path.len() <= LONGEST_SOCKET_BYTES && !path.as_bytes().contains(&b',') {
            return inside;
        }
        let name = format!("local-postgres-{:016x}", fnv1a(self.root.as_os_str().as_bytes()));
        Path::new(SHORT_PARENT).join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(&self.socket_dir())
    }

    /// Makes the socket's directory for `account`, or checks the one that is there.
    pub(crate) fn make_socket_dir(&self, account: &Account) -> Result<(), Error> {
        let dir = self.socket_dir();
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => account.give(&dir).map_err(Error::at(&dir))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::at(&dir)(error)),
        }
        self.check_socket_dir()
    }

    /// Refuses a socket that others than the cluster's owner could have made: a short directory lies where everyone
    /// may make one, so whatever answers there is believed only in a private directory of the right owner.
    pub(crate) fn check_socket_dir(&self) -> Result<(), Error> {
        let (dir, cluster) = (self.socket_dir(), self.cluster());
        let owner = fs::metadata(&cluster).map_err(Error::at(&cluster))?.uid();
        // A link is not followed: anybody may make one in /tmp that leads to a directory of the right owner.
        let found = fs::symlink_metadata(&dir).map_err(Error::at(&dir))?;
        // The last six bits of a mode are the rights of the group and of others.
        if found.is_dir() && found.uid() == owner && found.mode().trailing_zeros() >= 6 {
            return Ok(());
        }
        Err(Error::SocketNotPrivate { path: dir })
    }

    /// Removes a socket's directory outside of the data directory; the server has ended.
    pub(crate) fn remove_short_socket_dir(&self) {
        let dir = self.socket_dir();
        if !dir.starts_with(&self.root) {
            // What stays behind is an empty private directory, which the next start uses again.
            let _ = fs::remove_dir_all(dir);
        }
    }

    /// Waits until no keeper lives, and keeps the lock so that none can start.
    pub(crate) fn take_keepers_place(&self, deadline: Deadline) -> Result<Option<Lock>, Error> {
        deadline.poll(|| Lock::try_exclusive(&self.keeper_lock()))
    }
}

/// Makes the directory with a mode that does not depend on the caller's umask.
///
/// Root's may be entered by the account that runs the server; what is in it stays closed.
fn make_data_dir(dir: &Path) -> io::Result<()> {
    let mode = if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    };
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(mode)),
        // Two first starts at once: the other one made it.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn socket_in(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}"))
}

/// Hashes a path the same way in every build, as std's hasher does not promise.
///
/// Source: Fowler, Noll, Vo: FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
