//! The HTTP interface against its own document, asked at random by schemathesis.
//!
//! No answer may be a failure of the server, be undocumented or differ from its schema, and what the document forbids has
//! to be refused. Two things are left out. A request that fits the document may be refused all the same, since limits
//! depend on settings and on each other. Streams of events have no end to judge; other tests read them.
//!
//! `scripts/schemathesis` runs this with many more cases.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{Deadline, Output, Process};

use super::rig::{TOKEN, WebFleet, WebRig};
use crate::rig::code;

/// The fewest cases of a run that asks for no other number.
const FEWEST_CASES: u64 = 200;

/// The time of a run beside its cases, for its start and its report.
const MARGIN: Duration = Duration::from_mins(1);

#[test]
fn the_http_interface_keeps_to_its_own_document() {
    let rig = WebRig::new();
    // Small and short jobs, so that what is submitted at random ends.
    let web = rig.fleet(&["--workers", "1", "--max-n", "100000", "--job-time", "1s"]);
    let asked = std::env::var("ABACI_SCHEMATHESIS_CASES").ok();
    let cases = asked.map_or(FEWEST_CASES, |cases| cases.parse().expect("a number of cases"));
    let output = ask(&web, &rig, cases);
    let report = output.stdout.join("\n");
    assert_eq!(code(&output), 0, "{report}\n{:#?}", output.stderr);
    let made = cases_in(&output).unwrap_or_else(|| panic!("no number of cases in: {report}"));
    assert!(made >= cases, "{made} cases are fewer than {cases}:\n{report}");
    println!("{report}");
}

/// Runs the tool until its time is over, which is as long as that many cases take on a busy machine.
fn ask(web: &WebFleet, rig: &WebRig, cases: u64) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "{} is missing; ./check installs it",
        program.display()
    );
    let time = Duration::from_secs(20 + cases / 12);
    let home = rig.0.directory.path();
    let mut command = Command::new(program);
    command
        .args(["run", &format!("{}/openapi.json", web.url)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args([
            "--max-time",
            &time.as_secs().to_string(),
            "--request-timeout",
            "20",
        ])
        // A run of the usual size asks the same each time; a longer one looks for what is new.
        .args(seed(cases))
        .args(["--exclude-path-regex", "/events$"])
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--continue-on-failure", "--warnings", "off", "--no-color"])
        // It leaves what it found where it runs.
        .current_dir(home)
        .env("HOME", home);
    let process = Process::spawn(command).with_deadline(Deadline::after(2 * time + MARGIN));
    process.finish()
}

fn seed(cases: u64) -> &'static [&'static str] {
    if cases == FEWEST_CASES {
        &["--seed", "14"]
    } else {
        &[]
    }
}

/// The number before `generated` in the report.
fn cases_in(output: &Output) -> Option<u64> {
    let line = output.stdout.iter().find(|line| line.contains(" generated"))?;
    line.split_whitespace().next()?.parse().ok()
}
