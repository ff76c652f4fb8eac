//! Databases whose files are removed while they are in use.

use std::fs;
use std::path::Path;
use std::time::Duration;

use local_postgres::{Error, Force, Health, Lease, Status, stop};
use testkit::eventually;

use crate::site::{Site, kill};

const SHORT: Duration = Duration::from_millis(200);

/// Removes a directory, also one that others write to meanwhile.
#[track_caller]
fn remove(dir: &Path) {
    eventually("the directory to be gone", || match fs::remove_dir_all(dir) {
        Err(error) if dir.exists() => Err(error),
        _ => Ok(()),
    });
}

#[track_caller]
fn assert_removed<T: std::fmt::Debug>(what: &str, outcome: &Result<T, Error>) {
    assert!(
        matches!(outcome, Err(Error::Removed { .. })),
        "{what}: {outcome:?}"
    );
}

#[track_caller]
fn wait_until_removed(lease: &Lease) {
    eventually("the lease to find out", || match lease.keep_alive() {
        Err(Error::Removed { .. }) => Ok(()),
        other => Err(other),
    });
}

#[track_caller]
fn assert_no_server(site: &Site) {
    eventually("the end of the server", || {
        let processes = site.processes();
        let is_server = |(_, command): &(u32, String)| command.contains("postgres");
        if processes.iter().any(is_server) {
            Err(processes)
        } else {
            Ok(())
        }
    });
}

#[test]
fn a_removed_database_is_an_error_until_its_last_user_ends() {
    let site = Site::lingering(SHORT);
    let lease = site.lease();
    let user = site.user();
    remove(&site.data_dir);
    // Whoever comes now, before anybody has noticed, gets no new database either.
    assert_removed("a lease", &Lease::acquire(&site.settings()));
    wait_until_removed(&lease);
    assert_removed("an old lease", &lease.ensure_running());
    assert_removed("a joined lease", &Lease::join(&site.settings()));
    assert_removed("the status", &local_postgres::status(&site.data_dir));
    assert_removed("a stop", &stop(&site.data_dir, Force::Yes));
    assert_no_server(&site);
    drop(lease);
    assert_removed("with a user left", &Lease::acquire(&site.settings()));
    assert!(!site.data_dir.join("cluster").exists(), "a new database was made");
    assert!(user.finish().status.success());
    let anew = eventually("a new database", || Lease::acquire(&site.settings()));
    assert_eq!(anew.keep_alive().unwrap(), Health::Ready);
}

#[test]
fn a_cluster_removed_alone_is_not_made_anew_under_its_users() {
    let site = Site::lingering(SHORT);
    let lease = site.lease();
    remove(&site.data_dir.join("cluster"));
    assert_removed("a lease", &Lease::acquire(&site.settings()));
    wait_until_removed(&lease);
    assert_no_server(&site);
    assert!(!site.data_dir.join("cluster").exists(), "a new database was made");
    drop(lease);
    eventually("a new database", || Lease::acquire(&site.settings()));
}

#[test]
fn a_database_that_is_put_back_serves_its_users_again() {
    let site = Site::lingering(SHORT);
    let lease = site.lease();
    site.psql("create table t (n int); insert into t values (7)");
    let elsewhere = site.dir.path().join("elsewhere");
    fs::rename(&site.data_dir, &elsewhere).unwrap();
    wait_until_removed(&lease);
    assert_no_server(&site);
    remove(&site.data_dir);
    fs::rename(&elsewhere, &site.data_dir).unwrap();
    eventually("the server", || match lease.keep_alive() {
        Ok(Health::Ready) => Ok(()),
        other => Err(other),
    });
    assert_eq!(site.psql("select n from t"), "7");
}

#[test]
fn without_a_keeper_a_user_notices_and_holds_the_place() {
    let site = Site::lingering(SHORT);
    let lease = site.lease();
    let server = site.running().pid;
    kill(site.keeper_pid());
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    kill(server);
    remove(&site.data_dir);
    wait_until_removed(&lease);
    assert_removed("another lease", &Lease::acquire(&site.settings()));
    drop(lease);
    eventually("a new database", || Lease::acquire(&site.settings()));
}

#[test]
fn a_directory_that_nobody_uses_may_be_removed_at_any_time() {
    let site = Site::new();
    drop(site.lease());
    assert!(!site.running().has_users);
    remove(&site.data_dir);
    site.wait_until_nothing_runs();
    assert!(!site.data_dir.exists(), "the keeper made it again");
    assert_eq!(site.status(), Status::NotCreated);
    site.lease();
}
