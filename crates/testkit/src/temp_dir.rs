//! Temporary directories that the server's account can enter.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use crate::wait::Deadline;

/// Not `TMPDIR`: that may be closed to the account that runs PostgreSQL for root, or too long for a socket.
const PARENT: &str = "/tmp";

/// A file system in memory, and the size from which on it holds clusters, of which each has some tens of megabytes.
const MEMORY: &str = "/dev/shm";
const MEMORY_BYTES: u64 = 4 << 30;

/// The time for which removal is tried: a server that has just been killed may still be writing.
const REMOVAL: Duration = Duration::from_secs(10);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory with a short path, open to other accounts; removed on drop with all that is in it.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a directory.
    ///
    /// # Panics
    /// When `/tmp` cannot be written.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "making a directory is no default value"
    )]
    pub fn new() -> Self {
        Self::within(Path::new(PARENT))
    }

    /// Makes a directory for a cluster.
    pub(crate) fn for_cluster() -> Self {
        Self::within(place_for_clusters())
    }

    fn within(parent: &Path) -> Self {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("abaci-test-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    // The umask may have closed it to the account that runs PostgreSQL for root.
                    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("the directory is ours");
                    return Self { path };
                }
                // Left by a killed test whose pid came again.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", path.display()),
            }
        }
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns the place for clusters: in memory where that file system is large enough, and always the same on a machine.
///
/// A database has four hundred files. Making and removing them takes a disk's file system longer than a test takes.
pub(crate) fn place_for_clusters() -> &'static Path {
    // The size and not what is free, which changes: all test processes share the server in this place.
    let size = statvfs(MEMORY).map_or(0, |found| found.f_blocks.saturating_mul(found.f_frsize));
    let is_open = access(MEMORY, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    Path::new(if is_open && size >= MEMORY_BYTES {
        MEMORY
    } else {
        PARENT
    })
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let removed = Deadline::after(REMOVAL).poll(|| match fs::remove_dir_all(&self.path) {
            Err(error) if self.path.exists() => Err(error),
            _ => Ok(()),
        });
        if let Err(error) = removed {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}
