//! Huge numbers from state to state: whatever dies or is spoilt on the way, the digits are exact, and a crash costs no more
//! than what was computed since the last state.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testkit::{InsertHold, ObjectServer, Process, eventually, started_child_of};

use crate::children::{artifacts, files, kill, stop};
use crate::rig::{Rig, assert_refused, code, objects};

/// Half of it are its first state and some hundred milliseconds of one core, and so is the rest.
const N: &str = "200000000";

/// Its digits go to an artifact, and its state too; microseconds.
const SMALL_N: &str = "100000";

const GIANT: [&str; 2] = ["--algorithm", "giant"];

fn submit(rig: &Rig, n: &str) -> String {
    rig.submit(&[GIANT[0], GIANT[1], n]).remove(0)
}

/// The recorded result of a job that succeeded.
#[track_caller]
fn result(rig: &Rig, id: &str) -> Value {
    let output = rig.run(["wait", "--json", id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    objects(&output).remove(0)
}

/// Asserts that all digits are there and agree with a certificate that was computed here, and that nothing else is.
#[track_caller]
fn assert_exact(rig: &Rig, id: &str) {
    let result = result(rig, id);
    let output = rig.run(["verify", id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let value = format!("{}.txt", result["artifact"]["blake3"].as_str().unwrap());
    assert_eq!(files(&rig.directory), [value]);
}

/// Counts the steps of this name that were done, by the log.
fn times_done(server: &Process, step: &str) -> usize {
    let is_it = |line: &String| line.contains("step done") && line.contains(&format!("step=\"{step}\""));
    server.stderr().iter().filter(|line| is_it(line)).count()
}

fn children_started(server: &Process) -> usize {
    let is_it = |line: &&String| line.contains("child started");
    server.stderr().iter().filter(is_it).count()
}

/// Holds jobs between their state and their digits, for as long as it lives.
fn hold_before_digits(rig: &Rig) -> InsertHold<'_> {
    rig.database
        .hold_inserts("dbos.operation_outputs", "new.function_name = 'digits'")
}

/// Kills a server that has recorded the state of a giant job, and no more; returns the job.
fn killed_after_the_state(rig: &Rig) -> String {
    let mut server = rig.server(&[]);
    let _hold = hold_before_digits(rig);
    let id = submit(rig, N);
    eventually("the checkpoint", || recorded(rig, &id) == "double");
    server.kill();
    id
}

/// The names of the recorded steps of a job.
fn recorded(rig: &Rig, id: &str) -> String {
    let names = format!(
        "select string_agg(function_name, ' ' order by function_id) from dbos.operation_outputs where workflow_uuid = '{id}'"
    );
    rig.database.psql(&names).trim().to_owned()
}

fn state(rig: &Rig) -> PathBuf {
    let is_state = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "state");
    let states: Vec<PathBuf> = artifacts(&rig.directory).into_iter().filter(is_state).collect();
    assert_eq!(states.len(), 1, "{states:?}");
    states[0].clone()
}

#[test]
fn a_giant_leaves_nothing_but_its_value() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = submit(&rig, N);
    assert_exact(&rig, &id);
    assert_eq!(recorded(&rig, &id), "double digits certify publish");
    assert_eq!(result(&rig, &id)["algorithm"], "giant");
    assert_eq!(children_started(&server), 1, "its steps share one process");
}

#[test]
fn a_small_giant_needs_no_process_and_has_the_same_digits() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = submit(&rig, SMALL_N);
    assert_exact(&rig, &id);
    assert_eq!(recorded(&rig, &id), "double digits certify publish");
    let other = rig.submit(&[SMALL_N]).remove(0);
    assert_eq!(result(&rig, &id)["artifact"], result(&rig, &other)["artifact"]);
    assert!(server.stderr().iter().all(|line| !line.contains("child started")));
}

