//! Submissions that are made again, and ids that two jobs would have.

use std::fs;

use testkit::Output;

use crate::rig::{Rig, assert_refused, code};

fn submit(rig: &Rig, arguments: &[&str]) -> Output {
    rig.run(["submit", "--detach"].iter().chain(arguments))
}

fn count(rig: &Rig) -> usize {
    let count = "select count(*) from dbos.workflow_status";
    rig.database.psql(count).trim().parse().unwrap()
}

#[test]
fn a_repeated_batch_says_how_many_jobs_were_there() {
    let rig = Rig::new();
    let options = ["--batch", "b", "--priority", "5", "--tag", "x", "--timeout", "1h"];
    let again = |jobs: &[&str]| submit(&rig, &[&options[..], jobs].concat());
    assert_eq!(again(&["10", "20"]).stderr, ["batch b: 2 jobs"]);
    let output = again(&["10", "20", "30"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(output.stderr, ["batch b: 3 jobs, 2 of them queued before"]);
    assert_eq!(output.stdout, ["b-0000001", "b-0000002", "b-0000003"]);
    // Tags have no order, and jobs that ended were still queued before.
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["wait", "b-0000001", "b-0000002", "b-0000003"])), 0);
    let output = again(&["10", "20", "30"]);
    assert_eq!(output.stderr, ["batch b: 3 jobs, 3 of them queued before"]);
    assert_eq!(count(&rig), 3);
}

/// The changes of a repeated batch, and the words of their refusals.
const CHANGES: [(&[&str], [&str; 4]); 7] = [
    (&["10", "21"], ["argument 2", "b-0000002", "20", "21"]),
    (
        &["--priority=6", "10", "20"],
        ["--priority", "b-0000001", " 5,", "not 6"],
    ),
    (&["--tag=y", "10", "20"], ["--tag", "b-0000001", "x, not", "x, y"]),
    (
        &["--delay=2h", "10", "20"],
        ["--delay", "b-0000001", "1h", "not 2h"],
    ),
    (
        &["--timeout=2m", "10", "20"],
        ["--timeout", "b-0000001", "1m", "not 2m"],
    ),
    (
        &["--queue=other", "10", "20"],
        ["--queue", "b-0000001", "fibonacci", "not other"],
    ),
    (
        &["--at=2999-01-01T00:00:00Z", "10", "20"],
        ["--at", "b-0000001", "until 2", "until 2999-01-01"],
    ),
];

#[test]
fn a_batch_is_refused_for_other_options_or_jobs_than_before() {
    let rig = Rig::new();
    let usual = [
        "--batch",
        "b",
        "--priority",
        "5",
        "--tag",
        "x",
        "--delay",
        "1h",
        "--timeout",
        "1m",
    ];
    let before = submit(&rig, &[&usual[..], &["10", "20"]].concat());
    assert_eq!(code(&before), 0, "{before:#?}");
    for (changed, words) in CHANGES {
        let flag = changed[0].split_once('=').map(|(flag, _)| flag);
        let replaced = usual.chunks(2).filter(|pair| match flag {
            Some("--at") => pair[0] != "--delay",
            Some("--tag") | None => true,
            Some(flag) => pair[0] != flag,
        });
        let arguments: Vec<&str> = replaced.flatten().chain(changed).copied().chain(["30"]).collect();
        assert_refused(&submit(&rig, &arguments), 2, &words);
    }
    let fewer = submit(&rig, &["--batch", "b", "10", "20", "30"]);
    assert_refused(&fewer, 2, &["--priority", "b-0000001", " 5,", "not 0"]);
    assert_eq!(count(&rig), 2);
}

#[test]
fn a_job_of_one_id_is_refused_with_other_options() {
    let rig = Rig::new();
    assert_eq!(code(&submit(&rig, &["--id", "mine", "10"])), 0);
    assert_eq!(code(&submit(&rig, &["--id", "mine", "10"])), 0);
    for (arguments, words) in [
        (&["11"][..], ["argument 1", "mine", "another id"]),
        (
            &["--priority", "5", "10"],
            ["--priority", "the priority 0", "not 5"],
        ),
        (&["--tag", "x", "10"], ["--tag", "the tags none", "not x"]),
        (&["--delay", "1h", "10"], ["--delay", "the delay none", "not 1h"]),
        (
            &["--dedup", "k", "--timeout", "1h", "10"],
            ["--timeout", "none", "not 1h"],
        ),
    ] {
        let arguments = [&["--id", "mine"], arguments].concat();
        assert_refused(&submit(&rig, &arguments), 2, &words);
    }
    assert_eq!(count(&rig), 1);
}

