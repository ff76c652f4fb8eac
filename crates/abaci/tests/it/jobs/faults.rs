//! Real processes, real signals, a real database: what a server survives, and what it leaves to others.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{Deadline, PrivateServer, Process, Signal, TempDir, eventually};

use crate::fleet_rig::await_a_new_wish;
use crate::lab::POISON;
use crate::rig::{Rig, bare, code, objects, run};

/// A database server that a test takes away, and a home for the program.
struct OwnServer {
    database: PrivateServer,
    url: String,
    home: TempDir,
}

impl OwnServer {
    fn new() -> Self {
        let database = PrivateServer::new();
        let url = database.create_database("jobs");
        Self {
            database,
            url,
            home: TempDir::new(),
        }
    }

    fn abaci(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&self.home, arguments);
        command.env("ABACI_DATABASE_URL", &self.url);
        command
    }
}

/// About four seconds of one core: long enough to be met in the middle.
const LONG: [&str; 3] = ["--algorithm", "recursive", "45"];

#[test]
fn a_server_killed_in_a_step_costs_its_client_nothing_but_time() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    let client = Process::spawn(rig.abaci(["submit", "--json"].iter().chain(&LONG)));
    server.wait_for_line("job started");
    server.kill();
    let second = rig.server(&[]);
    let output = client.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let result = &objects(&output)[0];
    assert_eq!(result["value"], "1134903170");
    assert_eq!(
        (&result["attempts"], &result["pid"]),
        (&2.into(), &second.pid().into()),
        "{result}"
    );
}

#[test]
fn a_recorded_step_does_not_run_again_after_a_kill() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    // The server hangs while it records the second step, so the first one is recorded and the second is not.
    let hold = rig
        .database
        .hold_inserts("dbos.operation_outputs", "new.function_name = 'certify'");
    let id = rig.submit(&["1000"]).remove(0);
    let recorded = || {
        rig.database
            .psql("select function_name, started_at_epoch_ms from dbos.operation_outputs")
    };
    hold.await_somebody();
    let before = recorded();
    assert!(
        before.starts_with("compute|") && before.lines().count() == 1,
        "{before}"
    );
    let first_pid = server.pid();
    server.kill();
    drop(hold);
    let _second = rig.server(&[]);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(recorded().contains(before.trim()), "the recorded step ran again");
    let result = &objects(&output)[0];
    assert_eq!(
        result["pid"], first_pid,
        "the value is not the one that the killed server recorded"
    );
}

/// Asks a server to stop once it computes, and asserts what it says last.
#[track_caller]
fn assert_drains(server: Process, last_words: &str) {
    server.wait_for_line("job started");
    server.signal(Signal::TERM);
    let output = server.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let last = output.stderr.last().unwrap();
    assert!(last.contains(last_words), "{output:#?}");
}

#[test]
fn a_server_that_is_asked_to_stop_finishes_what_it_computes() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let ids = rig.submit(&["--algorithm", "recursive", "43", "10"]);
    assert_drains(server, "finished=1 handed_back=0");
    let state = |id: &str| objects(&rig.run(["show", "--json", id]))[0]["state"].clone();
    assert_eq!(
        (state(&ids[0]), state(&ids[1])),
        ("succeeded".into(), "queued".into())
    );
}

