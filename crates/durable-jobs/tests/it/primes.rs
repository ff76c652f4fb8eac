//! The example `primes`, as the README runs it.

use std::path::PathBuf;
use std::process::Command;

use testkit::{Process, Signal, TempDir, TestDatabase, eventually};

/// The example, which is built with the tests.
fn primes(database: &TestDatabase, directory: &TempDir, arguments: &[&str]) -> Process {
    let tests = std::env::current_exe().unwrap();
    let target: PathBuf = tests.ancestors().nth(2).unwrap().into();
    let mut command = Command::new(target.join("examples/primes"));
    command
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .current_dir(directory.path());
    Process::spawn(command)
}

#[test]
fn the_example_counts_on_after_its_worker_was_killed() {
    let (database, directory) = (TestDatabase::create(), TempDir::new());
    let recorded = || {
        database.psql(
            "select function_id, started_at_epoch_ms, output from dbos.operation_outputs order by function_id",
        )
    };
    let mut killed = primes(&database, &directory, &["work"]);
    killed.wait_for_line("takes jobs");
    let client = primes(&database, &directory, &["submit", "1..3000001"]);
    eventually("a recorded step", || !recorded().trim().is_empty());
    killed.kill();
    let before = recorded();
    assert!(before.lines().count() < 3, "all was counted before the kill");
    let next = primes(&database, &directory, &["work"]);
    next.wait_for_line("takes jobs");
    let output = client.finish();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.contains(&"216816 primes".to_owned()), "{output:?}");
    assert!(
        recorded().starts_with(before.trim_end()),
        "a recorded step ran again"
    );
}

#[test]
fn a_service_that_is_stopped_thrice_counts_no_death() {
    let (database, directory) = (TestDatabase::create(), TempDir::new());
    let running = || {
        let running = "select count(*) from dbos.workflow_status where status = 'PENDING'";
        database.psql(running).trim() == "1"
    };
    let mut client = None;
    for _ in 0..3 {
        let worker = primes(&database, &directory, &["work"]);
        worker.wait_for_line("takes jobs");
        client.get_or_insert_with(|| primes(&database, &directory, &["submit", "1..6000001"]));
        eventually("a job in hand", running);
        worker.signal(Signal::TERM);
        let ended = worker.finish();
        assert!(ended.status.success(), "{ended:?}");
    }
    let last = primes(&database, &directory, &["work"]);
    last.wait_for_line("takes jobs");
    let output = client.unwrap().finish();
    assert!(output.stdout.contains(&"412849 primes".to_owned()), "{output:?}");
}

#[test]
fn a_span_that_is_none_is_refused_in_one_line() {
    let (database, directory) = (TestDatabase::create(), TempDir::new());
    for span in ["x..10", "10", "1..-5", "1..99999999999999999999"] {
        let output = primes(&database, &directory, &["submit", span]).finish();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let [line] = output.stderr.as_slice() else {
            panic!("{output:?}")
        };
        assert!(
            line.contains(span) && line.contains("such as 1..1000000"),
            "{line}"
        );
    }
}
