//! The HTTP interface over real sockets, on real databases, with real workers where a job is to run.

#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod bodies;
mod changes;
mod http;
mod listeners;
mod listing;
mod load;
mod openapi;
mod page;
mod rig;
mod submitting;
mod values;

testkit::child_process! {}
