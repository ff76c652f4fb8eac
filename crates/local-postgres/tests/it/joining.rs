use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use local_postgres::{Error, Force, Health, KeeperCommand, Lease, Status, stop};
use testkit::eventually;

use crate::site::{Site, kill, psql, url};

const SHORT: Duration = Duration::from_millis(200);

#[track_caller]
fn wait_until_ready(lease: &Lease) {
    eventually("a server that looks ready", || {
        lease.keep_alive().map(|health| health == Health::Ready).unwrap()
    });
}

/// Makes the cluster, with a line more in its configuration, and leaves nothing running.
fn configure(site: &Site, line: &str) {
    drop(site.lease());
    stop(&site.data_dir, Force::No).unwrap();
    let file = site.data_dir.join("cluster/postgresql.conf");
    let mut file = fs::File::options().append(true).open(file).unwrap();
    writeln!(file, "{line}").unwrap();
}

fn servers(site: &Site) -> usize {
    let processes = site.processes();
    processes
        .iter()
        .filter(|(_, command)| command.contains("postgres -D"))
        .count()
}

#[test]
fn a_joined_lease_starts_the_server_without_waiting_for_it() {
    let site = Site::new();
    let lease = site.joined();
    assert_eq!(
        lease.keep_alive().unwrap(),
        Health::NotReady,
        "a cluster was made in no time, or the join waited for it"
    );
    wait_until_ready(&lease);
    assert!(site.running().has_users);
    eventually("an answer", || {
        site.lease();
        psql(&url(&lease), "select 1") == "1"
    });
}

#[test]
fn a_joined_lease_never_connects_to_the_server() {
    let site = Site::new();
    configure(&site, "log_connections = on");
    let before = site.log().len();
    let lease = site.joined();
    wait_until_ready(&lease);
    assert!(
        !site.log()[before..].contains("connection received"),
        "{}",
        site.log()
    );
    // Nor when it starts another keeper, which looks for itself whether the socket accepts, or another server.
    kill(site.keeper_pid());
    wait_until_ready(&lease);
    kill(site.running().pid);
    eventually("another server", || {
        lease.keep_alive().unwrap();
        site.log()[before..]
            .matches("ready to accept connections")
            .count()
            == 2
    });
    wait_until_ready(&lease);
    let asked_by_a_user = "connection authorized: user=postgres";
    assert!(!site.log()[before..].contains(asked_by_a_user), "{}", site.log());
    site.psql("select 1");
    assert!(
        site.log()[before..].contains(asked_by_a_user),
        "the log does not tell"
    );
}

#[test]
fn the_server_lives_as_long_as_a_joined_lease() {
    let site = Site::lingering(SHORT);
    let lease = site.joined();
    wait_until_ready(&lease);
    assert!(site.user().finish().status.success());
    let server = site.running().pid;
    let start = Instant::now();
    eventually("several lingers to pass", || {
        assert_eq!(site.running().pid, server, "the server did not stay");
        start.elapsed() > 5 * SHORT
    });
    assert_eq!(lease.keep_alive().unwrap(), Health::Ready);
    drop(lease);
    site.wait_until_nothing_runs();
}

#[test]
fn the_next_look_replaces_a_killed_keeper() {
    let site = Site::lingering(SHORT);
    let lease = site.joined();
    wait_until_ready(&lease);
    let (server, keeper) = (site.running().pid, site.keeper_pid());
    kill(keeper);
    eventually("the end of the keeper", || site.running().keeper_pid.is_none());
    assert_eq!(lease.keep_alive().unwrap(), Health::Ready);
    assert_ne!(site.keeper_pid(), keeper);
    assert_eq!(
        site.running().pid,
        server,
        "the server was started again instead of adopted"
    );
    drop(lease);
    site.wait_until_nothing_runs();
}

