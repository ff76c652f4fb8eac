//! Fibonacci jobs against a real database: requests, values, certificates, states, and clients of other programs.

#![allow(clippy::unwrap_used, missing_docs)]

mod giant;
mod old_program;
mod python;
mod requests;
mod results;
mod rig;
mod stepwise;

testkit::child_process! {
    "worker" => rig::play_worker,
}
