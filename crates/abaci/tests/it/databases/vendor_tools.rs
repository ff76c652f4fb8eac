//! The command line of DBOS itself, from its library for Python, against a living worker that has one slot.
//!
//! `./check` installs it; without it the tests fail and say how, since a skipped promise is a broken one.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Output, Process};

use crate::rig::{Rig, code, objects, run};

/// Minutes of one core, in a computing process that can be looked for.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

/// Runs `dbos workflow` with these arguments.
fn dbos(rig: &Rig, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python-client/bin/dbos");
    assert!(
        program.exists(),
        "{} is missing; ./check installs it",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .arg("workflow")
        .args(arguments)
        .args(["--sys-db-url", &url_of(rig)]);
    let output = run(command);
    assert_eq!(code(&output), 0, "{output:#?}");
    output
}

/// The address of the rig's database as the tool reads it.
fn url_of(rig: &Rig) -> String {
    let url = rig.database.url();
    url.replacen("postgres://", "postgresql://", 1)
}

/// The JSON that the tool prints, after whatever it logs.
fn json_of(output: &Output) -> Value {
    let text = output.stdout.join("\n");
    let start = text.find(['[', '{']).unwrap_or_else(|| panic!("{output:#?}"));
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    values.next().unwrap().unwrap()
}

fn column(rig: &Rig, id: &str, name: &str) -> String {
    let select = format!("select {name} from dbos.workflow_status where workflow_uuid = '{id}'");
    rig.database.psql(&select).trim().to_owned()
}

#[test]
fn the_vendors_tool_shows_our_jobs_their_steps_and_our_queue() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let output = rig.run(["submit", "--id", "mine", "100"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let listed = json_of(&dbos(&rig, &["list"]));
    assert_eq!(listed[0]["workflow_id"], "mine", "{listed}");
    let shown = json_of(&dbos(&rig, &["get", "mine"]));
    assert_eq!(
        (&shown["status"], &shown["queue_name"]),
        (&"SUCCESS".into(), &"fibonacci".into()),
        "{shown}"
    );
    let steps = json_of(&dbos(&rig, &["steps", "mine"]));
    let names: Vec<&str> = steps
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["function_name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["compute", "certify", "publish"], "{steps}");
    let registered = "select name from dbos.queues";
    assert_eq!(rig.database.psql(registered).trim(), "fibonacci");
}

#[test]
fn the_vendors_tool_cancels_and_resumes_within_our_slots() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let endless = rig.submit(&ENDLESS).remove(0);
    server.wait_for_line("child started");
    let waiting = rig.submit(&["10"]).remove(0);
    let listed = dbos(&rig, &["queue", "list"]).stdout.join("\n");
    assert!(listed.contains(&waiting), "{listed}");
    dbos(&rig, &["cancel", &waiting]);
    assert_eq!(column(&rig, &waiting, "status"), "CANCELLED");
    dbos(&rig, &["resume", &waiting]);
    assert_eq!(column(&rig, &waiting, "queue_name"), "fibonacci");
    // The only slot is taken; a queue of the engine's own would have started it beside the other job.
    let next = rig.submit(&["--priority", "1", "20"]).remove(0);
    assert_eq!(column(&rig, &waiting, "status"), "ENQUEUED");
    dbos(&rig, &["cancel", &endless]);
    for id in [&waiting, &next] {
        let output = rig.run(["wait", id]);
        assert_eq!(code(&output), 0, "{output:#?}");
    }
}

#[test]
fn the_vendors_tool_forks_a_job_on_its_own_queue() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let output = rig.run(["submit", "--id", "origin", "100"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let busy = rig.submit(&ENDLESS).remove(0);
    server.wait_for_line("child started");
    dbos(
        &rig,
        &["fork", "origin", "--step", "2", "--forked-workflow-id", "forked"],
    );
    assert_eq!(column(&rig, "forked", "queue_name"), "fibonacci");
    assert_eq!(column(&rig, &busy, "status"), "PENDING");
    assert_eq!(column(&rig, "forked", "status"), "ENQUEUED");
    assert_eq!(code(&rig.run(["cancel", &busy])), 0);
    assert_eq!(code(&rig.run(["wait", "forked"])), 0);
    let shown = objects(&rig.run(["show", "--json", "forked"])).remove(0);
    assert_eq!(shown["result"]["value"], "354224848179261915075", "{shown}");
    // The steps before it are kept: they have the origin's times.
    let kept = "select count(*) from dbos.operation_outputs fork join dbos.operation_outputs origin \
        using (function_id, output) where fork.workflow_uuid = 'forked' and origin.workflow_uuid = 'origin'";
    assert!(rig.database.psql(kept).trim().parse::<u32>().unwrap() >= 1);
}

#[test]
fn a_resumed_job_of_a_paused_queue_waits_too() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    assert_eq!(code(&rig.run(["queue", "pause"])), 0);
    server.wait_for_line("queue is paused");
    let id = rig.submit(&["10"]).remove(0);
    dbos(&rig, &["cancel", &id]);
    dbos(&rig, &["resume", &id]);
    let wait = Process::spawn(rig.abaci(["wait", &id]));
    wait.wait_for_line("is paused");
    assert_eq!(column(&rig, &id, "status"), "ENQUEUED");
    assert_eq!(code(&rig.run(["queue", "resume"])), 0);
    assert_eq!(code(&wait.finish()), 0);
}
