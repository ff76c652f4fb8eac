//! What a server says and how it ends; what it survives is tested elsewhere.

use serde_json::Value;
use testkit::{Process, Signal};

use crate::rig::{Rig, assert_refused, code};

#[test]
fn a_server_says_who_it_is_when_it_is_ready() {
    let rig = Rig::new();
    let server = rig.server(&["--log-format", "json", "--concurrency", "3"]);
    let ready: Value = serde_json::from_str(&server.wait_for_line("\"ready\"")).unwrap();
    assert_eq!(
        (&ready["pid"], &ready["ppid"]),
        (&server.pid().into(), &std::process::id().into()),
        "{ready}"
    );
    assert_eq!(
        (&ready["queue"], &ready["concurrency"]),
        (&"fibonacci".into(), &3.into()),
        "{ready}"
    );
    assert!(ready["executor_id"].as_str().unwrap().ends_with("/0"), "{ready}");
    assert!(
        ready["database"].as_str().unwrap().contains(rig.database.name()),
        "{ready}"
    );
}

#[test]
fn every_line_of_a_job_says_which_job_and_which_process() {
    let rig = Rig::new();
    let server = rig.server(&["--log-format", "json"]);
    assert_eq!(code(&rig.run(["submit", "--id", "mine", "10"])), 0);
    server.wait_for_line("job succeeded");
    let lines: Vec<Value> = server
        .stderr()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_job: Vec<&Value> = lines
        .iter()
        .filter(|line| line["workflow_id"] == "mine")
        .collect();
    assert_eq!(of_job.len(), 5, "start, three steps and end: {of_job:#?}");
    for line in of_job {
        assert_eq!(
            (&line["n"], &line["pid"]),
            (&10.into(), &server.pid().into()),
            "{line}"
        );
        assert!(
            line["ppid"].is_number() && line["algorithm"] == "doubling",
            "{line}"
        );
    }
}

#[test]
fn a_server_that_is_asked_to_stop_says_what_it_did_and_succeeds() {
    for signal in [Signal::TERM, Signal::INT] {
        let rig = Rig::new();
        let server = rig.server(&[]);
        server.signal(signal);
        let output = server.finish();
        assert_eq!(code(&output), 0, "{output:#?}");
        let last = output.stderr.last().unwrap();
        assert!(last.contains("drained finished=0 handed_back=0"), "{last}");
    }
}

#[test]
fn a_slot_of_a_living_server_is_refused_with_its_process() {
    let rig = Rig::new();
    let first = rig.server(&["--slot", "4"]);
    let second = rig.run(["serve", "--slot", "4"]);
    assert_refused(&second, 2, &["/4", &first.pid().to_string(), "another slot"]);
    let third = rig.server(&[]);
    assert!(
        third.wait_for_line("ready").contains("/0"),
        "the lowest free slot was not taken"
    );
}

#[test]
fn a_server_whose_starter_is_gone_ends_if_it_was_told_to() {
    let rig = Rig::new();
    let mut server = Process::ready(rig.abaci(["serve", "--until-stdin-closes"]));
    server.close_stdin();
    assert_eq!(code(&server.finish()), 0);
}
