//! The testkit is held to what it says; everything else in the workspace is tested with it.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report, in its helpers too"
)]

mod database;
mod object_server;
mod private_server;
mod process;
mod process_table;
mod wait;

testkit::child_process! {
    "greeter" => || eprintln!("hello from {}", std::process::id()),
    "talker" => process::talk,
    "owner of a server" => private_server::own_a_server,
}

/// The machine's `psql`, which need not be on `PATH`.
fn psql() -> std::process::Command {
    local_postgres::Programs::find(None).unwrap().command("psql")
}
