//! Durable jobs of small types against a real database: workers that come and go, clients that wait, rows that others wrote.

#![allow(clippy::unwrap_used, missing_docs)]

mod attempts;
mod bad_rows;
mod changes;
mod connections;
mod cut_paths;
mod databases;
mod discards;
mod drains;
mod gc;
mod job_types;
mod jobs;
mod liveness;
mod namespaces;
mod newer_dbos;
mod outage;
mod presence;
mod primes;
mod probe;
mod progress;
mod queues;
mod reports;
mod rig;
mod selections;
mod submitting;
mod types;
mod waiting;
mod workers;

testkit::child_process! {
    "worker" => rig::play_worker,
    "compute" => rig::play_child,
}
