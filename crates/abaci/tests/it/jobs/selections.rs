//! Jobs that a command is about without naming them one by one.

use testkit::Process;

use crate::rig::{Rig, assert_refused, code, objects};

fn states(rig: &Rig, selection: &[&str]) -> Vec<String> {
    let listed = objects(&rig.run(["list", "--json"].iter().chain(selection)));
    let mut states: Vec<String> = listed
        .iter()
        .map(|job| format!("{} {}", job["n"], job["state"].as_str().unwrap()))
        .collect();
    states.sort();
    states
}

/// Three batches of two jobs, of which one waits with its tag.
fn submitted() -> Rig {
    let rig = Rig::new();
    for (batch, tags, jobs) in [
        ("one", &["--tag", "a"][..], ["10", "11"]),
        ("two", &["--tag", "a", "--tag", "b"], ["20", "21"]),
        ("three", &[], ["30", "31"]),
    ] {
        rig.submit(&[&["--batch", batch][..], tags, &jobs].concat());
    }
    rig
}

#[test]
fn a_list_has_the_jobs_of_a_batch_or_with_all_tags() {
    let rig = submitted();
    let listed = |selection: &[&str]| states(&rig, selection).len();
    assert_eq!(listed(&["--batch", "one"]), 2);
    assert_eq!(listed(&["--tag", "a"]), 4);
    assert_eq!(listed(&["--tag", "a", "--tag", "b"]), 2);
    assert_eq!(listed(&["--batch", "one", "--tag", "b"]), 0);
    assert_eq!(listed(&["--batch", "on"]), 0, "a batch is not a beginning");
    assert_eq!(listed(&[]), 6);
}

#[test]
fn a_batch_is_cancelled_resumed_and_waited_for_as_a_whole() {
    let rig = submitted();
    let two = ["--batch", "two"];
    let dry = rig.run(["cancel", "--dry-run"].iter().chain(&two));
    assert_eq!(dry.stdout, ["two-0000001", "two-0000002"], "{dry:#?}");
    assert_eq!(dry.stderr, ["would cancel 2 jobs"]);
    assert_refused(
        &rig.run(["cancel"].iter().chain(&two)),
        2,
        &["cancel 2 jobs", "--yes"],
    );
    assert_eq!(states(&rig, &two), ["20 queued", "21 queued"]);

    let done = rig.run(["cancel", "--yes"].iter().chain(&two));
    assert_eq!(
        done.stdout,
        ["cancelled two-0000001", "cancelled two-0000002"],
        "{done:#?}"
    );
    let others = ["10 queued", "11 queued", "30 queued", "31 queued"];
    assert_eq!(states(&rig, &["--state", "queued"]), others);
    // An ended job is not cancelled again.
    assert_refused(
        &rig.run(["cancel", "--yes"].iter().chain(&two)),
        1,
        &["no job matches"],
    );

    let done = rig.run(["resume", "--yes"].iter().chain(&two));
    assert_eq!(
        done.stdout,
        ["resumed two-0000001", "resumed two-0000002"],
        "{done:#?}"
    );
    let wait = Process::spawn(rig.abaci(["wait", "--tag", "b"]));
    let _server = rig.server(&[]);
    let output = wait.finish();
    assert_eq!((code(&output), output.stdout.len()), (0, 2), "{output:#?}");
}

#[test]
fn a_thousand_jobs_are_cancelled_by_their_tag() {
    let rig = Rig::new();
    rig.submit(&[
        "--tag", "big", "--random", "1200", "--range", "1..=9", "--seed", "1",
    ]);
    rig.submit(&["--id", "other", "10"]);
    let output = rig.run(["cancel", "--yes", "--tag", "big"]);
    assert_eq!(
        (code(&output), output.stdout.len()),
        (0, 1200),
        "{:#?}",
        output.stderr
    );
    let left = "select string_agg(workflow_uuid, ' ') from dbos.workflow_status where status <> 'CANCELLED'";
    assert_eq!(rig.database.psql(left).trim(), "other");
}

#[test]
fn a_selection_that_makes_no_sense_is_refused_in_one_line() {
    let rig = submitted();
    for (arguments, exit, word) in [
        (&["cancel"][..], 2, "<ID>"),
        (&["cancel", "x", "--batch", "one"], 2, "--batch"),
        (
            &["cancel", "--batch", "a b", "--yes"],
            2,
            "is not the id of a batch",
        ),
        (&["resume", "--tag", "a\u{1b}[2J", "--yes"], 2, "is not a label"),
        (&["resume", "--tag", "a", "--yes"], 1, "no job matches"),
        (&["wait", "--batch", "nobody"], 1, "no job matches"),
        (&["list", "--tag", ""], 2, "--tag"),
    ] {
        assert_refused(&rig.run(arguments), exit, &[word]);
    }
    assert_eq!(states(&rig, &["--state", "queued"]).len(), 6);
}
