//! Queues that are paused, resumed and limited, under workers that know nothing of it beforehand.

use serde_json::Value;
use testkit::{Deadline, Process};

use crate::rig::{Rig, assert_refused, code, objects};

fn queue(rig: &Rig, arguments: &[&str]) -> String {
    let output = rig.run(["queue"].iter().chain(arguments));
    assert_eq!(code(&output), 0, "{output:#?}");
    output.stdout[0].clone()
}

fn listed(rig: &Rig) -> Value {
    objects(&rig.run(["queue", "list", "--json"])).remove(0)
}

fn wait_for_lines(workers: &[Process], line: &str) {
    for worker in workers {
        worker.wait_for_line(line);
    }
}

/// The moments in milliseconds at which jobs started, the first to the last.
fn starts(rig: &Rig) -> Vec<i64> {
    let starts = "select started_at_epoch_ms from dbos.workflow_status where started_at_epoch_ms is not null order by 1";
    let starts = rig.database.psql(starts);
    starts.split_whitespace().map(|at| at.parse().unwrap()).collect()
}

#[test]
fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let rig = Rig::new();
    let mut first = rig.server(&[]);
    let said = queue(&rig, &["pause"]);
    assert!(said.contains("abaci queue resume fibonacci"), "{said}");
    first.wait_for_line("queue is paused");
    let id = rig.submit(&["10"]).remove(0);
    let wait = Process::spawn(rig.abaci(["wait", &id]));
    let told = wait.wait_for_line("paused");
    assert!(told.contains("abaci queue resume fibonacci"), "{told}");
    let status = rig.run(["status"]);
    assert!(
        status.stdout.iter().any(|line| line.contains("it is paused")),
        "{status:#?}"
    );
    first.kill();
    let second = rig.server(&[]);
    second.wait_for_line("queue is paused");
    assert_eq!(objects(&rig.run(["show", "--json", &id]))[0]["state"], "queued");
    assert_eq!(starts(&rig), [0; 0]);
    assert_eq!(
        (&listed(&rig)["paused"], &listed(&rig)["queued"]),
        (&true.into(), &1.into())
    );

    assert_eq!(queue(&rig, &["resume"]), "queue fibonacci goes on");
    let output = wait.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(queue(&rig, &["resume"]), "queue fibonacci was not paused");
    assert_eq!(listed(&rig)["paused"], false);
}

