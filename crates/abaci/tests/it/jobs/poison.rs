//! Jobs that cost processes: parked in time, listed, resumed by a person, and not before.

use serde_json::Value;
use testkit::started_child_of;

use crate::children::{files, kill};
use crate::in_process::OwnWorker;
use crate::rig::{Rig, assert_refused, code, objects};

/// About a second of one core.
const HEAVY: [&str; 3] = ["--algorithm", "recursive", "42"];

/// Minutes of one core.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

fn shown(rig: &Rig, id: &str) -> Value {
    objects(&rig.run(["show", "--json", id])).remove(0)
}

/// Asserts that the job is parked with all of these words in its reason.
#[track_caller]
fn assert_parked(rig: &Rig, id: &str, words: &[&str]) {
    let output = rig.run(["wait", "--json", id]);
    assert_eq!(code(&output), 1, "{output:#?}");
    let job = shown(rig, id);
    assert_eq!(job["state"], "parked", "{job:#}");
    let message = job["error"]["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn a_job_whose_child_dies_three_times_is_parked_and_resumed() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    let id = rig.submit(&HEAVY).remove(0);
    let next = rig.submit(&["10"]).remove(0);
    let mut last = None;
    for _ in 0..3 {
        let child = started_child_of(server.pid(), last.as_slice()).pid;
        kill(child);
        last = Some(child);
    }
    assert_parked(&rig, &id, &["died 3 times", "killed by SIGKILL", "abaci resume"]);
    assert_eq!(code(&rig.run(["wait", &next])), 0, "the queue did not go on");
    assert!(server.try_exit().is_none(), "the worker died of its child");
    for flag in [&["--parked"][..], &["--state", "parked"]] {
        let listed = objects(&rig.run(["list", "--json"].iter().chain(flag)));
        assert_eq!(listed.len(), 1, "{listed:#?}");
        assert_eq!(listed[0]["workflow_id"], id.as_str());
    }
    let resumed = rig.run(["resume", &id]);
    assert_eq!(
        (code(&resumed), resumed.stdout),
        (0, vec![format!("resumed {id}")])
    );
    let output = rig.run(["wait", "--json", &id]);
    let result = &objects(&output)[0];
    assert_eq!(
        (&result["value"], &result["attempts"]),
        (&"267914296".into(), &1.into()),
        "{output:#?}"
    );
    assert!(rig.run(["list", "--json", "--parked"]).stdout.is_empty());
}

#[test]
fn a_job_that_needs_more_memory_is_parked_until_granted_it() {
    let rig = Rig::new();
    let worker = OwnWorker::start(&rig, |isolation| isolation.memory_bytes = 1_000_000);
    let id = rig.submit(&["200000000"]).remove(0);
    assert_parked(
        &rig,
        &id,
        &["died 3 times", "limit of 1 MB", "Isolation::memory_bytes"],
    );
    assert_eq!(code(&rig.run(["submit", "10"])), 0, "the queue did not go on");
    assert_eq!(files(&rig.directory), [""; 0]);
    assert_eq!(code(&rig.run(["resume", "--job-memory", "4GiB", &id])), 0);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(files(&rig.directory).len(), 1);
    worker.stop();
}

#[test]
fn a_grant_of_memory_counts_for_the_estimate_too() {
    let rig = Rig::new();
    let id = rig.submit(&["20000000"]).remove(0);
    let _server = rig.server(&["--job-memory", "10MB"]);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&output), 1, "{output:#?}");
    assert_eq!(shown(&rig, &id)["state"], "failed");
    assert_eq!(code(&rig.run(["resume", "--job-memory", "1GiB", &id])), 0);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&output), 0, "{output:#?}");
}

#[test]
fn only_a_job_that_ended_without_a_value_can_be_resumed() {
    let rig = Rig::new();
    assert_refused(&rig.run(["resume", "nobody"]), 1, &["no job has the id nobody"]);
    let waiting = rig.submit(&["--id", "waiting", "10"]).remove(0);
    assert_refused(&rig.run(["resume", &waiting]), 1, &["job waiting is queued"]);
    let server = rig.server(&[]);
    assert_eq!(code(&rig.run(["wait", "waiting"])), 0);
    assert_refused(&rig.run(["resume", "waiting"]), 1, &["job waiting is succeeded"]);
    let running = rig.submit(&ENDLESS).remove(0);
    started_child_of(server.pid(), &[]);
    assert_refused(&rig.run(["resume", &running]), 1, &[&running, "is running"]);
    assert_eq!(code(&rig.run(["cancel", &running])), 0);
}

#[test]
fn a_cancelled_job_can_be_resumed_even_at_once() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    for number in 0..5 {
        let id = rig
            .submit(&["--id", &format!("job-{number}"), "--algorithm", "recursive", "41"])
            .remove(0);
        started_child_of(server.pid(), &[]);
        assert_eq!(code(&rig.run(["cancel", &id])), 0);
        assert_eq!(code(&rig.run(["resume", &id])), 0);
        let output = rig.run(["wait", "--json", &id]);
        assert_eq!(objects(&output)[0]["value"], "165580141", "{output:#?}");
    }
}

#[test]
fn a_resumed_job_keeps_its_recorded_steps() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "mine", "1000"])), 0);
    // As if the second step had failed for good.
    rig.database.psql(
        "update dbos.workflow_status set status = 'ERROR', output = null, error = '{}' where workflow_uuid = 'mine'; \
         update dbos.operation_outputs set output = null, error = '{}' \
         where workflow_uuid = 'mine' and function_name = 'certify'; \
         delete from dbos.operation_outputs where workflow_uuid = 'mine' and function_name = 'publish'",
    );
    let first_step = "select started_at_epoch_ms from dbos.operation_outputs where function_name = 'compute'";
    let before = rig.database.psql(first_step);
    assert_eq!(code(&rig.run(["resume", "mine"])), 0);
    assert_eq!(code(&rig.run(["wait", "mine"])), 0);
    assert_eq!(rig.database.psql(first_step), before, "a recorded step ran again");
}
