//! The private database, which nobody asked for and nobody has to look after.

use abaci_testkit::{Process, Signal, TempDir, eventually, is_alive};

use crate::rig::{bare, code, objects, run};

#[test]
fn the_private_database_is_made_used_and_left_to_end_by_itself() {
    let home = TempDir::new();
    let abaci = |arguments: &[&str]| run(bare(&home, arguments));
    assert_eq!(code(&abaci(&["db", "status"])), 1, "there is no database yet");

    let server = Process::spawn(bare(&home, ["serve"]));
    server.wait_for_line("ready");
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
    let word = status
        .split_whitespace()
        .nth(2)
        .unwrap()
        .trim_end_matches(',')
        .to_owned();
    let postmaster: u32 = word.parse().unwrap();
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
fn a_database_held_by_hand_runs_until_ctrl_c_and_can_be_stopped_by_force() {
    let home = TempDir::new();
    let holder = Process::spawn(bare(&home, ["db", "start"]));
    holder.wait_for_line("postgres:///abaci");
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
fn the_doctor_of_a_fresh_machine_finds_nothing_wrong_and_makes_no_tables() {
    let home = TempDir::new();
    for _ in 0..2 {
        let output = run(bare(&home, ["doctor", "--json"]));
        assert_eq!(code(&output), 0, "{output:#?}");
        let schema = objects(&output)
            .into_iter()
            .find(|check| check["subject"] == "schema")
            .unwrap();
        assert_eq!(schema["verdict"], "note", "{schema}");
    }
    run(bare(&home, ["db", "stop", "--force"]));
}