#[test]
fn keeper_and_server_come_back_after_both_were_killed() {
    let site = Site::new();
    let lease = site.joined();
    wait_until_ready(&lease);
    site.psql("create table t (n int); insert into t values (7)");
    for _ in 0..3 {
        let (server, keeper) = (site.running().pid, site.keeper_pid());
        kill(keeper);
        kill(server);
        eventually("another server", || {
            let health = lease.keep_alive().unwrap();
            health == Health::Ready
                && matches!(site.status(), Status::Running(running) if running.pid != server)
        });
        assert_eq!(site.psql("select n from t"), "7");
    }
}

#[test]
fn a_forced_stop_is_undone_by_the_next_looks() {
    let site = Site::new();
    let lease = site.joined();
    wait_until_ready(&lease);
    stop(&site.data_dir, Force::Yes).unwrap();
    wait_until_ready(&lease);
    assert_eq!(site.psql("select 1"), "1");
}

#[test]
fn who_joins_while_a_server_stops_gets_a_fresh_one() {
    let site = Site::lingering(Duration::ZERO);
    for _ in 0..5 {
        let lease = site.joined();
        wait_until_ready(&lease);
        assert_eq!(psql(&url(&lease), "select 1"), "1");
    }
}

#[test]
fn many_who_join_at_once_start_one_server() {
    let site = Site::new();
    let leases: Vec<Lease> = std::thread::scope(|scope| {
        let joins: Vec<_> = (0..8).map(|_| scope.spawn(|| site.joined())).collect();
        joins.into_iter().map(|join| join.join().unwrap()).collect()
    });
    leases.iter().for_each(wait_until_ready);
    // A process that the server has just made still has its command line.
    eventually("one server", || servers(&site) == 1);
    let log = site.log();
    let starts = log.matches("ready to accept connections").count();
    assert_eq!(starts, 1, "{log}");
}

#[test]
fn what_cannot_start_is_told_by_the_join() {
    let site = Site::new();
    let empty = site.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut settings = site.settings();
    settings.bin_dir = Some(empty);
    let error = Lease::join(&settings).unwrap_err();
    assert!(matches!(error, Error::ProgramMissing { .. }), "{error:?}");

    let mut settings = site.settings();
    settings.keeper = KeeperCommand::new("/nonexistent/keeper", ["keep"]);
    let error = Lease::join(&settings).unwrap_err();
    assert!(matches!(error, Error::KeeperCommand { .. }), "{error:?}");

    let mut settings = site.settings();
    settings.keeper = KeeperCommand::new("/bin/false", Vec::<String>::new());
    let error = Lease::join(&settings).unwrap_err();
    assert!(matches!(error, Error::StartFailed { .. }), "{error:?}");

    let mut settings = site.settings();
    settings.data_dir = Path::new("/proc/nowhere").to_path_buf();
    let error = Lease::join(&settings).unwrap_err();
    assert!(matches!(error, Error::DataDirectory { .. }), "{error:?}");
}

#[test]
fn a_server_that_does_not_start_is_told_in_its_words() {
    let site = Site::new();
    configure(&site, "no_such_setting = 1");
    let lease = site.joined();
    let tail = eventually("the reason", || match lease.keep_alive() {
        Err(Error::StartFailed { tail, .. }) => Ok(tail),
        other => Err(other),
    });
    assert!(
        tail.contains("no_such_setting"),
        "the reason is missing in: {tail}"
    );
    let file = site.data_dir.join("cluster/postgresql.conf");
    let repaired = fs::read_to_string(&file)
        .unwrap()
        .replace("no_such_setting = 1", "");
    fs::write(&file, repaired).unwrap();
    eventually("a repaired server", || {
        matches!(lease.keep_alive(), Ok(Health::Ready))
    });
    assert_eq!(site.psql("select 1"), "1");
}

#[test]
fn a_look_at_a_server_that_is_well_takes_no_time() {
    let site = Site::new();
    let lease = site.joined();
    wait_until_ready(&lease);
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(lease.keep_alive().unwrap(), Health::Ready);
    }
    let each = start.elapsed() / 100;
    eprintln!("a look takes {each:?}");
    assert!(each < Duration::from_millis(20), "a look takes {each:?}");
}