#[test]
fn a_running_job_goes_on_while_its_queue_is_paused() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = rig.submit(&["--algorithm", "recursive", "45"]).remove(0);
    server.wait_for_line("child started");
    queue(&rig, &["pause"]);
    assert_eq!(objects(&rig.run(["show", "--json", &id]))[0]["state"], "running");
    let output = rig.run(["wait", &id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(
        !output.stderr.iter().any(|line| line.contains("paused")),
        "it does not wait: {output:#?}"
    );
}

#[test]
fn a_limit_of_starts_holds_over_all_workers() {
    let rig = Rig::new();
    let workers = [
        rig.server(&["--concurrency", "4"]),
        rig.server(&["--concurrency", "4"]),
    ];
    let said = queue(&rig, &["limit", "--rate", "10/2s"]);
    assert_eq!(said, "queue fibonacci starts 10 in 2s");
    wait_for_lines(&workers, "queue is limited");
    let output = rig.run(["submit", "--random", "35", "--range", "1..=90"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let starts = starts(&rig);
    assert_eq!(starts.len(), 35);
    for window in starts.windows(11) {
        assert!(window[10] - window[0] >= 1_990, "eleven starts within {window:?}");
    }
    let is_used = starts.windows(10).any(|window| window[9] - window[0] < 2_000);
    assert!(is_used, "never ten in two seconds: {starts:?}");
    assert_eq!(
        queue(&rig, &["limit", "--rate", "off"]),
        "queue fibonacci starts without limit"
    );
}

#[test]
fn a_limit_that_another_tool_sets_is_kept_over_a_pause() {
    let rig = Rig::new();
    let workers = [
        rig.server(&["--concurrency", "2"]),
        rig.server(&["--concurrency", "2"]),
    ];
    rig.database
        .psql("update dbos.queues set concurrency = 1 where name = 'fibonacci'");
    queue(&rig, &["pause"]);
    wait_for_lines(&workers, "queue is paused");
    assert_eq!(listed(&rig)["concurrency"], 1);
    let jobs = ["submit", "--detach", "--algorithm", "recursive", "40", "40", "40"];
    assert_eq!(code(&rig.run(jobs)), 0);
    queue(&rig, &["resume"]);
    wait_for_lines(&workers, "queue is limited");
    let bound = Deadline::default();
    let running = "select count(*) from dbos.workflow_status where status = 'PENDING'";
    let ended = "select count(*) from dbos.workflow_status where status = 'SUCCESS'";
    bound.eventually("the end of the jobs", || {
        let together: u32 = rig.database.psql(running).trim().parse().unwrap();
        assert!(together <= 1, "{together} jobs run at once");
        rig.database.psql(ended).trim() == "3"
    });
}

#[test]
fn a_limited_queue_is_told_by_every_command_alike() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    queue(&rig, &["limit", "--rate", "1/1h"]);
    server.wait_for_line("queue is limited");
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    let id = rig.submit(&["11"]).remove(0);
    let wait = Process::spawn(rig.abaci(["wait", &id]));
    let told = wait.wait_for_line("queue \"fibonacci\" starts 1 in 1h");
    assert!(told.contains("wait for their turn"), "{told}");
    let shown = rig.run(["show", &id]).stdout;
    let waits = shown.iter().find(|line| line.starts_with("waits "));
    let waits = waits.unwrap_or_else(|| panic!("{shown:#?}"));
    assert!(
        waits.contains("place 1 of 1 in queue fibonacci; it starts 1 in 1h, the next one at "),
        "{waits}"
    );
    assert!(waits.ends_with("; about 60 min"), "{waits}");
    let waits = &objects(&rig.run(["show", "--json", &id]))[0]["waits"];
    assert_eq!(
        (&waits["reason"], &waits["limit"]["starts"]),
        (&"rate_limited".into(), &1.into())
    );
    assert!(waits["next_start_ms"].is_i64(), "{waits}");
    let status = rig.run(["status"]);
    let is_told = status
        .stdout
        .iter()
        .any(|line| line.contains("it starts 1 in 1h"));
    assert!(is_told, "{status:#?}");
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn the_oldest_job_of_each_priority_is_shown() {
    let rig = Rig::new();
    for priority in ["0", "9"] {
        rig.submit(&["--priority", priority, "10"]);
    }
    rig.database
        .psql("update dbos.workflow_status set created_at = created_at - 7200000 where priority = 9");
    let status = rig.run(["status"]);
    let line = status.stdout.iter().find(|line| line.starts_with("queue "));
    let line = line.unwrap_or_else(|| panic!("{status:#?}"));
    assert!(
        line.contains("2 waiting (the oldest for 2h), by priority: 0 "),
        "{line}"
    );
    assert!(line.contains(", 9 2h"), "{line}");
    let status = objects(&rig.run(["status", "--json"])).remove(0);
    let priorities = &status["database"]["queue"]["priorities"];
    assert_eq!(priorities[1]["priority"], 9, "{priorities}");
    assert!(
        priorities[1]["oldest_waiting_seconds"].as_f64() > Some(7199.0),
        "{priorities}"
    );
    assert_eq!(priorities[2], Value::Null, "{priorities}");
}

#[test]
fn a_fleet_says_that_its_queue_is_paused() {
    let rig = Rig::new();
    let fleet = crate::fleet_rig::Fleet::start(&rig, &[]);
    queue(&rig, &["pause"]);
    fleet.answer_when("the queue to be paused", |health| {
        health["queue"]["paused"] == true
    });
    let metrics = fleet.get("/metrics").body;
    assert!(metrics.contains("abaci_queue_paused 1"), "{metrics}");
    queue(&rig, &["limit", "--rate", "10/2s"]);
    // Nobody takes it, whenever the workers notice the pause.
    rig.submit(&["--priority", "7", "--delay", "1h", "10"]);
    rig.database
        .psql("update dbos.workflow_status set application_version = 'other', delay_until_epoch_ms = 1");
    fleet.answer_when("its limit, and what waits", |health| {
        health["queue"]["limit"]["rate"]["starts"] == 10 && health["queue"]["priorities"][0]["priority"] == 7
    });
    let metrics = fleet.get("/metrics").body;
    assert!(
        metrics.contains("abaci_queue_oldest_seconds{priority=\"7\"} "),
        "{metrics}"
    );
    assert_eq!(
        fleet.get("/readyz").status,
        200,
        "a pause is no fault of the fleet"
    );
}

#[test]
fn nonsense_about_queues_is_refused_in_one_line() {
    let rig = Rig::new();
    let refused = |arguments: &[&str], exit, word: &str| {
        assert_refused(&rig.run(["queue"].iter().chain(arguments)), exit, &[word]);
    };
    rig.submit(&["10"]);
    refused(&["pause", "fibonaci"], 1, "fibonaci");
    refused(&["resume", "a\u{1b}[2J"], 1, "no queue is called");
    for rate in [
        "",
        "100",
        "0/1m",
        "-1/1m",
        "1/0s",
        "1/soon",
        "2147483648/1s",
        "x/1s",
    ] {
        refused(&["limit", &format!("--rate={rate}")], 2, "--rate");
    }
    refused(&["limit"], 2, "--rate");
    refused(&["stop"], 2, "stop");
    assert_eq!(rig.database.psql("select count(*) from dbos.queues").trim(), "0");
}