#[test]
fn after_a_killed_server_another_goes_on_from_the_last_state() {
    let rig = Rig::new();
    let id = killed_after_the_state(&rig);
    let state = state(&rig);
    let second = rig.server(&[]);
    assert_exact(&rig, &id);
    second.wait_for_line("job succeeded");
    assert_eq!(
        (times_done(&second, "double"), times_done(&second, "digits")),
        (0, 1),
        "a recorded step was done again: {:#?}",
        second.stderr()
    );
    assert!(!state.exists(), "the state outlived its job");
}

#[test]
fn a_spoilt_or_lost_state_is_noticed_and_computed_again() {
    let flipped = |path: &PathBuf| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &PathBuf| {
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(1000)
            .unwrap();
    };
    let removed = |path: &PathBuf| fs::remove_file(path).unwrap();
    for (spoil, word) in [
        (&flipped as &dyn Fn(&PathBuf), "BLAKE3"),
        (&cut, "no state"),
        (&removed, "No such file"),
    ] {
        let rig = Rig::new();
        let id = killed_after_the_state(&rig);
        spoil(&state(&rig));
        let second = rig.server(&[]);
        assert_exact(&rig, &id);
        let told = second.wait_for_line("step failed");
        assert!(told.contains(word) && told.contains("going on from"), "{told}");
        assert_eq!(recorded(&rig, &id), "double digits certify publish");
    }
}

#[test]
fn after_a_killed_child_another_goes_on_from_the_last_state() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = submit(&rig, "400000000");
    let child = started_child_of(server.pid(), &[]).pid;
    // Half of the work is left then; what is stopped does none of it while the checkpoint is looked for.
    eventually("the state", || {
        files(&rig.directory).iter().any(|name| name.contains(".state"))
    });
    stop(child);
    eventually("the checkpoint", || recorded(&rig, &id) == "double");
    kill(child);
    assert_exact(&rig, &id);
    server.wait_for_lines("child started", 2);
    let told = server.wait_for_line("step failed");
    assert!(told.contains("SIGKILL"), "{told}");
    assert_eq!(
        (times_done(&server, "double"), times_done(&server, "digits")),
        (1, 1)
    );
}

#[test]
fn a_file_that_may_not_be_so_large_is_the_reason() {
    let rig = Rig::new();
    // A file may have a megabyte, and the signal that says so is ignored, so that writing fails. No waiting would help.
    let mut limited = Command::new("/bin/sh");
    let server = rig.abaci(["serve", "--poll-interval", "5ms"]);
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""])
        .arg(server.get_program())
        .args(server.get_args())
        .env_clear()
        .envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let _server = Process::ready(limited);
    for job in [&[GIANT[0], GIANT[1], N][..], &[N]] {
        let id = rig.submit(job).remove(0);
        assert_eq!(code(&rig.run(["wait", &id])), 1);
        let shown = objects(&rig.run(["show", "--json", &id])).remove(0);
        let message = shown["error"]["message"].to_string();
        assert!(
            message.contains("data/artifacts") && message.contains("File too large"),
            "{message}"
        );
        assert_eq!(files(&rig.directory), [""; 0]);
    }
    assert_eq!(code(&rig.run(["submit", "100"])), 0, "the queue did not go on");
}

/// A server of this rig that keeps its artifacts in a bucket.
fn server_with(rig: &Rig, bucket: &ObjectServer) -> Process {
    let place = format!("{}/some/where", bucket.url());
    let mut command = rig.abaci(["serve", "--poll-interval", "5ms", "--artifacts", &place]);
    command.envs(bucket.environment());
    Process::spawn(command)
}

/// Runs a command that may read the bucket.
fn run_with(rig: &Rig, bucket: &ObjectServer, arguments: &[&str]) -> testkit::Output {
    let mut command = rig.abaci(arguments);
    command.envs(bucket.environment());
    Process::spawn(command).finish()
}

