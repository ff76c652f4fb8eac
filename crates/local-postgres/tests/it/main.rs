//! The private server with real processes and real signals; `site` has what the tests share.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod control;
mod faults;
mod joining;
mod lifetime;
mod refusals;
mod removal;
mod site;

testkit::child_process! {
    "user" => site::play_user,
}
