//! Temporary directories that the server's account can enter.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::wait::Deadline;

/// Not `TMPDIR`: that may be closed to the account that runs PostgreSQL for root, or too long for a socket.
pub(crate) const PARENT: &str = "/tmp";

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
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = Path::new(PARENT).join(format!("abaci-test-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
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
