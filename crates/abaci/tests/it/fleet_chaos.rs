//! A hundred random faults over three hundred jobs.
//!
//! The seed is printed and taken from `ABACI_CHAOS_SEED` where that is set. It fixes which faults there are and how long
//! the pauses between them; which worker has which job at that moment is the machine's choice.

use std::collections::HashMap;
use std::time::Duration;

use abaci_testkit::{Deadline, Process, Signal, eventually};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::fleet_rig::Fleet;
use crate::rig::{Rig, code, objects};

const JOBS: usize = 300;
const FAULTS: usize = 100;
const WORKERS: u64 = 3;

/// About 60 ms to 0.3 s of one core each: most faults hit a job that runs.
const INDICES: std::ops::RangeInclusive<u64> = 36..=39;

/// A small generator with a period that nobody exhausts. Source: Marsaglia, Xorshift RNGs (2003).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn seed() -> u64 {
    let given = std::env::var("ABACI_CHAOS_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("ABACI_CHAOS_SEED is a number"));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    // Zero would stay zero.
    given.unwrap_or_else(|| u64::from(now.subsec_nanos())) | 1
}

/// What may happen to a process.
const FAULTS_OF_A_WORKER: [(Signal, &str); 5] = [
    (Signal::KILL, "kill"),
    (Signal::ABORT, "abort"),
    (Signal::BUS, "bus error"),
    (Signal::STOP, "stop"),
    (Signal::TERM, "termination by somebody else"),
];

/// Does something to a worker or, one time in ten, to the health process; returns what, or nothing if there was none.
fn do_harm(fleet: &Fleet, dice: &mut Dice) -> Option<&'static str> {
    let health = fleet.health();
    let pid_in = |view: &Value| view["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    if dice.throw(10) == 0 {
        harm(pid_in(&health)?, Signal::KILL);
        return Some("kill of the health process");
    }
    let slot = dice.throw(WORKERS);
    let (fault, name) = FAULTS_OF_A_WORKER[usize::try_from(dice.throw(5)).unwrap()];
    let workers = health["workers"].as_array()?;
    let worker = workers.iter().find(|worker| worker["slot"] == slot)?;
    // Another one may end it in the meantime; then this fault is none.
    harm(pid_in(worker)?, fault);
    Some(name)
}

/// Sends a signal to a process that may have ended in the meantime.
fn harm(pid: u32, fault: Signal) {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(id.expect("it is a process id"), fault);
}

#[test]
fn a_hundred_random_faults_over_three_hundred_jobs_lose_double_and_falsify_nothing() {
    let seed = seed();
    println!("ABACI_CHAOS_SEED={seed}");
    let mut dice = Dice(seed);
    let rig = Rig::new();
    // The restart policy has tests of its own; here it would only make this one slow.
    let workers = WORKERS.to_string();
    let patient = [
        "--workers",
        &workers,
        "--watchdog",
        "1s",
        "--max-restarts",
        "1000",
        "--restart-window",
        "1s",
    ];
    let fleet = Fleet::start(&rig, &patient);
    let indices: Vec<u64> = (0..JOBS)
        .map(|_| INDICES.start() + dice.throw(INDICES.end() - INDICES.start() + 1))
        .collect();
    let arguments = indices.iter().map(u64::to_string);
    let submit = [
        "submit",
        "--json",
        "--algorithm",
        "recursive",
        "--wait-for-server",
        "5m",
    ];
    let submit = submit.into_iter().map(str::to_owned).chain(arguments);
    let client = Process::spawn(rig.abaci(submit)).with_deadline(Deadline::after(Duration::from_mins(4)));
    client.wait_for_line("\"workflow_id\"");
    let mut done: HashMap<&'static str, usize> = HashMap::new();
    while done.values().sum::<usize>() < FAULTS {
        if let Some(fault) = do_harm(&fleet, &mut dice) {
            *done.entry(fault).or_default() += 1;
        }
        // The pauses are the test's subject: faults that come at any moment.
        std::thread::sleep(Duration::from_millis(dice.throw(400)));
    }
    println!("{done:#?}");
    let output = client.finish();
    let last = output.stderr.last();
    assert!([0, 1].contains(&code(&output)), "{last:?}");
    assert_exact(&rig, &objects(&output), &indices);
    fleet.await_health();
    eventually("an empty queue", || {
        rig.database
            .psql("select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')")
            .trim()
            == "0"
    });
    assert_eq!(code(&fleet.stop()), 0);
}

/// Every job has one outcome: its exact value, or, if it met three deaths, that it was parked for that.
#[track_caller]
fn assert_exact(rig: &Rig, results: &[Value], indices: &[u64]) {
    assert_eq!(results.len(), indices.len(), "a result is missing, or told twice");
    let mut left: HashMap<u64, usize> = HashMap::new();
    for n in indices {
        *left.entry(*n).or_default() += 1;
    }
    let mut parked = 0;
    for result in results {
        if result["state"] == "parked" {
            parked += 1;
            continue;
        }
        let n = result["n"].as_u64().unwrap();
        let value = fibonacci::doubling(n, &fibonacci::unobserved)
            .unwrap()
            .to_string();
        assert_eq!(result["value"], value.as_str(), "{result}");
        let left = left.get_mut(&n).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("one more than was asked for: {result}")) -= 1;
    }
    println!("{parked} jobs met three deaths");
    assert_eq!(left.values().sum::<usize>(), parked, "{left:?}");
    assert!(
        parked <= FAULTS / 3,
        "{parked} jobs parked, by fewer deaths than that takes"
    );
    let rows = rig
        .database
        .psql("select count(*), count(distinct workflow_uuid) from dbos.workflow_status");
    assert_eq!(
        rows.trim(),
        format!("{0}|{0}", indices.len()),
        "a row is missing or doubled"
    );
    let twice = "select count(*) from (select 1 from dbos.operation_outputs group by workflow_uuid, function_name having count(*) > 1) t";
    assert_eq!(rig.database.psql(twice).trim(), "0", "a step is recorded twice");
}
