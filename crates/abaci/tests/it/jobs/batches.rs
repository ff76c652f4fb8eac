//! Jobs that are submitted together, in an order, at a moment, under a key or with tags.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Process, Signal};

use crate::rig::{Rig, assert_refused, code, objects, run};

const JOBS: usize = 3_000;

/// A submission of many jobs that is the same each time, but for what is added.
fn many(rig: &Rig, more: &[&str]) -> Command {
    let jobs = JOBS.to_string();
    let arguments = [
        "submit", "--detach", "--random", &jobs, "--range", "1..=90", "--seed", "7",
    ];
    rig.abaci(arguments.iter().chain(more))
}

/// The batch that a submission said before it queued anything.
fn batch_of(line: &str) -> &str {
    let rest = line.strip_prefix("batch ").unwrap();
    rest.split_once(": ").unwrap().0
}

fn rows(rig: &Rig, which: &str) -> usize {
    let count = format!("select count(*) from dbos.workflow_status where {which}");
    rig.database.psql(&count).trim().parse().unwrap()
}

/// The indices of jobs in the order in which they are claimed.
fn in_order(rig: &Rig, which: &str) -> Vec<String> {
    let inputs = rig.database.psql(&format!(
        "select inputs::json->>'n' from dbos.workflow_status where {which} \
         order by priority, created_at, workflow_uuid collate \"C\""
    ));
    inputs.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_killed_submission_is_completed_by_its_batch() {
    let rig = Rig::new();
    // The tables are there, so that the moments are those of the submission.
    rig.submit(&["1"]);
    let whole = run(many(&rig, &["--batch", "whole"]));
    assert_eq!(
        (code(&whole), whole.stdout.len()),
        (0, JOBS),
        "{:#?}",
        whole.stderr
    );
    let expected = in_order(&rig, "workflow_uuid like 'whole-%'");
    for kill in 0..10 {
        let position = 1 + kill * JOBS / 10;
        let condition = format!("new.workflow_uuid like '%-{position:07}'");
        let hold = rig.database.hold_inserts("dbos.workflow_status", &condition);
        let mut submit = Process::spawn(many(&rig, &[]));
        hold.await_somebody();
        let batch = batch_of(&submit.stderr()[0]).to_owned();
        let which = format!("workflow_uuid like '{batch}-%'");
        submit.kill();
        let queued = rows(&rig, &which);
        assert_eq!(queued, position / 1000 * 1000, "a statement was half done");
        drop(hold);
        let again = run(many(&rig, &["--batch", &batch]));
        assert_eq!(code(&again), 0, "{:#?}", again.stderr);
        assert_eq!(again.stdout.len(), JOBS);
        assert_eq!(
            in_order(&rig, &which),
            expected,
            "of {batch}, killed at {position}"
        );
    }
}

#[test]
fn an_interrupted_submission_says_how_to_complete_it() {
    let rig = Rig::new();
    rig.submit(&["--id", "before", "1"]);
    let hold = rig
        .database
        .hold_inserts("dbos.workflow_status", "new.inputs like '%13%'");
    let submit = Process::spawn(rig.abaci(["submit", "11", "12", "13", "14"]));
    hold.await_somebody();
    submit.signal(Signal::INT);
    let output = submit.finish();
    drop(hold);
    assert_eq!(code(&output), 130, "{output:#?}");
    let batch = batch_of(&output.stderr[0]);
    let [_, last] = output.stderr.as_slice() else {
        panic!("{output:#?}")
    };
    let words = format!("interrupted while submitting; the same command with --batch {batch} completes it");
    assert!(last.starts_with(&words), "{last}");
    let (_, advice) = last.split_once("see what was queued: abaci ").unwrap();
    let listed = || objects(&rig.run(advice.split_whitespace().chain(["--json"])));
    // One statement: all of them or none.
    assert_eq!(listed().len(), 0);
    let again = rig.run(["submit", "--detach", "--batch", batch, "11", "12", "13", "14"]);
    assert_eq!(code(&again), 0, "{again:#?}");
    assert_eq!(listed().len(), 4);
    assert_eq!(
        in_order(&rig, "workflow_uuid <> 'before'"),
        ["11", "12", "13", "14"]
    );
}

#[test]
fn a_lower_priority_number_is_started_sooner() {
    let rig = Rig::new();
    let file = rig.directory.path().join("jobs");
    let lines =
        "{\"n\": 1, \"priority\": 9}\n2\n{\"n\": 3, \"priority\": 5}\n{\"n\": 4, \"priority\": 0}\n5\n";
    std::fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let ids = rig.submit(&["--priority", "7", "--file", file]);
    let _server = rig.server(&["--concurrency", "1"]);
    let output = rig.run(["wait".to_owned()].iter().chain(&ids));
    assert_eq!(code(&output), 0, "{output:#?}");
    let started = rig.database.psql(
        "select inputs::json->>'n' from dbos.workflow_status order by completed_at, started_at_epoch_ms",
    );
    assert_eq!(
        started.split_whitespace().collect::<Vec<_>>(),
        ["4", "3", "2", "5", "1"]
    );
    let shown = &objects(&rig.run(["show", "--json", &ids[2]]))[0];
    assert_eq!(shown["priority"], 5, "{shown}");
}

#[test]
fn a_delayed_job_starts_when_its_delay_has_passed() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let asked = Instant::now();
    let output = rig.run(["submit", "--delay", "1500ms", "--json", "10"]);
    assert_eq!(objects(&output)[0]["value"], "55", "{output:#?}");
    assert!(
        asked.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        asked.elapsed()
    );

    let id = rig.submit(&["--at", "2999-01-01T00:00:00Z", "10"]).remove(0);
    let shown = &objects(&rig.run(["show", "--json", &id]))[0];
    assert_eq!(
        (&shown["state"], &shown["delayed_until_ms"]),
        (&"delayed".into(), &32_472_144_000_000_u64.into()),
        "{shown}"
    );
    // A moment that has passed delays nothing.
    let output = rig.run(["submit", "--at", "2001-01-01T00:00:00Z", "--json", "10"]);
    assert_eq!(code(&output), 0, "{output:#?}");
}

