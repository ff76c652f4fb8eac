use std::io::BufRead;
use std::process::Command;

use testkit::{Process, Signal, child, eventually, is_alive};

/// Repeats its input with a mark until the end of it, then ends with 7.
pub(crate) fn talk() {
    for line in std::io::stdin().lock().lines() {
        eprintln!("heard {}", line.unwrap());
    }
    std::process::exit(7);
}

pub(crate) fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn(command)
}

#[test]
fn a_role_runs_in_a_process_of_its_own() {
    let greeter = Process::spawn(child::command("greeter"));
    let line = greeter.wait_for_line("hello");
    assert_eq!(line, format!("hello from {}", greeter.pid()));
    assert!(greeter.finish().status.success());
}

#[test]
fn a_role_reads_its_input_and_decides_its_exit_code() {
    let mut talker = Process::spawn(child::command("talker"));
    talker.write_line("one");
    talker.wait_for_line("heard one");
    talker.write_line("two");
    let output = talker.finish();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stderr, ["heard one", "heard two"]);
}

#[test]
fn an_unknown_role_is_an_error() {
    let output = Process::spawn(child::command("nobody knows")).finish();
    assert_eq!(output.status.code(), Some(101), "{output:?}");
}

#[test]
fn both_streams_are_collected() {
    let output = shell("echo out; echo err >&2; printf 'no newline'; exit 3").finish();
    assert_eq!(output.stdout, ["out", "no newline"]);
    assert_eq!(output.stderr, ["err"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn only_a_killed_process_leaves_its_children() {
    let mut parent = shell("sleep 1000 & echo child $!; wait");
    let line = parent.wait_for_line("child");
    let child = line.strip_prefix("child ").unwrap().parse().unwrap();
    parent.kill();
    assert!(is_alive(child), "the child went with its parent");
    drop(parent);
    eventually("the end of the group", || !is_alive(child));
}

#[test]
fn a_signal_reaches_the_process() {
    let mut process = shell("trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    process.wait_for_line("ready");
    process.signal(Signal::TERM);
    assert_eq!(process.wait_exit().code(), Some(5));
}

#[test]
#[should_panic(expected = "ended without")]
fn a_line_that_cannot_come_any_more_is_not_awaited() {
    shell("echo other").wait_for_line("this");
}
