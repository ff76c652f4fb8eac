//! A hundred random faults over three hundred jobs.
//!
//! The seed is printed and taken from `ABACI_CHAOS_SEED` where that is set. It fixes which faults there are and how long
//! the pauses between them; which worker has which job at that moment is the machine's choice.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use abaci_testkit::{Deadline, Process, Signal, eventually, is_alive};
use serde_json::Value;

use crate::fleet_rig::{Fleet, end_by, try_signal, workers_in};
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

/// What may happen to a worker; it ends by each of them, if only by the watchdog.
const FAULTS_OF_A_WORKER: [(Signal, &str); 5] = [
    (Signal::KILL, "kill"),
    (Signal::ABORT, "abort"),
    (Signal::BUS, "bus error"),
    (Signal::STOP, "stop"),
    (Signal::TERM, "termination by somebody else"),
];

/// What was done, and to whom.
#[derive(Debug, Default)]
struct Harm {
    /// The workers that something has happened to: each of them ends, once.
    workers: HashSet<u32>,
    /// The same of health processes.
    healths: HashSet<u32>,
    /// What was the first that happened to them, and how often.
    first: HashMap<&'static str, usize>,
    /// How often something happened to one that was ending already.
    again: usize,
}

impl Harm {
    /// How many faults have met a process that was well.
    fn count(&self) -> usize {
        self.workers.len() + self.healths.len()
    }

    /// Does something to a worker or, one time in ten, to the health process, if there is one.
    fn go_on(&mut self, fleet: &Fleet, dice: &mut Dice) -> Option<()> {
        let health = fleet.health();
        let pid_in = |view: &Value| view["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let (met, pid, fault, name) = if dice.throw(10) == 0 {
            let name = "kill of the health process";
            (&mut self.healths, pid_in(&health)?, Signal::KILL, name)
        } else {
            let slot = dice.throw(WORKERS);
            let (fault, name) = FAULTS_OF_A_WORKER[usize::try_from(dice.throw(5)).unwrap()];
            let workers = workers_in(&health);
            let worker = workers.iter().find(|worker| worker["slot"] == slot)?;
            (&mut self.workers, pid_in(worker)?, fault, name)
        };
        // What was said of it may be half a second old.
        if !is_alive(pid) {
            return None;
        }
        match fault {
            // The first one is none.
            Signal::BUS => end_by(pid, fault),
            // Of one that was met before, this may be the moment at which it is gone.
            _ => drop(try_signal(pid, fault)),
        }
        if met.insert(pid) {
            *self.first.entry(name).or_default() += 1;
        } else {
            self.again += 1;
        }
        Some(())
    }
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
    let mut harm = Harm::default();
    while harm.count() < FAULTS {
        harm.go_on(&fleet, &mut dice);
        // The pauses are the test's subject: faults that come at any moment.
        std::thread::sleep(Duration::from_millis(dice.throw(400)));
    }
    println!(
        "{:#?}, and {} more to those that were ending",
        harm.first, harm.again
    );
    let output = client.finish();
    let last = output.stderr.last();
    assert!([0, 1].contains(&code(&output)), "{last:?}");
    let results = objects(&output);
    assert_exact(&rig, &results, &indices);
    assert!(
        results.iter().any(|result| result["attempts"].as_u64() > Some(1)),
        "no fault has met a job"
    );
    await_restarts(&fleet, &harm);
    fleet.await_health();
    eventually("an empty queue", || {
        rig.database
            .psql("select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')")
            .trim()
            == "0"
    });
    assert_eq!(code(&fleet.stop()), 0);
}

/// Waits until each process that a fault has met is replaced. There may be more: this machine is busy and the watchdog short.
#[track_caller]
fn await_restarts(fleet: &Fleet, harm: &Harm) {
    let of = |view: &Value| {
        view["restarts"]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
    };
    eventually(&format!("as many restarts as deaths: {harm:#?}"), || {
        let health = fleet.health();
        let workers = workers_in(&health).iter().filter_map(of).sum::<usize>();
        let healths = of(&health["health"]).unwrap_or_default();
        if workers >= harm.workers.len() && healths >= harm.healths.len() {
            Ok(())
        } else {
            Err((workers, healths))
        }
    });
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
