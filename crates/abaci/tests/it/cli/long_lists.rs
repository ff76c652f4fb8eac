//! Lists of more jobs than one page has.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::fleet_rig::memory_kib;
use crate::rig::{Rig, code, objects};

/// More than a pipe holds, and less than a page.
const SOME: usize = 400;

/// Makes as many jobs that were submitted at the moment that an expression over `job` says.
fn insert(rig: &Rig, count: usize, created_at_ms: &str) {
    rig.database.psql(&format!(
        "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
         application_version, created_at, updated_at, priority, recovery_attempts) \
         select 'job-' || lpad(job::text, 9, '0'), 'ENQUEUED', 'fibonacci_workflow', job::text, 'portable_json', \
         'fibonacci', 'abaci-1', {created_at_ms}, 0, 0, 0 from generate_series(1, {count}) job"
    ));
}

/// A rig whose tables are there and empty.
fn rig() -> Rig {
    let rig = Rig::new();
    rig.submit(&["1"]);
    rig.database.psql("delete from dbos.workflow_status");
    rig
}

/// The most memory that the program needs, in KiB, until it has printed this many lines; then its reader leaves.
fn peak_kib(rig: &Rig, arguments: &[&str], lines: usize) -> u64 {
    let mut list = rig.abaci(arguments);
    let mut list = list
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(list.stdout.take().unwrap());
    let mut read = stdout.lines();
    assert_eq!(read.by_ref().take(lines).map(Result::unwrap).count(), lines);
    // It cannot have ended: the rest is more than the pipe holds.
    let peak = memory_kib(list.id(), "VmHWM");
    drop(read);
    let output = list.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &[][..]),
        "{output:?}"
    );
    peak
}

#[test]
fn a_list_of_any_length_needs_the_memory_of_a_page() {
    let rig = rig();
    insert(&rig, 20_000, "job");
    for format in [&["--json"][..], &[]] {
        let peak_of = |limit, lines| peak_kib(&rig, &[&["list", "--limit", limit], format].concat(), lines);
        let (some, all) = (peak_of("2000", 2000 - SOME), peak_of("0", 20_000 - 2 * SOME));
        assert!(
            all < some + 4_096,
            "{some} KiB for 2,000 jobs and {all} KiB for 20,000"
        );
    }
}

#[test]
fn each_job_is_listed_once_whatever_dates_jobs_share() {
    let rig = rig();
    insert(&rig, 1_700, "case when job % 3 < 2 then 500 else job end");
    let listed = objects(&rig.run(["list", "--json", "--limit", "0"]));
    let ids: HashSet<_> = listed.iter().map(|job| job["workflow_id"].as_str()).collect();
    assert_eq!((listed.len(), ids.len()), (1_700, 1_700));
    let dates = listed.iter().map(|job| job["created_at_ms"].as_i64().unwrap());
    assert!(
        dates.is_sorted_by(|newer, older| newer >= older),
        "not the newest first"
    );
    assert_eq!(rig.run(["list", "--json", "--limit", "1300"]).stdout.len(), 1_300);
}

#[test]
fn a_filter_that_matches_few_of_many_finds_them_all() {
    let rig = rig();
    insert(&rig, 1_300, "job");
    let failure = r#"{"name": "A", "message": "a", "data": {"kind": "KIND", "attempt": 1}}"#;
    let (failed, parked) = (
        failure.replace("KIND", "terminal"),
        failure.replace("KIND", "parked"),
    );
    rig.database.psql(&format!(
        "update dbos.workflow_status set status = 'ERROR', \
         error = case when inputs in ('1', '2', '1000') then '{parked}' else '{failed}' end"
    ));
    let listed = objects(&rig.run(["list", "--json", "--parked"]));
    let found: Vec<_> = listed.iter().map(|job| job["n"].as_u64().unwrap()).collect();
    assert_eq!(found, [1_000, 2, 1]);
    assert_eq!(
        rig.run(["list", "--json", "--parked", "--limit", "2"])
            .stdout
            .len(),
        2
    );
}

#[test]
fn a_long_list_is_one_table() {
    let rig = rig();
    insert(&rig, 1_100, "job");
    let output = rig.run(["list", "--limit", "0"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(output.stdout.len(), 1_101, "there is one header");
    let header = &output.stdout[0];
    for (column, text) in [
        ("STATE", "queued"),
        ("QUEUE", "fibonacci"),
        ("ATTEMPTS", "0"),
        ("WORKER", "-"),
    ] {
        let place = header.find(column).unwrap();
        let stands = |line: &&String| line[place..].starts_with(text);
        let out_of_line = output.stdout.iter().skip(1).find(|line| !stands(line));
        assert_eq!(out_of_line, None, "{column} is elsewhere than in {header}");
    }
}
