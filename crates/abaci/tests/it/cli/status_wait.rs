//! `abaci status --wait`: what a script relies on that starts a fleet and goes on when it is there.

use testkit::{Process, Signal, TempDir};

use crate::fleet_rig::Fleet;
use crate::rig::{Rig, bare, code, objects, run};

/// A time that no start takes.
const LONG: &str = "2m";

/// Starts a wait that has found nobody, and returns it.
fn wait_in_vain(rig: &Rig, arguments: &[&str]) -> Process {
    let wait = Process::spawn(rig.abaci(["status", "--wait", LONG].iter().chain(arguments)));
    wait.wait_for_line("waiting for up to 2m");
    wait
}

#[test]
fn a_wait_ends_when_every_worker_of_a_fleet_takes_jobs() {
    let rig = Rig::new();
    let wait = wait_in_vain(&rig, &[]);
    let _fleet = Fleet::launch(&rig, &["--workers", "2"]);
    let output = wait.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(
        output.stdout[0].contains("2 of 2 workers take jobs"),
        "{output:#?}"
    );
}

#[test]
fn after_a_wait_nothing_of_the_fleet_is_shown_as_down() {
    let home = TempDir::new();
    // A cluster that is there starts faster than the supervisor looks again.
    for arguments in [
        ["submit", "--detach", "10"].as_slice(),
        &["db", "stop", "--force"],
    ] {
        let output = run(bare(&home, arguments));
        assert_eq!(code(&output), 0, "{output:#?}");
    }
    let fleet = bare(
        &home,
        ["fleet", "--health-addr", "127.0.0.1:0", "--until-stdin-closes"],
    );
    let fleet = Process::spawn(fleet);
    let output = run(bare(&home, ["status", "--wait", LONG]));
    assert_eq!(code(&output), 0, "{output:#?}");
    let is_shown = |words: &str| output.stdout.iter().any(|line| line.contains(words));
    assert!(is_shown("private PostgreSQL, running"), "{output:#?}");
    fleet.signal(Signal::TERM);
    assert_eq!(code(&fleet.finish()), 0);
}

#[test]
fn a_wait_ends_with_the_first_server_where_no_fleet_runs() {
    let rig = Rig::new();
    let wait = wait_in_vain(&rig, &["--json"]);
    let _server = rig.server(&[]);
    let output = wait.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let report = objects(&output).swap_remove(0);
    assert_eq!(
        report["other_workers"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
}

#[test]
fn a_wait_for_a_fleet_that_is_not_complete_names_the_slot() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    // It takes the slot that the second worker of the fleet would have.
    let _server = rig.server(&[]);
    let scaled = rig.run(["fleet", "scale", "2"]);
    assert_eq!(code(&scaled), 0, "{scaled:#?}");
    let output = rig.run(["status", "--wait", "100ms"]);
    assert_eq!(code(&output), 1, "{output:#?}\n{:#?}", fleet.process.stderr());
    let line = output.stderr.last().unwrap();
    for words in ["not ready after 100ms", "1 of 2 workers take jobs", "slot 1 is "] {
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
    assert_eq!(code(&rig.run(["status"])), 0, "jobs are taken, though not by all");
}

#[test]
fn a_wait_for_nobody_says_what_is_missing_and_how_to_start_it() {
    let rig = Rig::new();
    // The tables of a queue are made by whoever uses it first.
    rig.submit(&["10"]);
    let output = rig.run(["status", "--wait", "0s"]);
    assert_eq!(code(&output), 1, "{output:#?}");
    let line = output.stderr.last().unwrap();
    for words in [
        "not ready after 0s",
        "no fleet runs in ",
        "start one with: abaci serve",
    ] {
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
}

#[test]
fn a_wait_without_a_database_starts_none_and_ends_with_3() {
    let rig = Rig::new();
    let mut command = rig.abaci(["status", "--wait"]);
    command
        .env_remove("ABACI_DATABASE_URL")
        .env("ABACI_WAIT_FOR_SERVER", "300ms");
    let output = Process::spawn(command).finish();
    assert_eq!(code(&output), 3, "{output:#?}");
    let line = output.stderr.last().unwrap();
    for words in ["not ready after 300ms", "no fleet runs in ", "does not run"] {
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
    assert!(
        !rig.directory.path().join("data").exists(),
        "a wait made something"
    );
}

#[test]
fn an_interrupted_wait_ends_with_130() {
    let rig = Rig::new();
    let wait = wait_in_vain(&rig, &[]);
    wait.signal(Signal::INT);
    let output = wait.finish();
    assert_eq!(code(&output), 130, "{output:#?}");
}

#[test]
fn a_wait_and_a_watch_exclude_each_other() {
    let rig = Rig::new();
    let output = rig.run(["status", "--wait", "--watch"]);
    crate::rig::assert_refused(&output, 2, &["--wait", "--watch"]);
    let output = rig.run(["status", "--wait", "soon"]);
    crate::rig::assert_refused(&output, 2, &["--wait", "soon", "such as 20ms"]);
}