#[test]
fn a_wrong_clock_ends_no_delay_sooner_or_later() {
    // The engine releases by the clock of a worker.
    for (ahead, seconds) in [("+1h", 5), ("-1h", 2)] {
        let rig = Rig::new();
        let arguments = ["serve", "--poll-interval", "5ms"];
        let _server = Process::ready(testkit::with_clock(rig.abaci(arguments), ahead));
        let asked = Instant::now();
        let delay = Duration::from_secs(seconds);
        let output = rig.run(["submit", "--delay", &format!("{seconds}s"), "--json", "10"]);
        let took = asked.elapsed();
        assert_eq!(objects(&output)[0]["value"], "55", "{output:#?}");
        assert!(took >= delay, "{ahead}: {took:?}");
        assert!(took < delay + Duration::from_secs(30), "{ahead}: {took:?}");
    }
}

#[test]
fn a_job_that_holds_the_key_is_joined_until_it_ends() {
    let rig = Rig::new();
    let first = rig.submit(&["--dedup", "nightly", "30"]).remove(0);
    let second = rig.run(["submit", "--detach", "--dedup", "nightly", "30"]);
    assert_eq!(second.stdout, [first.as_str()], "{second:#?}");
    assert!(second.stderr[0].contains("joined"), "{second:#?}");
    let other = rig.run(["submit", "--dedup", "nightly", "31"]);
    assert_refused(&other, 2, &["nightly", &first, "something else"]);
    assert_eq!(rows(&rig, "true"), 1);

    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["wait", &first])), 0);
    let third = rig.submit(&["--dedup", "nightly", "31"]).remove(0);
    assert_ne!(third, first);
    assert_eq!(code(&rig.run(["wait", &third])), 0);
}

#[test]
fn many_submissions_with_one_key_are_one_job() {
    let rig = Rig::new();
    rig.submit(&["1"]);
    let submit = || Process::spawn(rig.abaci(["submit", "--detach", "--dedup", "k", "30"]));
    let all: Vec<Process> = (0..8).map(|_| submit()).collect();
    let mut ids: Vec<String> = all.into_iter().flat_map(|one| one.finish().stdout).collect();
    assert_eq!(ids.len(), 8);
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(rows(&rig, "deduplication_id = 'k'"), 1);
}

