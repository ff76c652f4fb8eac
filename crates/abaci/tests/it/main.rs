//! The program from outside: its words, its exit codes, and real jobs on real databases.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod configuration;
mod demo;
mod faults;
mod help;
mod jobs;
mod managing;
mod private_database;
mod refusals;
mod rig;
mod servers;
mod streams;
mod unreachable;

abaci_testkit::child_process! {}
