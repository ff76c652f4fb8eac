//! The demo: what a newcomer sees first, and what must not be left of it.

use std::fs;
use std::process::Command;

use testkit::{Output, Process, Signal, TempDir, eventually};

use crate::rig::{bare, code};

/// The demo with a temporary directory of its own, from a directory that has nothing to do with it.
pub(crate) fn demo(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = bare(home, ["demo"].iter().chain(arguments));
    // Settings that would keep it from working, were they not left out.
    command
        .env("ABACI_MAX_N", "1")
        .env("ABACI_QUEUE", "other")
        .env("ABACI_DATABASE_URL", "postgres://127.0.0.1:1/x");
    command.env("TMPDIR", home.path()).current_dir("/");
    command
}

#[track_caller]
fn assert_survived(output: &Output, values: &[&str]) {
    assert_eq!(code(output), 0, "{output:#?}");
    let all = output.stdout.join("\n");
    for value in values {
        assert!(all.contains(value), "{value:?} is not in:\n{all}");
    }
    for word in [
        "SIGKILL",
        "Survived: process",
        "takes its place",
        "finished it on attempt 2",
        "0 failed",
    ] {
        assert!(all.contains(word), "{word:?} is not in:\n{all}");
    }
    let killed = output
        .stdout
        .iter()
        .position(|line| line.contains("SIGKILL"))
        .unwrap();
    assert!(
        output.stdout[killed + 1].contains("takes its place"),
        "something came between the crash and the successor:\n{all}"
    );
    // The directory's name is as long as the machine wants it.
    let lines = output
        .stdout
        .iter()
        .filter(|line| !line.contains("private PostgreSQL in"));
    let widest = lines.map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "a line has {widest} columns:\n{all}");
}

/// Processes whose command line or environment names the directory.
fn processes_of(home: &TempDir) -> Vec<String> {
    let directory = home.path().to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbered = entries.filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .bytes()
            .all(|b| b.is_ascii_digit())
    });
    let described = numbered.filter_map(|entry| {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let all = [read("cmdline"), read("environ")].concat();
        let text = String::from_utf8_lossy(&all).replace('\0', " ");
        text.contains(directory)
            .then(|| format!("{}: {text}", entry.file_name().to_string_lossy()))
    });
    described.collect()
}

#[track_caller]
pub(crate) fn assert_nothing_is_left(home: &TempDir) {
    let files: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert!(files.is_empty(), "the demo left {files:?}");
    let processes = processes_of(home);
    assert!(processes.is_empty(), "the demo left {processes:#?}");
}

#[test]
fn the_demo_survives_a_crash_and_leaves_nothing() {
    let home = TempDir::new();
    let output = Process::spawn(demo(&home, &["--jobs", "33,40,34"])).finish();
    assert_survived(
        &output,
        &["F(33) = 3524578", "F(40) = 102334155", "F(34) = 5702887"],
    );
    assert_nothing_is_left(&home);
}

#[test]
fn results_never_part_a_crash_from_the_successor() {
    let home = TempDir::new();
    // While one worker is away the other one ends a short job after the other.
    let output = Process::spawn(demo(&home, &["--jobs", "36,42,36,36,36,36,36"])).finish();
    assert_survived(&output, &["F(36) = 14930352", "F(42) = 267914296"]);
    assert_nothing_is_left(&home);
}

#[test]
fn two_demos_at_once_do_not_meet() {
    let homes = [TempDir::new(), TempDir::new()];
    let demos = [0, 1].map(|index| Process::spawn(demo(&homes[index], &["--jobs", "30,40"])));
    for output in demos.map(Process::finish) {
        assert_survived(&output, &["F(30) = 832040", "F(40) = 102334155"]);
    }
    homes.iter().for_each(assert_nothing_is_left);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    for (signal, moment) in [
        (Signal::INT, "submitted"),
        (Signal::TERM, "SIGKILL"),
        (Signal::INT, "abaci demo"),
    ] {
        let home = TempDir::new();
        let process = Process::spawn(demo(&home, &["--jobs", "30,44,44"]));
        process.wait_for_line(moment);
        process.signal(signal);
        let output = process.finish();
        assert_eq!(code(&output), 130, "after {moment:?}: {output:#?}");
        assert_nothing_is_left(&home);
    }
}

#[test]
fn the_processes_of_a_killed_demo_end_by_themselves() {
    let home = TempDir::new();
    let mut process = Process::spawn(demo(&home, &["--jobs", "44"]));
    process.wait_for_line("takes jobs");
    process.kill();
    eventually("the end of the server, the keeper and PostgreSQL", || {
        let left = processes_of(&home);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn jobs_that_the_demo_cannot_do_are_refused() {
    let home = TempDir::new();
    let output = Process::spawn(demo(&home, &["--jobs", "30,51"])).finish();
    crate::rig::assert_refused(&output, 2, &["n is 51", "limit of 50"]);
    assert_nothing_is_left(&home);
}
