//! Programs whose clock is wrong.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Gives a program, and what it starts, a wall clock that is off by `offset`, such as `+30s`; how long things take stays
/// as it is.
///
/// # Panics
/// When the library that does so, libfaketime, is missing.
#[must_use]
pub fn with_clock(mut command: Command, offset: &str) -> Command {
    let library =
        library().expect("libfaketime is missing; ./check installs it, as does: apt-get install faketime");
    let variable = if cfg!(target_os = "macos") {
        "DYLD_INSERT_LIBRARIES"
    } else {
        "LD_PRELOAD"
    };
    command
        .env(variable, library)
        .env("FAKETIME", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

/// The library for programs with threads, where the packages of systems have it.
fn library() -> Option<PathBuf> {
    let names = ["libfaketimeMT.so.1", "libfaketimeMT.1.dylib"].map(OsString::from);
    let roots = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib"];
    // Debian's are one level deeper, by architecture.
    let deeper = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = roots
        .iter()
        .map(PathBuf::from)
        .chain(deeper.map(|entry| entry.path()));
    folders
        .flat_map(|folder| names.clone().map(|name| folder.join("faketime").join(name)))
        .find(|path| Path::is_file(path))
}