#[test]
fn a_bucket_keeps_values_and_states_and_this_host_keeps_nothing() {
    let (rig, bucket) = (Rig::new(), ObjectServer::start());
    let mut server = server_with(&rig, &bucket);
    server.wait_for_line("ready");
    // Its digits are more than one part of an upload.
    let hold = hold_before_digits(&rig);
    let id = submit(&rig, N);
    eventually("the checkpoint", || recorded(&rig, &id) == "double");
    server.kill();
    drop(hold);
    let is_state = |key: &&String| key.starts_with("some/where/") && key.contains(".state");
    assert_eq!(bucket.objects().iter().filter(is_state).count(), 1);
    let second = server_with(&rig, &bucket);
    let result = result(&rig, &id);
    assert_eq!(times_done(&second, "double"), 0, "{:#?}", second.stderr());
    let name = format!("{}.txt", result["artifact"]["blake3"].as_str().unwrap());
    let objects = bucket.objects();
    assert!(
        matches!(&objects[..], [value] if value.ends_with(&name)),
        "{objects:?}"
    );
    eventually("nothing on this host", || files(&rig.directory).is_empty());

    let verified = run_with(&rig, &bucket, &["verify", &id]);
    assert_eq!(code(&verified), 0, "{verified:#?}");
    let shown = run_with(&rig, &bucket, &["show", "--tail", "20", &id]);
    assert_eq!(shown.stdout, [result["tail"].as_str().unwrap()]);
    let mut digits = bucket.read(&objects[0]);
    digits[1000] = if digits[1000] == b'7' { b'8' } else { b'7' };
    bucket.write(&objects[0], &digits);
    let verified = run_with(&rig, &bucket, &["verify", &id]);
    assert_eq!(code(&verified), 1, "{verified:#?}");
}

#[test]
fn a_bucket_gone_or_closed_is_the_reason_and_leaves_nothing() {
    for (close, word) in [
        (
            ObjectServer::remove_bucket as fn(&ObjectServer),
            "bucket does not exist",
        ),
        (|bucket| bucket.deny(true), "access denied"),
    ] {
        let (rig, bucket) = (Rig::new(), ObjectServer::start());
        let server = server_with(&rig, &bucket);
        server.wait_for_line("ready");
        close(&bucket);
        for job in [SMALL_N, N] {
            let id = submit(&rig, job);
            assert_eq!(code(&rig.run(["wait", &id])), 1);
            let shown = objects(&rig.run(["show", "--json", &id])).remove(0);
            let message = shown["error"]["message"].to_string();
            assert!(message.contains("s3://") && message.contains(word), "{message}");
            assert_eq!(files(&rig.directory), [""; 0]);
        }
        assert_eq!(bucket.unfinished_uploads(), 0);
        assert_eq!(code(&rig.run(["submit", "100"])), 0, "the queue did not go on");

        let refused = server_with(&rig, &bucket).finish();
        assert_refused(&refused, 2, &["s3://", word]);
    }
}

#[test]
fn a_bucket_that_is_closed_for_a_while_costs_no_computation() {
    let (rig, bucket) = (Rig::new(), ObjectServer::start());
    let server = server_with(&rig, &bucket);
    server.wait_for_line("ready");
    bucket.deny(true);
    let id = submit(&rig, N);
    server.wait_for_line("step failed");
    bucket.deny(false);
    result(&rig, &id);
    assert_eq!(children_started(&server), 1, "{:#?}", server.stderr());
    let verified = run_with(&rig, &bucket, &["verify", &id]);
    assert_eq!(code(&verified), 0, "{verified:#?}");
}

#[test]
fn a_place_that_is_none_is_refused_before_anything_is_started() {
    let rig = Rig::new();
    for place in [
        "http://127.0.0.1/bucket",
        "s3://",
        "s3:/bucket",
        "s3://bucket/a?region=b",
        "s3://user@bucket",
        "s3://bucket:9000/a",
    ] {
        let refused = rig.run(["serve", "--artifacts", place]);
        assert_refused(&refused, 2, &[place, "s3://bucket"]);
    }
}
