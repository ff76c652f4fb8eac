//! stdout is data, stderr is talk, and a reader may leave.

use std::process::Stdio;

use testkit::TempDir;

use crate::rig::{Rig, bare, code, run};

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut command = bare(&TempDir::new(), ["completions", "bash"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_pipe_gets_no_colour_and_no_progress() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    for arguments in [
        ["submit", "10", "20"].as_slice(),
        ["list"].as_slice(),
        ["doctor"].as_slice(),
    ] {
        let output = rig.run(arguments);
        let all = [output.stdout, output.stderr].concat().join("\n");
        assert!(
            !all.contains('\u{1b}') && !all.contains('\r'),
            "{arguments:?}: {all:?}"
        );
    }
}

#[test]
fn results_are_on_stdout_and_the_summary_is_on_stderr() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let output = rig.run(["submit", "10", "20"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let mut results = output.stdout.clone();
    results.sort();
    assert!(
        results[0].starts_with("F(10) = 55  ") && results[1].starts_with("F(20) = 6765  "),
        "{results:#?}"
    );
    assert_eq!(results.len(), 2, "{results:#?}");
    assert!(
        output
            .stderr
            .last()
            .unwrap()
            .starts_with("2 jobs, 0 failed: compute "),
        "{output:#?}"
    );
    let summary = output.stderr.last().unwrap();
    assert!(
        summary.contains(", wall ") && !summary.contains("speed-up"),
        "{summary}"
    );
}

#[test]
fn a_help_text_needs_no_configuration_that_can_be_read() {
    let mut command = bare(&TempDir::new(), ["submit", "--help"]);
    command.env("ABACI_CONCURRENCY", "many");
    assert_eq!(code(&run(command)), 0);
}
