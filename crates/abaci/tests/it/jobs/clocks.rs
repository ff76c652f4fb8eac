//! Clocks that differ: a worker's, a client's and the database's.

use std::process::Command;
use std::time::Duration;

use testkit::{Deadline, Process, eventually, with_clock};

use crate::rig::{Rig, code, objects, run};

/// Minutes of one core.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

/// Half of what the clocks differ by here; nothing that counts seconds rightly takes as long.
const BOUND: Duration = Duration::from_secs(15);

/// Starts a server whose clock is off by `offset`.
fn server(rig: &Rig, offset: &str) -> Process {
    Process::ready(with_clock(rig.abaci(["serve", "--poll-interval", "5ms"]), offset))
}

/// The moment at which the job's time is over, as its row says it; nothing before its start.
fn deadline_ms(rig: &Rig, id: &str) -> String {
    let moment =
        format!("select workflow_deadline_epoch_ms from dbos.workflow_status where workflow_uuid = '{id}'");
    rig.database.psql(&moment).trim().to_owned()
}

#[track_caller]
fn wait_for_the_end(rig: &Rig, id: &str) {
    let waiting = Process::spawn(rig.abaci(["wait", "--json", id])).with_deadline(Deadline::after(BOUND));
    assert_eq!(objects(&waiting.finish())[0]["state"], "cancelled");
}

#[test]
fn a_job_has_all_its_time_where_the_clock_of_its_worker_is_fast() {
    let rig = Rig::new();
    let _server = server(&rig, "+30s");
    let output = rig.run(["submit", "--timeout", "20s", "10", "100000"]);
    assert_eq!(code(&output), 0, "{output:#?}");
}

#[test]
fn a_job_has_no_more_time_where_the_clock_of_its_worker_is_slow() {
    let rig = Rig::new();
    let _server = server(&rig, "-30s");
    let ours = rig.submit(&[&["--timeout", "2s"], &ENDLESS[..]].concat());
    wait_for_the_end(&rig, &ours[0]);
    let foreign = rig.database.psql(
        "select dbos.enqueue_workflow('fibonacci_workflow', 'fibonacci', array['50', '\"recursive\"']::json[], \
         app_version => 'abaci-1', timeout_ms => 2000)",
    );
    wait_for_the_end(&rig, foreign.trim());
}

#[test]
fn a_takeover_by_a_worker_with_another_clock_moves_no_deadline() {
    let rig = Rig::new();
    let mut first = server(&rig, "+30s");
    let job = rig
        .submit(&[&["--timeout", "8s"], &ENDLESS[..]].concat())
        .remove(0);
    first.wait_for_line("job started");
    let moment = deadline_ms(&rig, &job);
    first.kill_group();
    let second = server(&rig, "-30s");
    second.wait_for_line("job started");
    assert_eq!(deadline_ms(&rig, &job), moment, "the deadline moved");
    let remaining = format!("select ({moment} - extract(epoch from now()) * 1000) between -15000 and 8000");
    assert_eq!(
        rig.database.psql(&remaining).trim(),
        "t",
        "the row says another clock's time"
    );
    wait_for_the_end(&rig, &job);
    eventually("a server without a job", || code(&rig.run(["submit", "10"])) == 0);
}

#[test]
fn status_and_doctor_tell_whose_clock_differs() {
    let rig = Rig::new();
    let _server = server(&rig, "+30s");
    let said = |command: Command, words: &str| {
        let output = run(command);
        assert_eq!(code(&output), 0, "{output:#?}");
        let lines: Vec<_> = output
            .stdout
            .iter()
            .filter(|line| line.contains("clock "))
            .collect();
        assert!(
            lines.iter().any(|line| line.contains(words)),
            "{words:?} is not in {lines:#?}"
        );
    };
    for command in ["status", "doctor"] {
        said(rig.abaci([command]), "/0 is 30 s ahead of the database's");
        let slow = with_clock(rig.abaci([command]), "-20s");
        said(slow, "this machine's is 20 s behind the database's");
    }
    said(rig.abaci(["doctor"]), "this machine's agrees with the database's");
    let json = objects(&rig.run(["status", "--json"]));
    let offset_ms = json[0]["wrong_clocks"][0]["offset_ms"].as_i64().unwrap();
    assert!((29_000..31_000).contains(&offset_ms), "{json:#?}");
}

#[test]
fn a_job_is_dated_and_aged_by_the_databases_clock() {
    let rig = Rig::new();
    rig.submit(&["1"]);
    let fast = with_clock(rig.abaci(["submit", "--detach", "2"]), "+1h");
    assert_eq!(code(&run(fast)), 0);
    rig.submit(&["3"]);
    let order = "select string_agg(inputs::json ->> 'n', ' ' order by created_at) from dbos.workflow_status";
    assert_eq!(
        rig.database.psql(order).trim(),
        "1 2 3",
        "the queue goes by a wrong clock"
    );
    let listed = run(with_clock(rig.abaci(["list"]), "+2d"));
    let ages = listed
        .stdout
        .iter()
        .skip(1)
        .map(|line| line.split_whitespace().nth(5));
    let ages: Vec<_> = ages.flatten().collect();
    assert!(
        ages.len() == 3 && ages.iter().all(|age| age.ends_with('s')),
        "{listed:#?}"
    );
}
