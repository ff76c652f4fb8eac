//! Every index a recorded step: workers that really die in the middle, and successors that go on at the next index.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::{Process, eventually};

use crate::fleet_rig::{Fleet, field};
use crate::rig::{Rig, assert_refused, code, objects};

const F100: &str = "354224848179261915075";

/// Every write to the recorded steps is kept here, second ones too.
const WATCH_WRITES: &str = "create table writes (step int, started bigint); \
     create function watch() returns trigger language plpgsql as \
     'begin insert into writes values (new.function_id, new.started_at_epoch_ms); return new; end'; \
     create trigger watch after insert or update on dbos.operation_outputs for each row execute function watch()";

fn submitted(rig: &Rig, arguments: &[&str]) -> String {
    let usual = ["--algorithm", "stepwise"];
    rig.submit(&[&usual[..], arguments].concat()).remove(0)
}

/// A fleet whose log has a line for every index.
fn fleet_with_faults<'a>(rig: &'a Rig, workers: &str) -> Fleet<'a> {
    let level = "info,fibonacci_jobs=debug";
    Fleet::start(
        rig,
        &["--workers", workers, "--enable-faults", "--log-level", level],
    )
}

/// Counts the runs of the addition of each index, as the log of all processes says.
fn runs_by_index(process: &Process) -> BTreeMap<u64, usize> {
    let mut runs = BTreeMap::new();
    for line in process
        .stderr()
        .iter()
        .filter(|line| line.contains("index added"))
    {
        *runs.entry(field(line, "index").parse().unwrap()).or_default() += 1;
    }
    runs
}

#[test]
fn random_crashes_cost_no_digit_and_repeat_no_recorded_step() {
    let rig = Rig::new();
    let fleet = fleet_with_faults(&rig, "2");
    rig.database.psql(WATCH_WRITES);
    let id = submitted(&rig, &["--fault", "random:7", "100"]);
    let result = fleet.result_of(&id);
    assert_eq!(
        (&result["value"], &result["attempts"]),
        (&F100.into(), &3.into()),
        "{result}"
    );
    let select = "select count(*), count(distinct step), min(step), max(step) from writes";
    assert_eq!(
        rig.database.psql(select).trim(),
        "101|101|0|100",
        "a step was recorded twice or not at all"
    );
    let moved = "select count(*) from writes w join dbos.operation_outputs o on o.function_id = w.step \
         where o.started_at_epoch_ms is distinct from w.started";
    assert_eq!(rig.database.psql(moved).trim(), "0");
    let resumed = fleet.process.wait_for_lines("resumed at index", 2);
    let resumed: Vec<u64> = resumed
        .iter()
        .map(|line| field(line, "index").parse().unwrap())
        .collect();
    assert!(resumed.iter().all(|index| *index > 2), "{resumed:?}");
    let runs = eventually("the end of the log", || {
        let runs = runs_by_index(&fleet.process);
        if runs.contains_key(&100) {
            Ok(runs)
        } else {
            Err(runs)
        }
    });
    // What a process had not written yet is lost with it: the last lines before an index at which another one went on.
    let is_there = |index: u64| runs.get(&index) == Some(&1);
    let is_lost = |index: u64| !runs.contains_key(&index);
    let is_excused = |index: u64| {
        let mut ends = resumed.iter().filter(|end| **end > index);
        ends.any(|end| (index..*end).all(is_lost))
    };
    assert!(
        (2..=100).all(|index| is_there(index) || is_excused(index)),
        "an addition ran twice or not at all: {runs:?}, resumed at {resumed:?}"
    );
    let health = fleet.await_health();
    let exits = health["workers"].as_array().unwrap().iter();
    let exits: Vec<&Value> = exits.map(|worker| &worker["last_exit"]["signal"]).collect();
    assert!(exits.contains(&&"SIGSEGV".into()), "{health:#}");
}