#[test]
fn a_grace_time_too_short_puts_the_job_back_for_another_server() {
    let rig = Rig::new();
    let server = rig.server(&["--grace", "0s"]);
    let id = rig.submit(&LONG).remove(0);
    assert_drains(server, "finished=0 handed_back=1");
    assert_eq!(objects(&rig.run(["show", "--json", &id]))[0]["state"], "queued");
    let second = rig.server(&[]);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(objects(&output)[0]["pid"], second.pid(), "{output:#?}");
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    server.wait_for_line("job started");
    server.signal(Signal::TERM);
    server.wait_for_line("draining");
    await_a_new_wish();
    server.signal(Signal::TERM);
    assert_eq!(code(&server.finish()), 130);
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn a_database_away_for_ten_seconds_costs_no_job_and_no_client() {
    let mut own = OwnServer::new();
    let _server = Process::ready(own.abaci(&["serve"]));
    let mut submit = vec!["submit", "--json", "--algorithm", "recursive"];
    submit.resize(submit.len() + 20, "36");
    let client = Process::spawn(own.abaci(&submit)).with_deadline(Deadline::after(Duration::from_mins(3)));
    client.wait_for_line("\"workflow_id\"");
    own.database.stop_immediate();
    // The length of the outage is the subject of the test.
    std::thread::sleep(Duration::from_secs(10));
    own.database.start();
    let output = client.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let results = objects(&output);
    assert_eq!(results.len(), 20);
    assert!(
        results.iter().all(|result| result["value"] == "14930352"),
        "{results:#?}"
    );
    assert!(
        output.stderr.iter().any(|line| line.contains("database")),
        "the outage was not told: {output:#?}"
    );
}

#[test]
fn of_two_servers_one_finishes_the_job_of_the_killed_other() {
    let home = TempDir::new();
    let serve = || Process::ready(bare(&home, ["serve"]));
    // The first one started the private database; it must live on without it.
    let (mut first, second) = (serve(), serve());
    let mut submit = vec!["submit", "--json", "--algorithm", "recursive"];
    submit.resize(submit.len() + 40, "39");
    let client = Process::spawn(bare(&home, &submit));
    client.wait_for_lines("\"workflow_id\"", 15);
    first.wait_for_lines(
        "job started",
        first
            .stderr()
            .iter()
            .filter(|l| l.contains("job started"))
            .count()
            + 1,
    );
    first.kill();
    let output = client.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let results = objects(&output);
    assert_eq!(results.len(), 40);
    assert!(results.iter().all(|result| result["value"] == "63245986"));
    let by = |pid: u32| results.iter().filter(|result| result["pid"] == pid).count();
    assert!(
        by(first.pid()) > 0 && by(second.pid()) > 0,
        "one of two servers did everything"
    );
    assert_eq!(by(first.pid()) + by(second.pid()), 40);
    let again: Vec<&Value> = results.iter().filter(|result| result["attempts"] != 1).collect();
    assert!(
        again.len() <= 1,
        "more than the job of the killed server was started twice: {again:#?}"
    );
    assert_eq!(code(&run(bare(&home, ["list"]))), 0);
}

#[test]
fn a_stopped_server_is_not_dead_and_keeps_its_job() {
    let rig = Rig::new();
    let stopped = rig.server(&[]);
    let id = rig.submit(&LONG).remove(0);
    stopped.wait_for_line("job started");
    let _other = rig.server(&[]);
    stopped.signal(Signal::STOP);
    let age = "select extract(epoch from now() - heartbeat_at) > 12 from abaci.presence where executor_id like '%/0'";
    // Past the expiry of ten seconds, with time for the other's sweep.
    eventually("an expired heartbeat", || rig.database.psql(age).trim() == "t");
    assert_eq!(
        objects(&rig.run(["show", "--json", &id]))[0]["state"],
        "running",
        "its job was taken"
    );
    stopped.signal(Signal::CONT);
    let output = rig.run(["wait", "--json", &id]);
    let result = &objects(&output)[0];
    assert_eq!(
        (&result["pid"], &result["attempts"]),
        (&stopped.pid().into(), &1.into()),
        "{result}"
    );
}

#[test]
fn a_job_that_kills_three_servers_is_parked_and_the_next_runs() {
    let rig = Rig::new();
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    for _ in 0..3 {
        let mut server = rig.server(&[]);
        server.wait_for_line("job started");
        server.kill();
    }
    let _fourth = rig.server(&[]);
    let output = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&output), 1, "{output:#?}");
    assert_eq!(objects(&output)[0]["state"], "parked", "{output:#?}");
    let error = &objects(&output)[0]["error"];
    let said = format!("{}: {}", error["name"], error["message"]).replace('"', "");
    // In the words that the laboratory explains.
    assert!(said.starts_with(POISON), "{output:#?}");
    assert_eq!(code(&rig.run(["submit", "10"])), 0, "the queue did not go on");
}

#[test]
fn a_server_started_in_an_outage_takes_no_job_of_a_living_one() {
    let mut own = OwnServer::new();
    let first = Process::ready(own.abaci(&["serve"]));
    let submitted = run(own.abaci(&[&["submit", "--detach"], &LONG[..]].concat()));
    first.wait_for_line("job started");
    own.database.stop_immediate();
    let second = Process::spawn(own.abaci(&["serve"]));
    second.wait_for_line("waiting for the database");
    // Longer than a heartbeat lives: to the one that starts, the other must not look dead.
    std::thread::sleep(Duration::from_secs(12));
    own.database.start();
    assert!(
        second.wait_for_line("ready").contains("/1"),
        "a living server's executor id was taken"
    );
    let output = run(own.abaci(&["wait", "--json", &submitted.stdout[0]]));
    let result = &objects(&output)[0];
    assert_eq!(
        (&result["pid"], &result["attempts"]),
        (&first.pid().into(), &1.into()),
        "{result}"
    );
}