#[test]
fn tags_and_batch_are_in_the_row_as_other_tools_see_it() {
    let rig = Rig::new();
    let mut submit = Process::spawn(rig.abaci([
        "submit", "--detach", "--json", "--batch", "b1", "--tag", "nightly", "--tag", "team a", "-",
    ]));
    submit.write_line(r#"{"n": 10, "tag": "first", "id": "own"}"#);
    submit.write_line("20");
    submit.close_stdin();
    let output = submit.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let queued = objects(&output);
    assert_eq!(
        (
            &queued[0]["workflow_id"],
            &queued[1]["workflow_id"],
            &queued[1]["batch"]
        ),
        (&"own".into(), &"b1-0000002".into(), &"b1".into())
    );
    let shown: &Value = &objects(&rig.run(["show", "--json", "own"]))[0];
    assert_eq!(shown["tags"], serde_json::json!(["nightly", "team a", "first"]));
    assert_eq!(shown["batch"], "b1");
    assert_eq!(
        rows(&rig, r#"attributes @> '{"tags": ["team a"], "batch": "b1"}'"#),
        2
    );
}

#[test]
fn ten_thousand_jobs_are_queued_by_ten_statements() {
    let rig = Rig::new();
    let file = rig.directory.path().join("jobs");
    let lines: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    rig.submit(&["--file", file.to_str().unwrap()]);
    assert_eq!(in_order(&rig, "true"), lines);
    let dated = "select count(distinct xmin::text), count(distinct created_at), \
        bool_and(created_at between updated_at - 999 and updated_at) from dbos.workflow_status";
    let found = rig.database.psql(dated);
    let [statements, moments, within_a_second] = found.trim().split('|').collect::<Vec<_>>()[..] else {
        panic!("{found}")
    };
    assert_eq!((statements, within_a_second), ("10", "t"), "{found}");
    // Ten jobs have one date, and no more.
    assert!(moments.parse::<usize>().unwrap() >= 1000, "{found}");
}

#[test]
fn nonsense_in_a_submission_is_one_line_and_queues_nothing() {
    let rig = Rig::new();
    rig.submit(&["--id", "there", "1"]);
    let long = "x".repeat(129);
    for (arguments, word) in [
        (&["--priority", "-1"][..], "--priority"),
        (&["--priority", "2147483648"], "2147483647"),
        (&["--priority", "high"], "high"),
        (&["--priority", "1.5"], "1.5"),
        (&["--priority", ""], "--priority"),
        (&["--tag", ""], "--tag"),
        (&["--tag", "a\nb"], "is not a label"),
        (&["--tag", "x\u{1b}[2J"], "is not a label"),
        (&["--tag", "é"], "is not a label"),
        (&["--tag", " a"], "is not a label"),
        (&["--tag", &long], "128"),
        (&["--delay", "soon"], "soon"),
        (&["--delay", "-5s"], "-5"),
        (&["--delay", "5"], "5"),
        (&["--delay", "200years"], "delay"),
        (&["--delay", "1s", "--at", "2030-01-01T00:00:00Z"], "--at"),
        (&["--at", "tomorrow"], "tomorrow"),
        (&["--at", "2030-13-01T00:00:00Z"], "2030-13-01"),
        (&["--at", "12:00"], "12:00"),
        (&["--dedup", ""], "--dedup"),
        (&["--dedup", "a\tb"], "is not a label"),
        (&["--dedup", "k", "11"], "--dedup"),
        (&["--dedup", "k", "--batch", "b"], "--batch"),
        (&["--batch", ""], "--batch"),
        (&["--batch", "two words"], "is not the id of a batch"),
        (&["--batch", "-b"], "-b"),
        (&["--batch", "x\u{7}"], "is not the id of a batch"),
        (&["--batch", &long], "120"),
        (&["--id", "two words"], "two words"),
        (&["--id", "a\u{1b}[2J"], "is not an id"),
        (&["--id", &long], "128"),
        (&["--timeout", "0s"], "timeout"),
        (&[r#"{"n": 5, "priority": "x"}"#], "priority"),
        (&[r#"{"n": 5, "tag": 7}"#], "tag"),
        (&[r#"{"n": 5, "id": ""}"#], "is not an id"),
        (&[r#"{"n": 5, "deadline": 7}"#], "deadline"),
    ] {
        let output = rig.run(["submit", "--detach", "10"].iter().chain(arguments));
        assert_refused(&output, 2, &[word]);
        let line = &output.stderr[0];
        assert!(!line.contains(char::is_control), "{arguments:?}: {line:?}");
    }
    assert_eq!(rows(&rig, "true"), 1);
}
