//! What can be seen of the processes that compute for a worker, and of the files that they leave.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, kill_process};
use testkit::{Signal, TempDir, eventually};

/// The computing processes that `parent` has now, living ones and those not reaped yet.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The process that computes for `parent`, once there is one that is none of `before`.
#[track_caller]
pub(crate) fn child_of(parent: u32, before: &[u32]) -> u32 {
    eventually("a computing process", || {
        let children = children_of(parent);
        children.into_iter().find(|child| !before.contains(child))
    })
}

/// Kills a process; one that has just ended by itself is as good.
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

/// Stops a process until it is continued or killed.
pub(crate) fn stop(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
}

/// The arguments of a process, the program first.
pub(crate) fn command_line(pid: u32) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.trim_end_matches('\0').replace('\0', " ")
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

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}
