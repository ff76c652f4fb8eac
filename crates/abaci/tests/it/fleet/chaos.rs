//! A hundred random faults over two hundred jobs, with the settings that a fleet has by itself.
//!
//! The seed is printed and taken from `ABACI_CHAOS_SEED` where that is set. It fixes which faults there are and how long
//! the pauses between them; which worker has which job at that moment is the machine's choice.
//!
//! A job that costs three processes is parked, which is right and has tests of its own; so what would be the third death of
//! a job is left out here, and every client ends with success.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::Duration;

use serde_json::Value;
use testkit::{Deadline, Process, Signal, TempDir, children_of, eventually};

use crate::fleet::rig::{Fleet, try_signal, workers_in};
use crate::rig::{Program, code, objects, run};

const CLIENTS: usize = 4;
const JOBS_OF_A_CLIENT: usize = 50;
const FAULTS: usize = 100;

/// A run without some of each fault shows nothing.
const LEAST_OF_EACH: usize = 3;

/// About 60 ms to 0.8 s of one core each.
const INDICES: std::ops::RangeInclusive<u64> = 36..=41;

/// The number of deaths that a job may have had before something kills it again.
const MOST_DEATHS: u64 = 1;

/// A small generator with a period that nobody exhausts. Source: Marsaglia, Xorshift RNGs (2003).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let sides = u64::try_from(from.len()).ok().filter(|sides| *sides > 0)?;
        from.get(usize::try_from(self.throw(sides)).ok()?)
    }
}

fn seed() -> u64 {
    let given = std::env::var("ABACI_CHAOS_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("ABACI_CHAOS_SEED is a number"));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    // Zero would stay zero.
    given.unwrap_or_else(|| u64::from(now.subsec_nanos())) | 1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillWorker,
    TerminateWorker,
    /// Until the next fault.
    StopWorker,
    KillComputation,
    KillHealth,
    KillPostmaster,
}

const ALL: [Fault; 6] = [
    Fault::KillWorker,
    Fault::TerminateWorker,
    Fault::StopWorker,
    Fault::KillComputation,
    Fault::KillHealth,
    Fault::KillPostmaster,
];

/// The fleet that everything happens to.
struct Target<'a> {
    fleet: Fleet<'a>,
    home: &'a TempDir,
    stopped: Option<u32>,
}

impl Target<'_> {
    /// Lets a fault happen, if there is something that it can happen to.
    fn strike(&mut self, fault: Fault, dice: &mut Dice) -> Option<()> {
        self.resume();
        let health = self.fleet.health();
        let workers = workers_in(&health);
        let worker = dice.pick(&workers)?;
        match fault {
            Fault::KillWorker => self.kill(worker, pid_in(worker)?),
            Fault::KillComputation => {
                let children = children_of(pid_in(worker)?);
                self.kill(worker, children.first()?.pid)
            }
            Fault::TerminateWorker => try_signal(pid_in(worker)?, Signal::TERM).ok(),
            Fault::StopWorker => {
                let pid = pid_in(worker)?;
                self.stopped = Some(pid);
                try_signal(pid, Signal::STOP).ok()
            }
            Fault::KillHealth => try_signal(pid_in(&health)?, Signal::KILL).ok(),
            Fault::KillPostmaster => try_signal(self.postmaster()?, Signal::KILL).ok(),
        }
    }

    /// Lets the worker go on that was stopped, if it is still there.
    fn resume(&mut self) {
        if let Some(stopped) = self.stopped.take() {
            let _ = try_signal(stopped, Signal::CONT);
        }
    }

    /// Kills a worker, or what computes for it, unless a job of its would be parked for that.
    ///
    /// The worker stands still meanwhile, so that its jobs are those that were looked at.
    fn kill(&self, worker: &Value, victim: u32) -> Option<()> {
        let pid = pid_in(worker)?;
        try_signal(pid, Signal::STOP).ok()?;
        let killed = self
            .most_deaths(worker["executor_id"].as_str()?)
            .filter(|deaths| *deaths <= MOST_DEATHS)
            .and_then(|_| try_signal(victim, Signal::KILL).ok());
        let _ = try_signal(pid, Signal::CONT);
        killed
    }

    /// Returns how often the most unlucky job that a worker has in hand has died; absent while nobody can be asked.
    fn most_deaths(&self, executor_id: &str) -> Option<u64> {
        let question = format!(
            "select coalesce(max(recovery_attempts - 1 + coalesce(deaths, 0)), 0) from dbos.workflow_status \
             left join abaci.deaths using (workflow_uuid) \
             where status = 'PENDING' and executor_id = '{executor_id}'"
        );
        let output = self.psql(&question);
        output.first()?.trim().parse().ok()
    }

    fn psql(&self, statement: &str) -> Vec<String> {
        run(self.home.command(&["db", "psql", "-Atc", statement])).stdout
    }

    fn postmaster(&self) -> Option<u32> {
        let file = self.home.path().join("data/postgres/cluster/postmaster.pid");
        fs::read_to_string(file).ok()?.lines().next()?.parse().ok()
    }
}

