//! Databases that are down, closed to us, or not ours to use.

use std::fs;

use testkit::{PrivateServer, Process, TempDir};

use crate::rig::{Rig, assert_refused, bare, code, run};

/// Nothing listens on port 1.
const NOBODY: &str = "postgres://ada:s3cret@127.0.0.1:1/abaci";

#[test]
fn a_database_that_is_down_is_said_to_be_and_the_exit_code_is_3() {
    let home = TempDir::new();
    let commands = [
        ["submit", "10"].as_slice(),
        &["list"],
        &["wait", "x"],
        &["show", "x"],
        &["cancel", "x"],
    ];
    for command in commands {
        let output = run(bare(&home, command.iter().chain(&["--database-url", NOBODY])));
        assert_refused(&output, 3, &["no database answers at", "127.0.0.1"]);
        assert!(!output.stderr[0].contains("s3cret"), "{output:#?}");
    }
}

#[test]
fn a_server_waits_for_its_database_for_as_long_as_it_is_told() {
    let home = TempDir::new();
    let output = run(bare(
        &home,
        ["serve", "--wait-for-database", "1s", "--database-url", NOBODY],
    ));
    assert_eq!(code(&output), 3, "{output:#?}");
    let all = output.stderr.join("\n");
    assert!(
        all.contains("waiting for the database") && !all.contains("s3cret"),
        "{all}"
    );
    assert!(
        output
            .stderr
            .last()
            .unwrap()
            .starts_with("abaci: no database answers at"),
        "{all}"
    );
}

#[test]
fn a_server_started_before_its_database_serves_once_it_is_up() {
    let mut postgres = PrivateServer::new();
    let url = postgres.create_database("abaci");
    postgres.stop();
    let home = TempDir::new();
    let server = Process::spawn(bare(&home, ["serve", "--database-url", &url]));
    server.wait_for_line("waiting for the database");
    postgres.start();
    server.wait_for_line("ready");
}

#[test]
fn a_wrong_password_is_told_apart_from_an_absence() {
    let postgres = PrivateServer::new();
    postgres.create_database("abaci");
    postgres.psql("abaci", "create role ada login password 'right'");
    let rules = "local all ada scram-sha-256\nlocal all all trust\n";
    let file = postgres.data_dir().join("pg_hba.conf");
    fs::write(&file, rules).unwrap();
    postgres.psql("abaci", "select pg_reload_conf()");
    // The rules are read by the postmaster a moment after the reload; its own view of the file is there at once.
    let url = postgres
        .url("abaci")
        .replace("user=postgres", "user=ada&password=wr0ng");
    let home = TempDir::new();
    let output = testkit::eventually("a refusal", || {
        let output = run(bare(&home, ["list", "--database-url", &url]));
        (code(&output) != 0 && output.stderr.join("").contains("password")).then_some(output)
    });
    assert_refused(&output, 3, &["refuses the connection", "password"]);
    assert!(!output.stderr[0].contains("wr0ng"), "{output:#?}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let rig = Rig::new();
    rig.submit(&["10"]);
    rig.database
        .psql("update dbos.dbos_migrations set version = 99999");
    for command in [["submit", "20"].as_slice(), &["serve"], &["list"]] {
        assert_refused(
            &rig.run(command),
            3,
            &["99999", "a database of its own", "newer abaci"],
        );
    }
    let jobs = rig.database.psql("select count(*) from dbos.workflow_status");
    assert_eq!(
        jobs.trim(),
        "1",
        "something was queued in a database that is not ours to use"
    );
}

#[test]
fn doctor_tells_which_newer_schemas_work() {
    let rig = Rig::new();
    rig.submit(&["10"]);
    let schema_at = |version: u32| {
        rig.database
            .psql(&format!("update dbos.dbos_migrations set version = {version}"));
        let output = rig.run(["doctor"]);
        let line = output.stdout.iter().find(|line| line.contains("schema"));
        (
            code(&output),
            line.unwrap_or_else(|| panic!("{output:#?}")).clone(),
        )
    };
    assert_eq!(
        schema_at(125),
        (0, "ok    schema       version 125, of a newer DBOS".to_owned())
    );
    let (exit, line) = schema_at(126);
    assert_eq!(exit, 1);
    assert!(
        line.contains("abaci works with none after 125; give abaci a database of its own"),
        "{line}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_a_setting_to_fix() {
    let home = TempDir::new();
    for command in [["submit", "10"].as_slice(), &["serve"], &["db", "url"]] {
        let output = run(bare(&home, command.iter().chain(&["--data-dir", "/proc/abaci"])));
        assert_refused(&output, 2, &["/proc/abaci", "data directory"]);
    }
}

#[test]
fn missing_programs_of_the_database_are_a_setting_to_fix() {
    let home = TempDir::new();
    let mut submit = bare(&home, ["submit", "10"]);
    submit.env("ABACI_PG_BIN", home.path());
    assert_refused(&run(submit), 2, &["initdb", home.path().to_str().unwrap()]);
}

#[test]
fn the_doctor_names_what_is_wrong() {
    let home = TempDir::new();
    let output = run(bare(&home, ["doctor", "--database-url", NOBODY]));
    assert_eq!(code(&output), 1, "{output:#?}");
    let all = output.stdout.join("\n");
    assert!(
        all.contains("fail  database") && all.contains("ok    data") && !all.contains("s3cret"),
        "{all}"
    );
}

#[test]
fn an_outage_during_a_wait_is_said_and_so_is_its_end() {
    let mut postgres = PrivateServer::new();
    let url = postgres.create_database("abaci");
    let home = TempDir::new();
    let server = Process::ready(bare(&home, ["serve", "--database-url", &url]));
    let arguments = [
        "submit",
        "--algorithm",
        "recursive",
        "45",
        "--timeout",
        "20s",
        "--database-url",
        &url,
    ];
    let submit = Process::spawn(bare(&home, arguments));
    server.wait_for_line("job started");
    postgres.stop_immediate();
    submit.wait_for_line("the database does not answer");
    postgres.start();
    submit.wait_for_line("the database answers again");
    let output = submit.finish();
    assert!(
        !output.stdout.is_empty(),
        "an outage is not an outcome: {output:#?}"
    );
}

#[test]
fn a_wait_gives_up_on_a_database_that_does_not_come_back() {
    let mut postgres = PrivateServer::new();
    let url = postgres.create_database("abaci");
    let home = TempDir::new();
    let arguments = [
        "submit",
        "10",
        "--wait-for-database",
        "2s",
        "--database-url",
        &url,
    ];
    let submit = Process::spawn(bare(&home, arguments));
    submit.wait_for_line("no worker is listening");
    postgres.stop_immediate();
    let output = submit.finish();
    assert_eq!(code(&output), 3, "{output:#?}");
    let last = output.stderr.last().unwrap();
    assert!(
        last.contains("the database did not answer for 2s") && last.contains("abaci wait "),
        "{last}"
    );
}
