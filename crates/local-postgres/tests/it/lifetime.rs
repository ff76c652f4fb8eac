use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use local_postgres::Status;
use testkit::{Process, is_alive};

use crate::site::{self, Site, psql, url};

/// Short, for tests that wait for the end of the server.
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn all_users_of_a_data_directory_share_one_server() {
    let site = Site::new();
    let lease = site.lease();
    psql(&url(&lease), "create table t (n int); insert into t values (1)");
    let other = site.user();
    let other_url = other.wait_for_line("ready").replace("ready ", "");
    assert_eq!(psql(&other_url, "select n from t"), "1");
    let servers = site
        .processes()
        .iter()
        .filter(|(_, command)| command.contains("postgres -D"))
        .count();
    assert_eq!(servers, 1, "{:#?}", site.processes());
}

#[test]
fn nothing_is_left_running_after_the_last_user() {
    let site = Site::lingering(SHORT);
    let lease = site.lease();
    let other = site.user();
    psql(&url(&lease), "create table t (n int); insert into t values (7)");
    drop(lease);
    assert!(other.finish().status.success());
    site.wait_until_nothing_runs();
    assert_eq!(site.status(), Status::Stopped);
    assert_eq!(
        site.psql("select n from t"),
        "7",
        "the next server lost what the previous one had"
    );
}

#[test]
fn the_server_stays_while_any_user_lives_however_the_others_end() {
    let site = Site::lingering(SHORT);
    let (mut killed, mut ended, mut last) = (site.user(), site.user(), site.user());
    let pid = site.running().pid;
    killed.kill();
    ended.close_stdin();
    ended.wait_exit();
    last.write_line("ensure");
    last.wait_for_line("ensured");
    assert_eq!(site.running().pid, pid, "the server was started again");
    last.kill();
    site.wait_until_nothing_runs();
}

#[test]
fn a_user_who_comes_during_the_linger_finds_the_same_server() {
    let site = Site::new();
    drop(site.lease());
    let pid = site.running().pid;
    assert!(!site.running().has_users);
    let _lease = site.lease();
    assert_eq!(site.running().pid, pid);
}

#[test]
fn many_first_users_at_once_start_one_keeper_and_one_server() {
    let site = Site::new();
    let users: Vec<Process> = (0..8).map(|_| site.start_user()).collect();
    for user in &users {
        user.wait_for_line("ready");
    }
    let servers = site
        .processes()
        .iter()
        .filter(|(_, command)| command.contains("postgres -D"))
        .count();
    assert_eq!(servers, 1, "{:#?}", site.processes());
    let starts = site.log();
    assert_eq!(
        starts
            .matches("database system is ready to accept connections")
            .count(),
        1,
        "{starts}"
    );
}

#[test]
fn a_user_who_comes_while_the_server_stops_gets_a_fresh_one() {
    let site = Site::lingering(Duration::ZERO);
    psql(&url(&site.lease()), "create table t (n int)");
    let rounds = 8;
    let come_and_go = |user: i32| {
        for round in 0..rounds {
            let lease = site.lease();
            psql(
                &url(&lease),
                &format!("insert into t values ({})", user * 100 + round),
            );
        }
    };
    std::thread::scope(|scope| {
        for user in 0..3 {
            scope.spawn(move || come_and_go(user));
        }
    });
    assert_eq!(site.psql("select count(*), count(distinct n) from t"), "24|24");
    site.wait_until_nothing_runs();
}

#[test]
fn the_keeper_holds_nothing_of_its_starter() {
    let site = Site::new();
    let starter = site.user_command();
    // As `./demo | cat` does, with one more descriptor on the pipe, which a careless shell leaves open.
    let mut pipeline = Command::new("sh");
    pipeline.args(["-c", r#"(exec 7>&1; "$@" </dev/null) 2>&1 | cat"#, "sh"]);
    pipeline.arg(starter.get_program()).args(starter.get_args());
    pipeline.envs(
        starter
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = Process::spawn(pipeline).finish();
    assert!(
        output.stdout.iter().any(|line| line.contains("ready")),
        "{output:#?}"
    );
    let keeper = site.keeper_pid();
    let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!(
        fields[3],
        keeper.to_string(),
        "the keeper is in its starter's session"
    );
    assert_eq!(
        std::fs::read_link(format!("/proc/{keeper}/cwd"))
            .unwrap()
            .to_str(),
        Some("/")
    );
}

#[test]
fn the_server_runs_as_its_user_or_for_root_as_another_account() {
    let site = Site::new();
    let _lease = site.lease();
    let (server, keeper) = (site::uid_of(site.running().pid), site::uid_of(site.keeper_pid()));
    assert_eq!(keeper, rustix::process::geteuid().as_raw());
    assert_ne!(server, 0, "the server runs as root");
    if !site::is_root() {
        // Only root has another account to give the server to; as anyone else this is the other half of the property.
        assert_eq!(server, keeper);
    }
}

#[test]
fn only_the_servers_account_can_reach_it() {
    let site = Site::new();
    let lease = site.lease();
    let server = site::uid_of(site.running().pid);
    for dir in [lease.socket_dir(), &site.data_dir.join("cluster")] {
        let metadata = std::fs::metadata(dir).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.uid()),
            (0o700, server),
            "{}",
            dir.display()
        );
    }
    assert_eq!(
        psql(&url(&lease), "show listen_addresses"),
        "",
        "it listens on a network"
    );
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert_eq!(psql(&url(&lease), &format!("show {setting}")), "on", "{setting}");
    }
    assert_eq!(psql(&url(&lease), "show server_encoding"), "UTF8");
}

#[test]
fn a_released_lease_of_a_living_process_counts_no_more() {
    let site = Site::lingering(SHORT);
    let mut user = site.user();
    user.write_line("release");
    user.wait_for_line("released");
    site.wait_until_nothing_runs();
    assert!(is_alive(user.pid()), "the user ended");
}
