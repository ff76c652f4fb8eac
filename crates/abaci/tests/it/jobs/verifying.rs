//! Checking values after the fact, and printing them or their ends.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::{ObjectServer, Output, Process};

use crate::rig::{Rig, assert_refused, code, objects, run};

const HEAD: &str = "25974069347221724166";
const TAIL: &str = "49895374653428746875";

/// A rig with F(100) under the id `small` and F(100000), whose digits are an artifact, under `large`.
fn computed() -> (Rig, Process) {
    let rig = Rig::new();
    let server = rig.server(&[]);
    for (id, n) in [("small", "100"), ("large", "100000")] {
        assert_eq!(code(&rig.run(["submit", "--id", id, n])), 0);
    }
    (rig, server)
}

/// The file that the value of a job is in.
pub(crate) fn artifact_of(rig: &Rig, id: &str) -> PathBuf {
    let detail = objects(&rig.run(["show", "--json", id])).remove(0);
    let uri = detail["result"]["artifact"]["uri"].as_str().unwrap();
    uri.strip_prefix("file://").unwrap().into()
}

/// Makes another digit of one in the middle.
fn flipped(mut digits: Vec<u8>) -> Vec<u8> {
    let middle = digits.len() / 2;
    digits[middle] = if digits[middle] == b'7' { b'8' } else { b'7' };
    digits
}

/// Asserts that the output is nothing but one line of data.
#[track_caller]
fn assert_said(output: &Output, line: &str) {
    assert_eq!(
        (code(output), output.stdout.as_slice()),
        (0, [line.to_owned()].as_slice()),
        "{output:#?}"
    );
    assert!(output.stderr.is_empty(), "{output:#?}");
}

#[test]
fn a_good_value_is_verified_wherever_it_is_kept() {
    let (rig, _server) = computed();
    let agree = "digits, residues modulo three primes and BLAKE3 agree";
    assert_said(
        &rig.run(["verify", "small"]),
        &format!("F(100) verified: 21 {agree}"),
    );
    assert_said(
        &rig.run(["verify", "large"]),
        &format!("F(100000) verified: 20899 {agree}"),
    );
    let output = rig.run(["verify", "--json", "large"]);
    assert_eq!(
        (code(&output), objects(&output).remove(0)),
        (
            0,
            serde_json::json!({"workflow_id": "large", "n": 100_000, "digits": 20_899, "verified": true})
        )
    );
}

#[test]
fn a_value_with_one_wrong_digit_is_neither_verified_nor_printed() {
    let (rig, _server) = computed();
    let artifact = artifact_of(&rig, "large");
    fs::write(&artifact, flipped(fs::read(&artifact).unwrap())).unwrap();
    let words = ["changed", artifact.to_str().unwrap()];
    assert_refused(&rig.run(["verify", "large"]), 1, &words);
    for arguments in [["--value"].as_slice(), &["--head", "5"], &["--tail", "5"]] {
        let arguments = ["show", "large"].iter().chain(arguments);
        assert_refused(&rig.run(arguments), 1, &words);
    }
    let output = rig.run(["verify", "--json", "large"]);
    let verdict = objects(&output).remove(0);
    assert_eq!((code(&output), &verdict["verified"]), (1, &false.into()));
    assert!(
        verdict["error"].as_str().unwrap().contains("changed"),
        "{verdict}"
    );
}

#[test]
fn a_wrong_digit_in_the_database_is_noticed_too() {
    let (rig, _server) = computed();
    rig.database
        .psql("update dbos.workflow_status set output = replace(output, '354224848179261915075', '354224848179261915076')");
    assert_refused(&rig.run(["verify", "small"]), 1, &["F(100)", "modulo"]);
    assert_refused(&rig.run(["show", "--value", "small"]), 1, &["F(100)", "modulo"]);
}

#[test]
fn a_value_that_is_missing_is_said_to_be_so() {
    let (rig, _server) = computed();
    let artifact = artifact_of(&rig, "large");
    fs::remove_file(&artifact).unwrap();
    let words = [artifact.to_str().unwrap(), "it is not there"];
    assert_refused(&rig.run(["verify", "large"]), 1, &words);
    assert_refused(&rig.run(["show", "--value", "large"]), 1, &words);
}

#[test]
fn a_job_without_a_value_has_none_to_verify() {
    let rig = Rig::new();
    let id = rig.submit(&["10"]).remove(0);
    assert_refused(&rig.run(["verify", &id]), 1, &[&id, "queued"]);
    assert_refused(&rig.run(["verify", "nobody"]), 1, &["no job has the id nobody"]);
}

#[test]
fn a_value_in_a_bucket_is_verified_and_shown_from_there() {
    let (rig, bucket) = (Rig::new(), ObjectServer::start());
    let on_bucket = |arguments: &[&str]| -> Command {
        let mut command = rig.abaci(arguments.iter().chain(&["--artifacts", &bucket.url()]));
        command.envs(bucket.environment());
        command
    };
    let _server = Process::ready(on_bucket(&["serve"]));
    assert_eq!(code(&run(on_bucket(&["submit", "--id", "large", "100000"]))), 0);
    assert_eq!(code(&run(on_bucket(&["verify", "large"]))), 0);
    assert_said(&run(on_bucket(&["show", "large", "--tail", "20"])), TAIL);

    let [key] = bucket.objects().try_into().unwrap();
    bucket.write(&key, &flipped(bucket.read(&key)));
    assert_refused(&run(on_bucket(&["verify", "large"])), 1, &["s3://", "changed"]);
    bucket.remove_bucket();
    assert_refused(
        &run(on_bucket(&["verify", "large"])),
        1,
        &["s3://", "does not exist"],
    );
}

#[test]
fn the_ends_of_a_value_are_shown_on_their_own() {
    let (rig, _server) = computed();
    let show = |arguments: &[&str]| rig.run(["show"].iter().chain(arguments));
    assert_said(&show(&["large", "--head", "20"]), HEAD);
    assert_said(&show(&["large", "--value", "--tail", "20"]), TAIL);
    let both = show(&["large", "--head", "20", "--tail", "20"]);
    assert_eq!(
        (code(&both), both.stdout),
        (0, vec![HEAD.into(), "…".into(), TAIL.into()])
    );
    let whole = "354224848179261915075";
    for ends in [
        ["--head", "21"].as_slice(),
        &["--tail", "99"],
        &["--head", "11", "--tail", "10"],
    ] {
        assert_said(&show(&[["small"].as_slice(), ends].concat()), whole);
    }
    assert_said(&show(&["small", "--head", "1"]), "3");
}

#[test]
fn ends_that_make_no_sense_are_refused() {
    let rig = Rig::new();
    assert_refused(&rig.run(["show", "id", "--head", "0"]), 2, &["--head", "0"]);
    assert_refused(&rig.run(["show", "id", "--tail", "x"]), 2, &["--tail", "x"]);
    for flag in ["--json", "--watch"] {
        assert_refused(
            &rig.run(["show", "id", "--head", "5", flag]),
            2,
            &["--head", flag],
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_of_a_value_ends_it_quietly() {
    let (rig, _server) = computed();
    // More than a pipe holds, so that the program is still writing when its reader leaves.
    assert_eq!(code(&rig.run(["submit", "--id", "larger", "5000000"])), 0);
    let mut child = rig
        .abaci(["show", "--value", "larger"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert!(first.iter().all(u8::is_ascii_digit));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
