use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use local_postgres::{Error, Force, KeeperCommand, Lease, stop};
use testkit::{Process, TempDir};

use crate::site::{self, Site, psql, url};

/// The uid and gid that have no rights anywhere.
const NOBODY: u32 = 65534;

#[test]
fn a_broken_configuration_is_told_in_the_servers_words() {
    let site = Site::new();
    drop(site.lease());
    stop(&site.data_dir, Force::No).unwrap();
    let file = site.data_dir.join("cluster/postgresql.conf");
    let good = fs::read(&file).unwrap();
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(b"no_such_setting = 1\n")
        .unwrap();
    let start = Instant::now();
    let error = Lease::acquire(&site.settings()).unwrap_err();
    let Error::StartFailed { tail, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        tail.contains("no_such_setting"),
        "the reason is missing in: {error}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        start.elapsed()
    );
    fs::write(&file, good).unwrap();
    assert_eq!(
        psql(&url(&site.lease()), "select 1"),
        "1",
        "a repaired configuration does not start"
    );
}

#[test]
fn a_directory_without_programs_is_named() {
    let site = Site::new();
    let empty = site.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut settings = site.settings();
    settings.bin_dir = Some(empty.clone());
    let error = Lease::acquire(&settings).unwrap_err();
    assert!(
        matches!(&error, Error::ProgramMissing { dir, .. } if *dir == empty),
        "{error:?}"
    );
    assert!(
        !site.data_dir.join("cluster").exists(),
        "something half-made is left"
    );
}

#[test]
fn a_path_too_long_for_a_socket_moves_the_socket() {
    let site = Site::new().at("d".repeat(120));
    let lease = site.lease();
    let socket_dir = lease.socket_dir().to_path_buf();
    assert!(
        !socket_dir.starts_with(site.dir.path()),
        "{}",
        socket_dir.display()
    );
    assert_eq!(
        fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o7777,
        0o700
    );
    assert_eq!(psql(&url(&lease), "select 1"), "1");
    drop(lease);
    stop(&site.data_dir, Force::No).unwrap();
    assert!(!socket_dir.exists(), "{} is left", socket_dir.display());
}

#[test]
fn a_socket_directory_that_others_may_enter_is_not_trusted() {
    let site = Site::new().at("d".repeat(120));
    let lease = site.lease();
    let socket_dir = lease.socket_dir().to_path_buf();
    drop(lease);
    stop(&site.data_dir, Force::No).unwrap();
    fs::create_dir(&socket_dir).unwrap();
    fs::set_permissions(&socket_dir, Permissions::from_mode(0o755)).unwrap();
    let refused = Lease::acquire(&site.settings());
    fs::remove_dir(&socket_dir).unwrap();
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("not a private directory"), "{error}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let closed = open_directory(0o555);
    let missing = closed.path().join("data");
    let refused = unprivileged_user(&closed, &missing).finish();
    assert_refused(&refused.stderr, "cannot use", &missing);
    let open = open_directory(0o755);
    let read_only = open.path().join("data");
    fs::create_dir(&read_only).unwrap();
    give_to_nobody(&read_only);
    fs::set_permissions(&read_only, Permissions::from_mode(0o555)).unwrap();
    let refused = unprivileged_user(&open, &read_only).finish();
    assert_refused(&refused.stderr, "cannot use", &read_only);
    assert_eq!(
        fs::read_dir(&read_only).unwrap().count(),
        0,
        "something half-made is left"
    );
}

#[test]
fn who_is_not_root_needs_nothing_but_a_directory() {
    let dir = open_directory(0o700);
    let data_dir = dir.path().join("data");
    let mut user = unprivileged_user(&dir, &data_dir);
    user.wait_for_line("ready");
    let local_postgres::Status::Running(running) = local_postgres::status(&data_dir).unwrap() else {
        panic!("no server runs");
    };
    let expected = if site::is_root() {
        NOBODY
    } else {
        rustix::process::geteuid().as_raw()
    };
    assert_eq!(site::uid_of(running.pid), expected);
    user.write_line("ensure");
    user.wait_for_line("ensured");
    assert!(user.finish().status.success());
    stop(&data_dir, Force::No).unwrap();
}

#[test]
fn a_directory_that_roots_stand_in_cannot_enter_is_refused() {
    let site = Site::new().at("closed/data");
    let closed = site.dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let acquired = Lease::acquire(&site.settings());
    if site::is_root() {
        let error = acquired.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(
            !site.data_dir.join("cluster").exists(),
            "something half-made is left"
        );
    } else {
        // Only root has a stand-in; everyone else can enter what is closed to others.
        acquired.unwrap();
    }
}

#[test]
fn a_keeper_that_cannot_be_started_is_named() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.keeper = KeeperCommand::new("/nowhere/keeper", [""; 0]);
    let error = Lease::acquire(&settings).unwrap_err();
    assert!(
        matches!(&error, Error::KeeperCommand { program, .. } if program == Path::new("/nowhere/keeper")),
        "{error:?}"
    );
}

#[test]
fn a_command_that_is_no_keeper_is_an_error_and_not_a_loop() {
    let site = Site::new();
    for (script, said) in [("exit 0", "nothing was logged"), ("echo sorry; exit 1", "sorry")] {
        let mut settings = site.settings();
        settings.keeper = KeeperCommand::new("/bin/sh", ["-c", script]);
        let error = Lease::acquire(&settings).unwrap_err();
        assert!(
            matches!(&error, Error::StartFailed { tail, .. } if tail.contains(said)),
            "{error:?}"
        );
    }
}

#[test]
fn a_start_that_takes_too_long_is_an_error() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.start_timeout = Duration::from_millis(100);
    // It ends by itself, soon after the test has seen the error.
    settings.keeper = KeeperCommand::new("/bin/sleep", ["1"]);
    let error = Lease::acquire(&settings).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

/// A directory of `nobody` (or of ours, when we are not root) with that mode.
fn open_directory(mode: u32) -> TempDir {
    let dir = TempDir::new();
    give_to_nobody(dir.path());
    fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
    dir
}

fn give_to_nobody(path: &Path) {
    if site::is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Starts a user process without root's rights. For that root copies the test binary, which may lie in a directory
/// that is closed to others; anyone else has no such rights to begin with.
fn unprivileged_user(dir: &TempDir, data_dir: &Path) -> Process {
    let command = site::user_command(data_dir, Duration::from_secs(1));
    if !site::is_root() {
        return Process::spawn(command);
    }
    let copy: PathBuf = dir.path().join("test-binary");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut unprivileged = Command::new(&copy);
    unprivileged.args(command.get_args()).envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    unprivileged.uid(NOBODY).gid(NOBODY).current_dir("/");
    Process::spawn(unprivileged)
}

fn assert_refused(stderr: &[String], reason: &str, path: &Path) {
    let refused = stderr
        .iter()
        .find(|line| line.starts_with("refused"))
        .unwrap_or_else(|| panic!("{stderr:#?}"));
    assert!(
        refused.contains(reason) && refused.contains(path.to_str().unwrap()),
        "{refused}"
    );
}
