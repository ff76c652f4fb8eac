//! The program from outside: its words, its exit codes, and real jobs on real databases.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod children;
mod cli;
mod databases;
mod fleet;
mod fleet_chaos;
mod fleet_control;
mod fleet_deaths;
mod fleet_drain;
mod fleet_faults;
mod fleet_orders;
mod fleet_removal;
mod fleet_rig;
mod health;
mod health_connections;
mod health_load;
mod health_outages;
mod http;
mod in_process;
mod jobs;
mod lab;
mod notify;
mod rig;

testkit::child_process! {}
