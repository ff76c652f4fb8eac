//! `abaci demo --open`, by one who looks at it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testkit::{Process, Signal, TempDir};

use super::browser::Scenario;
use crate::cli::demo::{assert_nothing_is_left, demo};
use crate::rig::code;

/// A program that stands for a browser: it keeps the arguments that it gets, and what is in the file that they name.
const OPENER: &str =
    "#!/bin/sh\necho \"$@\" > \"$OPENED\"\ncat \"$1\" >> \"$OPENED\"\nstat -c %a \"$1\" >> \"$OPENED\"\n";

/// The address that the demo prints.
fn address(demo: &Process) -> String {
    let line = demo.wait_for_line("/login?code=");
    line.trim().to_owned()
}

#[test]
fn a_viewer_of_the_demo_kills_a_worker_whose_job_recovers() {
    let home = TempDir::new();
    let demo = Process::spawn(demo(&home, &["--open"]));
    let url = address(&demo);
    let origin = url.split_once("/login").unwrap().0.to_owned();
    Scenario::start("demo", &[("ABACI_WEB_URL", &origin), ("ABACI_DEMO_URL", &url)]).passes();
    demo.signal(Signal::INT);
    assert_eq!(code(&demo.finish()), 0);
    assert_nothing_is_left(&home);
}

#[test]
fn no_argument_of_a_browser_logs_into_the_demo() {
    let (home, tools) = (TempDir::new(), TempDir::new());
    let opener = tools.path().join("xdg-open");
    fs::write(&opener, OPENER).unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let kept = tools.path().join("kept");
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let mut command = demo(&home, &["--open"]);
    command.env("PATH", path).env("OPENED", &kept);
    let demo = Process::spawn(command);
    let url = address(&demo);
    let seen = testkit::eventually("a browser that was opened", || {
        let seen = fs::read_to_string(&kept).unwrap_or_default();
        if seen.trim_end().ends_with("600") {
            Ok(seen)
        } else {
            Err(seen)
        }
    });
    let (arguments, page) = seen.split_once('\n').unwrap();
    assert!(!arguments.contains("code="), "{arguments}");
    assert!(page.contains(&url), "{page}");
    demo.signal(Signal::TERM);
    assert_eq!(code(&demo.finish()), 0);
    assert_nothing_is_left(&home);
}
