use std::time::Duration;

use local_postgres::{Error, Force, Status, Stopped, status, stop};
use testkit::{TempDir, eventually};

use crate::site::{Site, kill, psql, url};

#[test]
fn the_status_tells_what_is_there() {
    let site = Site::new();
    assert_eq!(site.status(), Status::NotCreated);
    assert!(!site.data_dir.exists(), "looking made something");
    let lease = site.lease();
    let running = site.running();
    assert!(running.has_users && running.keeper_pid.is_some(), "{running:?}");
    drop(lease);
    assert!(!site.running().has_users);
    stop(&site.data_dir, Force::No).unwrap();
    assert_eq!(site.status(), Status::Stopped);
}

#[test]
fn a_stop_refuses_while_there_are_users_unless_it_is_forced() {
    let site = Site::new();
    let mut user = site.user();
    let url = user.wait_for_line("ready").replace("ready ", "");
    let error = stop(&site.data_dir, Force::No).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    assert_eq!(psql(&url, "select 1"), "1", "a refused stop did something");
    assert_eq!(stop(&site.data_dir, Force::Yes).unwrap(), Stopped::WasRunning);
    site.wait_until_nothing_runs();
    user.write_line("ensure");
    user.wait_for_line("ensured");
    assert_eq!(
        psql(&url, "select 1"),
        "1",
        "the user did not get its server back"
    );
}

#[test]
fn a_stop_ends_a_server_without_users_and_its_keeper_at_once() {
    let site = Site::new();
    drop(site.lease());
    assert_eq!(stop(&site.data_dir, Force::No).unwrap(), Stopped::WasRunning);
    site.wait_until_nothing_runs();
    assert_eq!(stop(&site.data_dir, Force::No).unwrap(), Stopped::WasNotRunning);
}

#[test]
fn a_stop_ends_a_server_whose_keeper_was_killed() {
    let site = Site::new();
    let mut user = site.user();
    kill(site.keeper_pid());
    user.kill();
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    assert_eq!(stop(&site.data_dir, Force::No).unwrap(), Stopped::WasRunning);
    assert_eq!(site.status(), Status::Stopped);
}

#[test]
fn a_directory_that_is_not_there_has_nothing_to_stop() {
    let dir = TempDir::new();
    let missing = dir.path().join("missing");
    assert_eq!(stop(&missing, Force::Yes).unwrap(), Stopped::WasNotRunning);
    assert_eq!(status(&missing).unwrap(), Status::NotCreated);
}

#[test]
fn users_who_come_during_forced_stops_get_a_server() {
    let site = Site::lingering(Duration::from_millis(100));
    let lease = site.lease();
    std::thread::scope(|scope| {
        let stopper = scope.spawn(|| {
            for _ in 0..5 {
                stop(&site.data_dir, Force::Yes).unwrap();
            }
        });
        while !stopper.is_finished() {
            site.lease();
        }
    });
    lease.ensure_running().unwrap();
    assert_eq!(psql(&url(&lease), "select 1"), "1");
}

#[test]
fn a_stop_in_the_middle_of_a_start_leaves_nothing_running() {
    let site = Site::new();
    drop(site.lease());
    stop(&site.data_dir, Force::No).unwrap();
    for _ in 0..6 {
        let mut user = site.start_user();
        eventually("a keeper at work", || {
            site.processes()
                .iter()
                .any(|(_, command)| command.contains("child_process"))
        });
        user.kill();
        stop(&site.data_dir, Force::No).unwrap();
        site.wait_until_nothing_runs();
    }
    assert_eq!(site.psql("select 1"), "1");
}

#[test]
fn a_database_is_created_once_whatever_its_name() {
    let site = Site::new();
    let lease = site.lease();
    let odd = r#"Übung "1" %/?&'"#;
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| lease.ensure_database(odd).unwrap());
        }
    });
    assert_eq!(psql(&lease.url(odd), "select current_database()"), odd);
    lease.ensure_database(odd).unwrap();
}

#[test]
fn the_url_leads_through_a_path_with_odd_characters() {
    for name in [r#"a b%20"c"'+&=?#é"#, "a comma, at which libpq splits hosts"] {
        let site = Site::new().at(name);
        let lease = site.lease();
        assert_eq!(psql(&url(&lease), "select 1"), "1", "{name}");
    }
}
