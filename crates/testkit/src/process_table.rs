//! The processes of this machine, as the kernel lists them.

use std::fs;

use crate::wait::eventually;

/// A process that there was when it was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub pid: u32,
    /// The number of its parent.
    pub parent: u32,
    /// The arguments, the program first; empty for one that has ended and was not reaped yet.
    pub command: String,
}

fn processes() -> Vec<Listed> {
    let entries = fs::read_dir("/proc").expect("Linux lists it").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that has ended since it was listed has no files any more, and is left out.
    pids.filter_map(process).collect()
}

/// Lists the processes whose parent is `pid`, living ones and those not reaped yet.
pub fn children_of(pid: u32) -> Vec<Listed> {
    let all = processes().into_iter();
    all.filter(|process| process.parent == pid).collect()
}

/// Lists the children of `pid`, their children, and so on.
pub fn descendants_of(pid: u32) -> Vec<Listed> {
    let all = processes();
    let mut ancestors = vec![pid];
    let mut found = Vec::new();
    while let Some(ancestor) = ancestors.pop() {
        for child in all.iter().filter(|process| process.parent == ancestor) {
            ancestors.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

/// Waits for a child of `parent` that runs its own program and is none of `before`.
///
/// One that was just forked has its parent's arguments, memory and signal handlers until it executes its program: who
/// judged, stopped or killed it then would meet the start of a child, and not the child.
///
/// # Panics
/// When there is none in time.
#[track_caller]
pub fn started_child_of(parent: u32, before: &[u32]) -> Listed {
    let parents = image_of(parent);
    eventually("a child that runs its program", || {
        let children = children_of(parent);
        let started = children.iter().find(|child| {
            let image = image_of(child.pid);
            !before.contains(&child.pid) && image.is_some() && image != parents
        });
        // Read again: it may have executed its program after it was listed.
        started.and_then(|child| process(child.pid)).ok_or(children)
    })
}

fn process(pid: u32) -> Option<Listed> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands before it, with any character in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    Some(Listed {
        pid,
        parent: fields.split_whitespace().nth(1)?.parse().ok()?,
        command: command.trim_end_matches('\0').replace('\0', " "),
    })
}

/// Reads the arguments and the environment with which a process executed its program; there are no arguments while it does.
fn image_of(pid: u32) -> Option<(Vec<u8>, Vec<u8>)> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    (!arguments.is_empty()).then_some((arguments, environment))
}