#[test]
fn each_fault_kills_one_worker_and_the_job_goes_on_there() {
    let rig = Rig::new();
    let fleet = fleet_with_faults(&rig, "1");
    for (restarts, (fault, signal)) in [
        ("segfault@30", "SIGSEGV"),
        ("abort@2", "SIGABRT"),
        ("oom@100", "SIGABRT"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = submitted(&rig, &["--fault", fault, "100"]);
        let result = fleet.result_of(&id);
        assert_eq!(
            (&result["value"], &result["attempts"]),
            (&F100.into(), &2.into()),
            "{fault}: {result}"
        );
        let worker = fleet.worker_in(0, "idle");
        assert_eq!(
            (&worker["last_exit"]["signal"], &worker["restarts"]),
            (&signal.into(), &(restarts + 1).into()),
            "{fault}: {worker}"
        );
        let (_, index) = fault.split_once('@').unwrap();
        let resumed = fleet.process.wait_for_lines("resumed at index", restarts + 1);
        assert_eq!(field(&resumed[restarts], "index"), index, "{fault}: {resumed:#?}");
    }
    fleet.process.wait_for_line("memory allocation of");
}

#[test]
fn a_server_without_faults_refuses_a_job_that_asks_for_one() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let output = rig.run([
        "submit",
        "--algorithm",
        "stepwise",
        "--fault",
        "segfault@57",
        "100",
    ]);
    assert_eq!(code(&output), 1, "{output:#?}");
    let [line] = &output.stdout[..] else {
        panic!("{output:#?}")
    };
    assert!(
        line.contains("segfault@57") && line.contains("--enable-faults"),
        "{line}"
    );
    let output = rig.run(["submit", "--json", "--algorithm", "stepwise", "100"]);
    assert_eq!(objects(&output)[0]["pid"], server.pid(), "{output:#?}");
}

#[test]
fn a_server_killed_from_outside_is_succeeded_at_the_next_index() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    let id = submitted(&rig, &["2000"]);
    let recorded = || -> u64 {
        let count = "select count(*) from dbos.operation_outputs";
        rig.database.psql(count).trim().parse().unwrap()
    };
    eventually("three hundred steps", || recorded() > 300);
    server.kill();
    let second = rig.server(&[]);
    let resumed = second.wait_for_line("resumed at index");
    let resumed_at: u64 = field(&resumed, "index").parse().unwrap();
    let before = format!("select count(*) from dbos.operation_outputs where function_id < {resumed_at} - 2");
    assert_eq!(rig.database.psql(&before).trim(), (resumed_at - 2).to_string());
    assert!(resumed_at > 302, "{resumed}");
    let output = rig.run(["wait", "--json", &id]);
    let result = &objects(&output)[0];
    assert_eq!(
        (&result["attempts"], &result["digits"], &result["pid"]),
        (&2.into(), &418.into(), &second.pid().into()),
        "{result}"
    );
    assert_eq!(recorded(), 2001);
    let shown = rig.run(["show", &id]).stdout;
    let steps: Vec<&str> = shown
        .iter()
        .skip_while(|line| !line.starts_with("STEP"))
        .skip(1)
        .map(String::as_str)
        .collect();
    let [add, certify, publish] = steps[..] else {
        panic!("{shown:#?}")
    };
    assert!(add.starts_with("0–1998  add "), "{add}");
    assert!(
        certify.starts_with("1999") && publish.starts_with("2000"),
        "{shown:#?}"
    );
}

#[test]
fn a_foreign_row_over_the_index_limit_is_refused() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    rig.database.psql(
        "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
         application_version, created_at, updated_at, priority, recovery_attempts) values ('foreign', 'ENQUEUED', \
         'fibonacci_stepwise', '10001', 'portable_json', 'fibonacci', 'abaci-1', extract(epoch from now()) * 1000, 0, 0, 0)",
    );
    let output = rig.run(["wait", "foreign"]);
    assert_eq!(code(&output), 1, "{output:#?}");
    assert!(
        output.stdout[0].contains("over the limit of 10000"),
        "{output:#?}"
    );
    assert_refused(
        &rig.run(["submit", "--algorithm", "stepwise", "10001"]),
        2,
        &["limit of 10000"],
    );
}
