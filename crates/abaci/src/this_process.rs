//! This process: its program, its name, its host.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use worker_fleet::health::Application;

/// This program, as it answers questions about health.
pub(crate) const APPLICATION: Application = Application {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
};

use anyhow::Context;

/// The program of this process, whatever has become of its file since.
#[cfg(target_os = "linux")]
const RUNNING: &str = "/proc/self/exe";

/// Returns the path of this program's file.
pub(crate) fn path() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding the path of this program")
}

/// Returns a path that starts this very program again, also when its file was replaced or removed.
///
/// On a kernel that does not offer that, it is the path that the program was started by.
pub(crate) fn running() -> io::Result<PathBuf> {
    // The link leads to the file itself, whatever its name has become. A child follows it before its exec,
    // while it still runs this program.
    #[cfg(target_os = "linux")]
    if std::path::Path::new(RUNNING).exists() {
        return Ok(RUNNING.into());
    }
    std::env::current_exe()
}

/// Returns the name of this process in lists of processes.
pub(crate) fn name() -> OsString {
    std::env::args_os().next().unwrap_or_else(|| "abaci".into())
}

/// Names this process after the program; the kernel names a process that was started by [`running`] after the end of that path.
pub(crate) fn take_name() {
    // A name is for people; without it everything works.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"abaci");
}

/// Returns this machine's name, the first half of every executor id of its workers.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
