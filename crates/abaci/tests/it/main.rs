//! The program from outside: its words, its exit codes, and real jobs on real databases.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod cancelling;
mod children;
mod clocks;
mod configuration;
mod cut_off;
mod cut_paths;
mod demo;
mod docs;
mod faults;
mod fleet;
mod fleet_chaos;
mod fleet_control;
mod fleet_deaths;
mod fleet_drain;
mod fleet_faults;
mod fleet_orders;
mod fleet_removal;
mod fleet_rig;
mod gc;
mod giant;
mod giant_memory;
mod hard_stops;
mod health;
mod health_connections;
mod health_load;
mod health_outages;
mod help;
mod host_faults;
mod hostile;
mod http;
mod in_process;
mod isolation;
mod jobs;
mod lab;
mod long_lists;
mod managing;
mod notify;
mod poison;
mod private_database;
mod progress;
mod refusals;
mod rig;
mod scarce;
mod servers;
mod status;
mod status_wait;
mod stepwise;
mod streams;
mod terminal;
mod unreachable;
mod verifying;

testkit::child_process! {}
