//! A fleet: how soon a killed worker's job runs again, what the processes cost, and what a second worker brings.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use durable_jobs::Client;
use fibonacci_jobs::{Algorithm, Request};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::database::{Database, recursive_jobs};
use crate::idle::{SETTLE, WATCH, memory, share, ticks};
use crate::reading::{Reading, median};
use crate::server::Server;

/// The number of workers that are killed, one after the other.
const KILLS: usize = 5;

/// An index that keeps a worker busy for longer than any recovery takes.
const LONG: u64 = 48;

/// The number of equal jobs that the speed-up is measured with.
const JOBS: usize = 16;

/// Their index: about 0.6 s each.
const EQUAL: u64 = 41;

/// Measures all of it.
pub(crate) fn measure() -> Vec<Reading> {
    let mut readings = Vec::new();
    readings.extend(recovery(1, "restarted"));
    readings.extend(recovery(2, "taken over or restarted"));
    readings.extend(idle());
    let (one, two) = (with_workers(1), with_workers(2));
    readings.extend([
        Reading::new("16 equal jobs, fleet of 1", one, "s"),
        Reading::new("16 equal jobs, fleet of 2", two, "s"),
        Reading::new("16 equal jobs, speed-up", one / two, "times"),
    ]);
    readings
}

/// From the SIGKILL of the worker that computes a job until the job runs again.
fn recovery(workers: u32, how: &str) -> [Reading; 2] {
    let database = Database::start();
    // A short window, so that every restart is the first one in it.
    let server = Server::fleet(&database.url, workers, &["--restart-window", "100ms"]);
    let (runtime, client) = database.client();
    let times: Vec<Duration> = (0..KILLS)
        .map(|_| recover_once(&server, &runtime, &client))
        .collect();
    let name = format!("SIGKILL to running again, fleet of {workers}, {how}");
    let longest = times.iter().copied().max().unwrap_or_default();
    [
        Reading::milliseconds(format!("{name}, median of {KILLS}"), median(&times)),
        Reading::milliseconds(format!("{name}, longest"), longest),
    ]
}

fn recover_once(server: &Server, runtime: &Runtime, client: &Client) -> Duration {
    let request = Request::with(LONG, Algorithm::Recursive);
    let id = runtime
        .block_on(client.submit_job(request.job()))
        .expect("the database answers");
    let (_, line) = server.wait_for(&["job started", id.as_str()]);
    let pid = line.split_whitespace().find_map(|word| word.strip_prefix("pid="));
    let pid = pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let killed = Instant::now();
    kill_process(pid.expect("the line names a process"), Signal::KILL).expect("it runs");
    let (again, _) = server.wait_for(&["job started", id.as_str(), "attempt=2"]);
    runtime
        .block_on(client.cancel(&id))
        .expect("the database answers");
    // The next job is not to be the victim of this one's pause.
    thread::sleep(Duration::from_secs(1));
    again - killed
}

/// The processor time and memory of every process of a fleet of four that has nothing to do.
fn idle() -> Vec<Reading> {
    let database = Database::start();
    let server = Server::fleet(&database.url, 4, &[]);
    thread::sleep(SETTLE);
    let processes = processes_of(server.pid());
    let (own, backends): (Vec<u32>, _) = (
        processes.iter().map(|(pid, _)| *pid).collect(),
        database.backends(),
    );
    let before = (ticks(&own), ticks(&backends));
    thread::sleep(WATCH);
    let after = (ticks(&own), ticks(&backends));
    let mut readings = vec![
        Reading::new(
            "idle fleet of 4, its 6 processes",
            share(after.0 - before.0),
            "% of a core",
        ),
        Reading::new(
            "idle fleet of 4, its backends",
            share(after.1 - before.1),
            "% of a core",
        ),
    ];
    readings.extend(processes.iter().map(|(pid, name)| memory(name, "VmHWM", *pid)));
    readings
}

/// The supervisor, the health process and one worker, each with a name; all other workers are like that one.
fn processes_of(supervisor: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").expect("Linux tells it").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .ok()?
            .replace('\0', " ");
        let role = if command.contains("fleet health") {
            "health process"
        } else {
            "worker"
        };
        (parent == supervisor).then(|| (pid, format!("fleet, {role}")))
    });
    [(supervisor, "fleet, supervisor".to_owned())]
        .into_iter()
        .chain(named)
        .collect()
}

/// Seconds for equal jobs, from before the submission until the last result.
fn with_workers(count: u32) -> f64 {
    let database = Database::start();
    let _server = Server::fleet(&database.url, count, &[]);
    recursive_jobs(&database, [EQUAL; JOBS])
}