fn pid_in(view: &Value) -> Option<u32> {
    view["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

#[test]
fn random_faults_lose_nothing_and_every_client_ends_well() {
    let seed = seed();
    println!("ABACI_CHAOS_SEED={seed}");
    let mut dice = Dice(seed);
    let home = TempDir::new();
    let fleet = Fleet::start(&home, &["--workers", "2"]);
    let clients: Vec<_> = (0..CLIENTS).map(|_| submit(&home, &mut dice)).collect();
    let mut target = Target {
        fleet,
        home: &home,
        stopped: None,
    };
    let mut struck: BTreeMap<Fault, usize> = BTreeMap::new();
    let deadline = Deadline::after(Duration::from_mins(6));
    while !is_enough(&struck) {
        assert!(
            !deadline.left().is_zero(),
            "some faults never struck: {struck:#?}"
        );
        let fault = *dice.pick(&ALL).unwrap();
        if target.strike(fault, &mut dice).is_some() {
            *struck.entry(fault).or_default() += 1;
        }
        // The pauses are the test's subject: faults that come every 0.3 to 1.2 seconds.
        std::thread::sleep(Duration::from_millis(300 + dice.throw(900)));
    }
    println!("{struck:#?}");
    target.resume();
    let mut asked = 0;
    let mut attempts = 0;
    for (client, indices) in clients {
        let output = client.finish();
        assert_eq!(code(&output), 0, "{:#?}", output.stderr);
        let results = objects(&output);
        assert_exact(&results, &indices);
        asked += indices.len();
        attempts += results
            .iter()
            .filter_map(|result| result["attempts"].as_u64())
            .sum::<u64>();
    }
    assert!(attempts > u64::try_from(asked).unwrap(), "no fault has met a job");
    target.fleet.await_health();
    assert_recorded_once(&target, asked);
    assert_eq!(code(&target.fleet.stop()), 0);
    assert_eq!(code(&run(home.command(&["db", "stop", "--force"]))), 0);
}

/// Submits jobs by a client that waits for their results with the patience that it has by itself.
fn submit(home: &TempDir, dice: &mut Dice) -> (Process, Vec<u64>) {
    let indices: Vec<u64> = (0..JOBS_OF_A_CLIENT)
        .map(|_| INDICES.start() + dice.throw(INDICES.end() - INDICES.start() + 1))
        .collect();
    let numbers: Vec<String> = indices.iter().map(u64::to_string).collect();
    let mut arguments = vec!["submit", "--json", "--algorithm", "recursive"];
    arguments.extend(numbers.iter().map(String::as_str));
    let client = Process::spawn(home.command(&arguments));
    (
        client.with_deadline(Deadline::after(Duration::from_mins(6))),
        indices,
    )
}

/// Tests whether there were as many faults as a run needs, and some of each.
fn is_enough(struck: &BTreeMap<Fault, usize>) -> bool {
    let each = |fault| struck.get(fault).is_some_and(|count| *count >= LEAST_OF_EACH);
    struck.values().sum::<usize>() >= FAULTS && ALL.iter().all(each)
}

/// Every job has one outcome, its exact value.
#[track_caller]
fn assert_exact(results: &[Value], indices: &[u64]) {
    assert_eq!(results.len(), indices.len(), "a result is missing, or told twice");
    let mut left: HashMap<u64, usize> = HashMap::new();
    for n in indices {
        *left.entry(*n).or_default() += 1;
    }
    for result in results {
        let n = result["n"].as_u64().unwrap();
        let value = fibonacci::doubling(n, &fibonacci::unobserved)
            .unwrap()
            .to_string();
        assert_eq!(result["value"], value.as_str(), "{result}");
        let left = left.get_mut(&n).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("one more than was asked for: {result}")) -= 1;
    }
}

/// The database has one row for every job, no step twice, and nothing that waits or runs.
#[track_caller]
fn assert_recorded_once(target: &Target, jobs: usize) {
    let rows = "select count(*), count(distinct workflow_uuid), \
                count(*) filter (where status in ('ENQUEUED', 'PENDING')) from dbos.workflow_status";
    eventually("every job recorded once, and an empty queue", || {
        let rows = target.psql(rows);
        if rows == [format!("{jobs}|{jobs}|0")] {
            Ok(())
        } else {
            Err(rows)
        }
    });
    let twice = "select count(*) from (select 1 from dbos.operation_outputs \
                 group by workflow_uuid, function_name having count(*) > 1) t";
    assert_eq!(target.psql(twice), ["0"], "a step is recorded twice");
}
