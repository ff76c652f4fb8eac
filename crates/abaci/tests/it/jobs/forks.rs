//! Jobs that go on from the middle of other ones.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::children::{artifacts, files};
use crate::rig::{Rig, assert_refused, code, objects};

fn shown(rig: &Rig, id: &str) -> Value {
    objects(&rig.run(["show", "--json", id])).remove(0)
}

#[test]
fn a_fork_keeps_the_steps_before_and_runs_the_others() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(
        code(&rig.run([
            "submit",
            "--id",
            "origin",
            "--tag",
            "t",
            "--priority",
            "7",
            "--timeout",
            "1h",
            "1000"
        ])),
        0
    );
    let output = rig.run(["fork", "origin", "--from-step", "certify", "--id", "fork"]);
    assert_eq!(
        (code(&output), &*output.stdout),
        (0, &["fork".to_owned()][..]),
        "{output:#?}"
    );
    assert_eq!(output.stderr, ["keeps step compute of job origin"]);
    assert_eq!(code(&rig.run(["wait", "fork"])), 0);
    let (origin, fork) = (shown(&rig, "origin"), shown(&rig, "fork"));
    assert_eq!(fork["result"]["value"], origin["result"]["value"]);
    assert_eq!(
        (&fork["queue"], &fork["tags"]),
        (&origin["queue"], &origin["tags"])
    );
    let times = |job: &Value| -> Vec<Value> {
        let steps = job["steps"].as_array().unwrap();
        steps.iter().map(|step| step["completed_at_ms"].clone()).collect()
    };
    let (before, after) = (times(&origin), times(&fork));
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_eq!(before[0], after[0], "a kept step was run again");
    assert_ne!(before[1..], after[1..], "the others were not");
    let alike = "select count(distinct (priority, workflow_timeout_ms)) from dbos.workflow_status";
    assert_eq!(
        (&fork["priority"], rig.database.psql(alike).trim()),
        (&7.into(), "1")
    );
    let from = "select forked_from from dbos.workflow_status where workflow_uuid = 'fork'";
    assert_eq!(rig.database.psql(from).trim(), "origin");
}

#[test]
fn a_large_value_is_shared_with_a_fork_and_outlives_its_origin() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "origin", "1000000"])), 0);
    let before = files(&rig.directory);
    assert_eq!(before.len(), 1, "{before:?}");
    drop(server);
    // Old enough to be garbage, if nothing refers to it.
    for value in artifacts(&rig.directory) {
        let file = File::options().write(true).open(value).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(48))
            .unwrap();
    }
    // The fork waits, with a step that refers to the value; its origin goes.
    assert_eq!(
        code(&rig.run(["fork", "origin", "--from-step", "certify", "--id", "fork"])),
        0
    );
    assert_eq!(code(&rig.run(["gc", "--keep", "0s"])), 0);
    assert_eq!(code(&rig.run(["show", "origin"])), 1, "the origin is still there");
    assert_eq!(files(&rig.directory), before);
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["wait", "fork"])), 0);
    assert_eq!(code(&rig.run(["verify", "fork"])), 0);
    assert_eq!(files(&rig.directory), before);
}

#[test]
fn a_job_that_cannot_be_forked_is_refused_in_one_line() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "origin", "10"])), 0);
    for (arguments, exit, word) in [
        (&["nobody", "--from-step", "0"][..], 1, "nobody"),
        (
            &["origin", "--from-step", "publsh"],
            2,
            "0 compute, 1 certify, 2 publish",
        ),
        (&["origin", "--from-step", "4"], 2, "there is no step 4"),
        (&["origin", "--from-step", "-1"], 2, "there is no step -1"),
        (&["origin", "--from-step", "0", "--id", "origin"], 2, "origin"),
        (&["origin", "--from-step", "0", "--id", "a b"], 2, "is not an id"),
        (&["origin"], 2, "--from-step"),
    ] {
        assert_refused(&rig.run(["fork"].iter().chain(arguments)), exit, &[word]);
    }
    assert_eq!(rig.run(["list", "--json"]).stdout.len(), 1);
}
