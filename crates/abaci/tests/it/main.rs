//! The program from outside: its words, its exit codes, and real jobs on real databases.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod children;
mod cli;
mod databases;
mod docs;
mod fleet;
mod health;
mod http;
mod in_process;
mod jobs;
mod lab;
mod rig;
mod web;

use fleet::rig as fleet_rig;

testkit::child_process! {}
