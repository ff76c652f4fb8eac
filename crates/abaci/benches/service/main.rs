//! What the service does, measured from outside: the release program, real PostgreSQL, one client in this process.
//!
//! `cargo bench -p abaci --bench service` measures everything three times and prints each run and the median; names after
//! `--` choose among `latency`, `throughput`, `startup`, `idle`, `workload`, `fleet`, `health`,
//! `stepwise`, `giant`, `large`, `options` and `web`.
//! Every part has a PostgreSQL of its own with the settings of a fresh cluster, so commits wait for the disk, and takes it
//! away again.
//!
//! It asserts no speed: the machine decides that. It does fail when a job does.

mod database;
mod fleet;
mod giant;
mod health;
mod idle;
mod large;
mod latency;
mod options;
mod reading;
mod server;
mod startup;
mod stepwise;
mod throughput;
mod web;
mod workload;

use std::process::ExitCode;

use reading::{Reading, Readings};

/// The number of runs of every measurement.
const RUNS: usize = 3;

/// One measurement: its name, and what does it once.
type Part = (&'static str, fn() -> Vec<Reading>);

const PARTS: [Part; 12] = [
    ("latency", latency::measure),
    ("throughput", throughput::measure),
    ("startup", startup::measure),
    ("idle", idle::measure),
    ("workload", workload::measure),
    ("fleet", fleet::measure),
    ("health", health::measure),
    ("stepwise", stepwise::measure),
    ("giant", giant::measure),
    ("large", large::measure),
    ("options", options::measure),
    ("web", web::measure),
];

fn main() -> ExitCode {
    // cargo adds flags of its own, such as `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_known = |word: &String| PARTS.iter().any(|(name, _)| name == word);
    if let Some(unknown) = wanted.iter().find(|word| !is_known(word)) {
        eprintln!(
            "nothing is called {unknown:?}; choose among {:?}",
            PARTS.map(|(name, _)| name)
        );
        return ExitCode::from(2);
    }
    let chosen = PARTS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name));
    let chosen: Vec<&Part> = chosen.collect();
    println!("{}", reading::machine());
    let mut readings = Readings::default();
    for run in 1..=RUNS {
        for (name, measure) in &chosen {
            println!("run {run} of {RUNS}: {name}, load {}", reading::load());
            readings.add(measure());
        }
    }
    readings.print_medians();
    ExitCode::SUCCESS
}
