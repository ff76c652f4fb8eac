//! The private database, which nobody asked for and nobody has to look after.

use std::fs;

use serde_json::Value;
use testkit::{Process, Signal, TempDir, eventually, is_alive};

use crate::children::kill;
use crate::fleet_rig::field;
use crate::http;
use crate::rig::{assert_refused, bare, code, objects, run};

/// A setting that PostgreSQL does not know, and so does not start with.
const NONSENSE: &str = "no_such_setting = 1\n";

/// The number behind `word` in what `abaci db status` says of a server that runs.
#[track_caller]
fn pid_behind(word: &str, status: &str) -> u32 {
    let (_, rest) = status
        .split_once(word)
        .unwrap_or_else(|| panic!("no {word:?} in: {status}"));
    let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next();
    let pid = digits.and_then(|digits| digits.parse().ok());
    pid.unwrap_or_else(|| panic!("no number behind {word:?} in: {status}"))
}

#[test]
fn the_private_database_is_made_used_and_left_to_end_by_itself() {
    let home = TempDir::new();
    let abaci = |arguments: &[&str]| run(bare(&home, arguments));
    assert_eq!(code(&abaci(&["db", "status"])), 1, "there is no database yet");

    let server = Process::ready(bare(&home, ["serve"]));
    let submitted = abaci(&["submit", "--json", "100"]);
    assert_eq!(
        objects(&submitted)[0]["value"],
        "354224848179261915075",
        "{submitted:#?}"
    );

    let url = abaci(&["db", "url"]).stdout.remove(0);
    assert!(url.starts_with("postgres:///abaci?host="), "{url}");
    let asked = abaci(&["db", "psql", "-Atc", "select current_database()"]);
    assert_eq!((code(&asked), asked.stdout), (0, vec!["abaci".to_owned()]));
    let refused = abaci(&["db", "stop"]);
    assert_eq!(code(&refused), 1, "a database in use was stopped: {refused:#?}");

    let doctor = abaci(&["doctor"]);
    assert_eq!(code(&doctor), 0, "{doctor:#?}");
    assert!(
        doctor.stdout.iter().any(|line| line.starts_with("ok    workers")),
        "{doctor:#?}"
    );

    let status = abaci(&["db", "status"]).stdout.remove(0);
    let postmaster = pid_behind("process", &status);
    assert!(is_alive(postmaster), "{status}");
    server.signal(Signal::TERM);
    assert_eq!(code(&server.finish()), 0);
    eventually("the end of a database that nobody uses", || !is_alive(postmaster));
    assert_eq!(
        abaci(&["db", "status"]).stdout[0].split(',').next(),
        Some("stopped")
    );
}

#[test]
fn a_database_held_by_hand_runs_until_ctrl_c_or_force() {
    let home = TempDir::new();
    let holder = Process::spawn(bare(&home, ["db", "start"]));
    holder.wait_for_line("postgres:///abaci");
    holder.wait_for_line("held until Ctrl-C");
    let refused = run(bare(&home, ["db", "stop"]));
    assert_refused(&refused, 1, &["is in use", "abaci db stop --force"]);
    let status = run(bare(&home, ["db", "status"]));
    assert!(
        status.stdout[0].starts_with("running") && status.stdout[0].contains("in use"),
        "{status:#?}"
    );
    holder.signal(Signal::INT);
    assert_eq!(code(&holder.finish()), 0);
    let stopped = run(bare(&home, ["db", "stop", "--force"]));
    assert_eq!((code(&stopped), stopped.stdout), (0, vec!["stopped".to_owned()]));
}

#[test]
fn on_a_fresh_machine_doctor_finds_no_fault_and_makes_no_tables() {
    let home = TempDir::new();
    for _ in 0..2 {
        let output = run(bare(&home, ["doctor", "--json"]));
        assert_eq!(code(&output), 0, "{output:#?}");
        let schema = objects(&output)
            .into_iter()
            .find(|check| check["subject"] == "schema")
            .unwrap();
        assert_eq!(schema["verdict"], "note", "{schema}");
        let arithmetic = objects(&output)
            .into_iter()
            .find(|check| check["subject"] == "arithmetic")
            .unwrap();
        let expected = format!("{} instructions", fibonacci::instructions());
        assert_eq!(
            (&arithmetic["verdict"], &arithmetic["detail"]),
            (&"ok".into(), &expected.into())
        );
    }
    run(bare(&home, ["db", "stop", "--force"]));
}

/// Waits until `/health` is like that, and returns all that it says.
#[track_caller]
fn health_when(address: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let health = http::get(address, "/health").json();
        if is_so(&health) { Ok(health) } else { Err(health) }
    })
}

/// Waits until `/health` says of the private database that it runs, and returns all that it says.
#[track_caller]
fn health_with_database(address: &str) -> Value {
    health_when(address, "a private database that runs", |health| {
        health["private_database"]["running"] == true
    })
}

/// The line of `abaci status` about the database.
#[track_caller]
fn line_of_status(home: &TempDir) -> String {
    let status = run(bare(home, ["status"]));
    let line = status.stdout.iter().find(|line| line.starts_with("database "));
    line.unwrap_or_else(|| panic!("nothing is said of the database: {status:#?}"))
        .clone()
}

/// Pid and restarts of every worker.
fn workers_of(health: &Value) -> Vec<(Value, Value)> {
    let workers = health["workers"].as_array().cloned().unwrap_or_default();
    workers
        .into_iter()
        .map(|worker| (worker["pid"].clone(), worker["restarts"].clone()))
        .collect()
}

#[test]
fn a_private_database_is_shown_down_with_no_worker_restarted() {
    let home = TempDir::new();
    let abaci = |arguments: &[&str]| run(bare(&home, arguments));
    let fleet = Process::spawn(bare(
        &home,
        ["fleet", "--workers", "2", "--health-addr", "127.0.0.1:0"],
    ));
    let address = field(&fleet.wait_for_line("health process started"), "address");
    fleet.wait_for_line("fleet ready");
    let before = workers_of(&health_with_database(&address));
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(line_of_status(&home), "database  private PostgreSQL, running");

    // So that nobody can start it again before it was looked at.
    let settings = home.path().join("data/postgres/cluster/postgresql.conf");
    let good = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{good}{NONSENSE}")).unwrap();
    let running = abaci(&["db", "status"]).stdout.remove(0);
    kill(pid_behind("keeper", &running));
    kill(pid_behind("process", &running));

    fleet.wait_for_line("private database does not run");
    health_when(&address, "the reason", |health| {
        let database = &health["private_database"];
        let reason = database["reason"].as_str().unwrap_or_default();
        database["running"] == false && reason.contains("no_such_setting") && health["status"] == "unhealthy"
    });
    let down = line_of_status(&home);
    assert!(down.starts_with("database  private PostgreSQL, down: "), "{down}");
    assert_eq!(code(&abaci(&["status"])), 3, "the database can be reached");

    fs::write(&settings, good).unwrap();
    health_with_database(&address);
    fleet.wait_for_line("private database runs again");
    assert_eq!(line_of_status(&home), "database  private PostgreSQL, running");
    assert_eq!(code(&abaci(&["submit", "10"])), 0);
    let after = health_when(&address, "a healthy fleet", |health| {
        health["status"] == "healthy"
    });
    assert_eq!(workers_of(&after), before, "{after:#}");

    fleet.signal(Signal::TERM);
    assert_eq!(code(&fleet.finish()), 0);
    assert_eq!(code(&abaci(&["db", "stop", "--force"])), 0);
}
