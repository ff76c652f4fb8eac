//! Files removed from under a running fleet.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::{Output, Process, Signal, TempDir, eventually};

use crate::fleet::rig::{Fleet, control_socket, field};
use crate::http;
use crate::rig::{Rig, assert_refused, bare, code, run};

/// Removes a directory, also one that others write to meanwhile.
#[track_caller]
fn remove(directory: &Path) {
    eventually("the directory to be gone", || {
        match fs::remove_dir_all(directory) {
            Err(error) if directory.exists() => Err(error),
            _ => Ok(()),
        }
    });
}

/// Asserts that a second fleet on the same data directory is told who runs there.
#[track_caller]
fn assert_is_the_only_fleet(rig: &Rig) {
    let second = rig.run(["fleet", "--health-addr", "none"]);
    assert_refused(&second, 2, &["a fleet runs already"]);
}

/// Asserts that the fleet is neither ready nor healthy by its answers over HTTP, and for this reason.
#[track_caller]
fn assert_unwell(address: &str, reason: &str) {
    for (path, status) in [("/readyz", "not ready"), ("/health", "unhealthy")] {
        let answer = http::get(address, path);
        assert!(
            answer.status == 503 && answer.json()["status"] == status,
            "{}",
            answer.body
        );
        assert!(answer.body.contains(reason), "{}", answer.body);
    }
}

#[track_caller]
fn assert_shows(fleet: &Fleet, status: &Output) {
    assert_eq!(code(status), 0, "{status:#?}");
    let supervisor = format!("process {}", fleet.process.pid());
    assert!(status.stdout[0].contains(&supervisor), "{status:#?}");
}

#[test]
fn a_fleet_whose_socket_is_removed_is_found_all_the_same() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let socket = control_socket(&rig);
    fs::remove_file(&socket).unwrap();
    assert_shows(&fleet, &rig.run(["status"]));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_is_the_only_fleet(&rig);
    let log = fleet.stop();
    assert!(!socket.exists(), "the new socket was left behind");
    let told = log.stderr.iter().filter(|line| line.contains("control socket"));
    assert_eq!(told.count(), 1, "{log:#?}");
}

#[test]
fn a_fleet_whose_lock_file_is_removed_stays_the_only_one() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let lock = control_socket(&rig).with_file_name("fleet.lock");
    fs::remove_file(&lock).unwrap();
    assert_is_the_only_fleet(&rig);
    let pid = fleet.process.pid().to_string();
    eventually("the lock file", || {
        fs::read_to_string(&lock).is_ok_and(|text| text == pid)
    });
    assert_is_the_only_fleet(&rig);
    assert_shows(&fleet, &rig.run(["status"]));
}

#[test]
fn a_fleet_whose_place_is_removed_takes_it_again() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let socket = control_socket(&rig);
    remove(socket.parent().unwrap());
    eventually("the socket", || socket.exists());
    assert_shows(&fleet, &rig.run(["status"]));
    assert_is_the_only_fleet(&rig);
    assert_eq!(
        rig.run(["fleet", "scale", "2"]).stdout,
        ["scaled from 1 to 2 workers"]
    );
}

#[test]
fn a_removed_data_directory_is_an_error_in_every_answer() {
    let home = TempDir::new();
    let abaci = |arguments: &[&str]| run(bare(&home, arguments));
    let arguments = ["fleet", "--workers", "2", "--health-addr", "127.0.0.1:0"];
    let fleet = Process::spawn(bare(&home, arguments));
    let address = field(&fleet.wait_for_line("health process started"), "address");
    fleet.wait_for_line("fleet ready");
    assert_eq!(code(&abaci(&["submit", "10"])), 0);

    let data = home.path().join("data");
    remove(&data);
    let removed = "were removed while it was in use";
    // Also before anybody in the fleet has noticed.
    assert_refused(&abaci(&["submit", "10"]), 3, &[removed, "put them back"]);
    let line = fleet.wait_for_line("private database is gone");
    assert!(line.contains(removed), "{line}");
    for arguments in [
        &["serve"][..],
        &["submit", "10"],
        &["list"],
        &["db", "status"],
        &["db", "url"],
    ] {
        assert_refused(&abaci(arguments), 3, &[removed]);
    }
    let status = eventually("a status of the fleet", || {
        let status = abaci(&["status"]);
        if status.stdout[0].contains(&format!("process {}", fleet.pid())) {
            Ok(status)
        } else {
            Err(status)
        }
    });
    let told = status.stdout.iter().filter(|line| line.contains(removed)).count();
    assert_eq!((code(&status), told), (3, 2), "{status:#?}");
    assert_unwell(&address, removed);
    assert!(!data.join("postgres/cluster").exists(), "a new database was made");

    fleet.signal(Signal::TERM);
    assert_eq!(code(&fleet.finish()), 0);
    eventually("a new database", || {
        let output = abaci(&["db", "url"]);
        if code(&output) == 0 { Ok(()) } else { Err(output) }
    });
}