#[test]
fn an_id_that_two_jobs_of_an_input_have_is_refused() {
    let rig = Rig::new();
    let file = rig.directory.path().join("jobs");
    let file = file.to_str().unwrap();
    for (lines, arguments, words) in [
        // For the same and for something else: the second of two would be lost, or is said to be there.
        (
            "{\"n\": 1, \"id\": \"a\"}\n#\n{\"n\": 1, \"id\": \"a\"}",
            &[][..],
            ["jobs:3", "id a ", "jobs:1"],
        ),
        (
            "{\"n\": 1, \"id\": \"a\"}\n{\"n\": 2, \"id\": \"a\"}",
            &[],
            ["jobs:2", "id a ", "jobs:1"],
        ),
        (
            "{\"n\": 1, \"id\": \"a\"}",
            &[r#"{"n": 2, "id": "a"}"#],
            ["jobs:1", "id a ", "argument 1"],
        ),
        (
            "{\"n\": 1, \"id\": \"b-0000002\"}\n1",
            &["--batch", "b"],
            ["jobs:2", "b-0000002", "positions in batch b"],
        ),
    ] {
        fs::write(file, lines).unwrap();
        let output = submit(&rig, &[&["--file", file], arguments].concat());
        assert_refused(&output, 2, &words);
    }
    assert_eq!(rig.run(["list", "--json"]).stdout.len(), 0);
}

#[test]
fn a_job_outside_of_a_batch_with_one_of_its_ids_is_named() {
    let rig = Rig::new();
    assert_eq!(code(&submit(&rig, &["--id", "b-0000002", "20"])), 0);
    let output = submit(&rig, &["--batch", "b", "10", "20"]);
    assert_refused(
        &output,
        2,
        &["argument 2", "b-0000002", "the batch none", "another batch"],
    );
    assert_eq!(count(&rig), 1);
    // Jobs that name their ids are the same whatever batch they are submitted in, if none was given.
    let own = r#"{"n": 20, "id": "b-0000002"}"#;
    let output = submit(&rig, &["10", own]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(
        output.stderr[0].ends_with(": 2 jobs, 1 of them queued before"),
        "{output:#?}"
    );
    assert_eq!(count(&rig), 2);
    let output = submit(&rig, &["--batch", "c", "10", own]);
    assert_refused(&output, 2, &["argument 2", "b-0000002", "another id"]);
}

#[test]
fn a_delayed_batch_is_completed_after_its_moment() {
    let rig = Rig::new();
    for (batch, delay) in [
        ("for", ["--delay", "1ms"]),
        ("future", ["--at", "2999-01-01T00:00:00Z"]),
        ("past", ["--at", "2001-01-01T00:00:00Z"]),
    ] {
        let batch = ["--batch", batch];
        let jobs = (0..300).map(|n| n.to_string());
        let first: Vec<String> = jobs.collect();
        let of = |count: usize| {
            let arguments = delay.iter().chain(&batch).copied();
            arguments
                .chain(first[..count].iter().map(String::as_str))
                .collect::<Vec<_>>()
        };
        assert_eq!(code(&submit(&rig, &of(200))), 0);
        let output = submit(&rig, &of(300));
        assert_eq!(code(&output), 0, "{output:#?}");
        assert!(output.stderr[0].contains("300 jobs, 200 of them"), "{output:#?}");
    }
    // A job that is resumed waits no more.
    assert_eq!(code(&rig.run(["cancel", "future-0000001"])), 0);
    rig.database.psql("update dbos.workflow_status set created_at = created_at - 5000, updated_at = updated_at - 5000 where status = 'CANCELLED'");
    assert_eq!(code(&rig.run(["resume", "future-0000001"])), 0);
    let output = submit(
        &rig,
        &["--at", "2999-01-01T00:00:00Z", "--batch", "future", "0", "1"],
    );
    assert_eq!(code(&output), 0, "{output:#?}");
}
