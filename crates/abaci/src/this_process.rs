//! This program as something that can be started again.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// The program of this process, whatever has become of its file since.
#[cfg(target_os = "linux")]
const RUNNING: &str = "/proc/self/exe";

/// What starts this very program again, also when its file was replaced or removed.
///
/// Where the kernel does not offer that, it is the path that the program was started by.
pub(crate) fn running() -> io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    if std::path::Path::new(RUNNING).exists() {
        return Ok(RUNNING.into());
    }
    std::env::current_exe()
}

/// What this process is called where processes are listed.
pub(crate) fn name() -> OsString {
    std::env::args_os().next().unwrap_or_else(|| "abaci".into())
}

/// Calls this process as the program is called; the kernel calls what it started by [`running`] after the last word of that.
pub(crate) fn take_name() {
    // A name is for people; without it everything works.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"abaci");
}
