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
mod faults;
mod fleet;
mod gc;
mod giant;
mod giant_memory;
mod hard_stops;
mod health;
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

use fleet::rig as fleet_rig;

testkit::child_process! {}
