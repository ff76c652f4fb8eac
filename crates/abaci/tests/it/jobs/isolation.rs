//! Heavy jobs in processes of their own: what may happen to such a process, and what the worker and the job make of it.

use std::time::Duration;

use serde_json::Value;
use testkit::{Deadline, Signal, children_of, eventually, is_alive, started_child_of};

use crate::children::{files, kill};
use crate::in_process::OwnWorker;
use crate::rig::{Rig, code, objects};

/// Minutes of one core: long enough to be met in the middle.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

/// About a second of one core.
const HEAVY: [&str; 3] = ["--algorithm", "recursive", "42"];

/// F(100,000,000) has this many digits.
const DIGITS: usize = 20_898_764;

fn shown(rig: &Rig, id: &str) -> Value {
    objects(&rig.run(["show", "--json", id])).remove(0)
}

#[test]
fn a_heavy_job_computes_in_a_child_that_is_gone_when_it_ends() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = rig.submit(&HEAVY).remove(0);
    let child = started_child_of(server.pid(), &[]);
    let arguments = format!("abaci compute --worker {}", server.pid());
    assert!(child.command.ends_with(&arguments), "{child:?}");
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(objects(&output)[0]["value"], "267914296", "{output:#?}");
    assert!(!is_alive(child.pid), "the child outlived its job");
    assert_eq!(children_of(server.pid()), []);
}

#[test]
fn a_large_value_of_a_child_is_exact_and_in_its_place() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    // The client checks the value against a certificate of its own.
    let output = rig.run(["submit", "--json", "--id", "large", "100000000"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let result = objects(&output).remove(0);
    assert_eq!(
        (&result["digits"], &result["pid"]),
        (&DIGITS.into(), &server.pid().into())
    );
    let name = format!("{}.txt", result["artifact"]["blake3"].as_str().unwrap());
    assert_eq!(files(&rig.directory), [name]);
    assert_eq!(rig.run(["show", "--value", "large"]).stdout[0].len(), DIGITS);
    assert_eq!(children_of(server.pid()), []);
    server.wait_for_line("child started");
}

#[test]
fn a_small_job_starts_no_process() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "1000", "100000"])), 0);
    server.wait_for_lines("job succeeded", 2);
    let started: Vec<String> = server
        .stderr()
        .into_iter()
        .filter(|line| line.contains("child started"))
        .collect();
    assert!(started.is_empty(), "{started:#?}");
}

#[test]
fn a_killed_child_costs_its_job_an_attempt_and_no_more() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    let id = rig.submit(&HEAVY).remove(0);
    kill(started_child_of(server.pid(), &[]).pid);
    let output = rig.run(["wait", "--json", &id]);
    let result = &objects(&output)[0];
    assert_eq!(
        (&result["value"], &result["pid"], &result["attempts"]),
        (&"267914296".into(), &server.pid().into(), &1.into()),
        "{output:#?}"
    );
    assert!(server.try_exit().is_none(), "the worker died of its child");
    let told = server.wait_for_line("step failed");
    assert!(told.contains("killed by SIGKILL"), "{told}");
    server.wait_for_lines("child started", 2);
}

#[test]
fn a_cancel_stops_the_child_and_leaves_nothing() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = rig.submit(&ENDLESS).remove(0);
    let child = started_child_of(server.pid(), &[]).pid;
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    // Half a second on a machine that has nothing else to do.
    Deadline::after(Duration::from_secs(3)).eventually("the child to be gone", || !is_alive(child));
    assert_eq!(files(&rig.directory), [""; 0]);
    assert_eq!(code(&rig.run(["submit", "10"])), 0, "the worker did not go on");
    assert_eq!(children_of(server.pid()), []);
}

#[test]
fn a_drain_past_its_grace_time_leaves_no_child() {
    let rig = Rig::new();
    let server = rig.server(&["--grace", "0s"]);
    let id = rig.submit(&ENDLESS).remove(0);
    let child = started_child_of(server.pid(), &[]).pid;
    server.signal(Signal::TERM);
    let output = server.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(!is_alive(child), "the child outlived its worker");
    assert_eq!(shown(&rig, &id)["state"], "queued");
    assert_eq!(files(&rig.directory), [""; 0]);
}

#[test]
fn a_worker_that_is_killed_takes_its_child_along() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    rig.submit(&ENDLESS);
    let child = started_child_of(server.pid(), &[]).pid;
    server.kill();
    Deadline::after(Duration::from_secs(1)).eventually("the child to be gone", || !is_alive(child));
}

#[test]
fn limits_of_time_end_the_child_and_are_named() {
    for (limit, name, words) in [
        (
            ["--job-cpu-time", "1s"],
            "CpuTimeExceeded",
            ["1s", "--job-cpu-time"],
        ),
        (
            ["--job-time", "200ms"],
            "WallTimeExceeded",
            ["200ms", "--job-time"],
        ),
    ] {
        let rig = Rig::new();
        let mut server = rig.server(&limit);
        let id = rig.submit(&ENDLESS).remove(0);
        let output = rig.run(["wait", "--json", &id]);
        assert_eq!(code(&output), 1, "{output:#?}");
        let message = shown(&rig, &id)["error"]["message"].to_string();
        for word in words {
            assert!(message.contains(word), "{name}: {word:?} is not in: {message}");
        }
        assert_eq!(code(&rig.run(["submit", "10"])), 0, "the queue did not go on");
        assert!(server.try_exit().is_none(), "the worker died of its child");
        assert_eq!(children_of(server.pid()), []);
    }
}

#[test]
fn a_child_that_needs_more_memory_than_it_may_have_fails_alone() {
    let rig = Rig::new();
    let worker = OwnWorker::start(&rig, |isolation| isolation.memory_bytes = 1_000_000);
    let id = rig.submit(&["200000000"]).remove(0);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&output), 1, "{output:#?}");
    let message = shown(&rig, &id)["error"]["message"].to_string();
    assert!(
        message.contains("limit of 1 MB") && message.contains("Isolation::memory_bytes"),
        "{message}"
    );
    assert_eq!(code(&rig.run(["submit", "10"])), 0, "the queue did not go on");
    assert_eq!(files(&rig.directory), [""; 0]);
    worker.stop();
}

#[test]
fn the_progress_of_a_child_is_that_of_its_job() {
    let rig = Rig::new();
    let worker = OwnWorker::start(&rig, |_| {});
    let id = rig.submit(&["--algorithm", "recursive", "46"]).remove(0);
    let progress = || {
        let report = worker.observer().report();
        let job = report.running.into_iter().next()?;
        job.progress.filter(|_| job.step.as_deref() == Some("compute"))
    };
    let first = eventually("progress", progress);
    eventually("more progress", || progress().is_some_and(|later| later > first));
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    worker.stop();
}

#[test]
fn a_computing_process_belongs_to_its_worker() {
    let rig = Rig::new();
    let output = rig.run(["compute", "--worker", "1"]);
    crate::rig::assert_refused(&output, 2, &["abaci serve"]);
}
