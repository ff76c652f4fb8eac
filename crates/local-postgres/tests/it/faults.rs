use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Process, eventually};

use crate::site::{Site, kill, psql, psql_command, url};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn the_next_user_replaces_a_killed_keeper() {
    let site = Site::new();
    let lease = site.lease();
    let (server, keeper) = (site.running().pid, site.keeper_pid());
    kill(keeper);
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    assert_eq!(
        psql(&url(&lease), "select 1"),
        "1",
        "the server went with its keeper"
    );
    let _next = site.lease();
    assert_ne!(site.keeper_pid(), keeper);
    assert_eq!(
        site.running().pid,
        server,
        "the server was started again instead of adopted"
    );
}

#[test]
fn a_user_who_ensures_its_server_replaces_a_killed_keeper() {
    let site = Site::lingering(SHORT);
    let mut user = site.user();
    let server = site.running().pid;
    kill(site.keeper_pid());
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    user.write_line("ensure");
    user.wait_for_line("ensured");
    site.keeper_pid();
    assert_eq!(site.running().pid, server);
    user.kill();
    // The adopted server is stopped like one of the keeper's own.
    site.wait_until_nothing_runs();
}

#[test]
fn a_database_is_made_though_the_server_was_just_killed() {
    let site = Site::new();
    let lease = site.lease();
    kill(site.running().pid);
    // Its keeper starts it again, which takes a while.
    lease.ensure_database("late").unwrap();
    assert_eq!(psql(&lease.url("late"), "select 1"), "1");
}

#[test]
fn the_last_user_leaves_no_server_even_without_a_keeper() {
    let site = Site::lingering(SHORT);
    let user = site.user();
    kill(site.keeper_pid());
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    assert!(user.finish().status.success());
    site.wait_until_nothing_runs();
}

#[test]
fn a_keeper_that_is_asked_to_end_ends_with_its_users() {
    let site = Site::lingering(SHORT);
    let mut user = site.user();
    let keeper = site.keeper_pid();
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        kill_process(Pid::from_raw(keeper.cast_signed()).unwrap(), signal).unwrap();
    }
    // A user who ensures its server would have replaced a keeper that is gone.
    user.write_line("ensure");
    user.wait_for_line("ensured");
    assert_eq!(site.keeper_pid(), keeper, "the keeper ended while it was needed");
    assert!(user.finish().status.success());
    site.wait_until_nothing_runs();
}

#[test]
fn a_killed_server_is_started_again_with_all_that_was_committed() {
    let site = Site::new();
    let lease = site.lease();
    psql(
        &url(&lease),
        "create table t (n int); insert into t values (1), (2)",
    );
    for _ in 0..3 {
        let killed = site.running().pid;
        kill(killed);
        eventually("another server", || {
            lease.ensure_running().unwrap();
            matches!(site.status(), local_postgres::Status::Running(running) if running.pid != killed)
        });
        assert_eq!(psql(&url(&lease), "select sum(n) from t"), "3");
    }
}

#[test]
fn a_killed_adopted_server_is_started_again() {
    let site = Site::new();
    let lease = site.lease();
    kill(site.keeper_pid());
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    lease.ensure_running().unwrap();
    let killed = site.running().pid;
    kill(killed);
    eventually("another server", || {
        lease.ensure_running().unwrap();
        matches!(site.status(), local_postgres::Status::Running(running) if running.pid != killed)
    });
}

#[test]
fn a_user_outlives_the_death_of_keeper_and_server() {
    let site = Site::new();
    let mut user = site.user();
    let url = user.wait_for_line("ready").replace("ready ", "");
    kill(site.keeper_pid());
    kill(site.running().pid);
    user.write_line("ensure");
    user.wait_for_line("ensured");
    assert_eq!(psql(&url, "select 1"), "1");
}

#[test]
fn acknowledged_rows_are_stored_when_all_are_killed() {
    let site = Site::new();
    psql(
        &url(&site.lease()),
        "create table t (writer int, n int, primary key (writer, n))",
    );
    for round in 0..4 {
        let mut users = [site.user(), site.user()];
        let writers: Vec<Process> = (0..4)
            .map(|writer| start_writer(&site, round * 10 + writer))
            .collect();
        for writer in &writers {
            eventually("some acknowledged rows", || writer.stdout().len() > 50);
        }
        let (keeper, server) = (site.keeper_pid(), site.running().pid);
        users[0].kill();
        // Every order of the three is a different accident.
        let order = if round % 2 == 0 {
            [keeper, server]
        } else {
            [server, keeper]
        };
        order.into_iter().for_each(kill);
        users[1].kill();
        let acknowledged: Vec<BTreeSet<u32>> = writers.into_iter().map(acknowledged_by).collect();
        for (writer, acknowledged) in (round * 10..).zip(acknowledged) {
            let rows = site.psql(&format!("select n from t where writer = {writer}"));
            let stored: BTreeSet<u32> = rows.lines().map(|row| row.parse().unwrap()).collect();
            let lost: Vec<&u32> = acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "round {round}, writer {writer}: lost {lost:?}");
            // The one row that was under way may have been stored without its acknowledgement arriving.
            assert!(
                stored.len() <= acknowledged.len() + 1,
                "round {round}: rows from nowhere"
            );
        }
    }
}

/// Starts a `psql` that inserts row after row and writes the number of each that the server acknowledged.
fn start_writer(site: &Site, writer: u32) -> Process {
    let script = site.dir.path().join(format!("writer-{writer}.sql"));
    let insert = |n| format!("insert into t values ({writer}, {n}) returning n;\n");
    fs::write(&script, (0..200_000).map(insert).collect::<String>()).unwrap();
    let mut command = psql_command(&url(&site.lease()));
    command.arg("-f").arg(&script);
    Process::spawn(command)
}

fn acknowledged_by(writer: Process) -> BTreeSet<u32> {
    let output = writer.finish();
    assert!(!output.status.success(), "the load ended before the accident");
    output
        .stdout
        .iter()
        .filter_map(|line| line.parse().ok())
        .collect()
}

#[test]
fn a_cluster_whose_making_was_killed_is_made_anew() {
    let site = Site::new();
    let mut user = site.start_user();
    eventually("an initdb at work", || {
        scratch_of(&site.data_dir).is_some_and(|dir| dir.join("base").exists())
    });
    for (pid, _) in site.processes() {
        kill(pid);
    }
    user.kill();
    site.wait_until_nothing_runs();
    assert!(
        !site.data_dir.join("cluster").exists(),
        "a cluster that is not complete has its final name"
    );
    assert!(
        scratch_of(&site.data_dir).is_some(),
        "initdb was killed too late for this test"
    );
    assert_eq!(site.psql("select 1"), "1");
    assert_eq!(scratch_of(&site.data_dir), None, "the remains are still there");
}

fn scratch_of(data_dir: &Path) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    let mut scratches = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("initdb-"));
    scratches.next().map(|entry| entry.path())
}
