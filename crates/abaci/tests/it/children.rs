//! Signals to the processes that compute for a worker, and the files that they leave.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, kill_process};
use testkit::{Signal, TempDir};

/// Kills a process; one that has just ended by itself is as good.
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

/// Stops a process until it is continued or killed.
pub(crate) fn stop(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Sends a signal to a process that is there.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The names of all that lies in the artifact directory of a home, whatever database it belongs to.
pub(crate) fn files(home: &TempDir) -> Vec<String> {
    let paths = artifacts(home).into_iter();
    paths
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// The paths of the same.
pub(crate) fn artifacts(home: &TempDir) -> Vec<PathBuf> {
    let entries = |path: &Path| {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let places = entries(&home.path().join("data/artifacts"));
    places.iter().flat_map(|place| entries(place)).collect()
}
