//! A supervisor and a health server for worker processes that report over an inherited socket.
//!
//! **What it does.** [`supervisor::run`] keeps a number of worker processes running, and beside them one health
//! process and one of a caller's, such as for the web: it starts them, receives their heartbeats, kills the ones that stand
//! still, starts again the ones that end, and scales, reloads and drains the whole. [`health::HealthServer`] answers `/livez`,
//! `/readyz`, `/health` and `/metrics` for such a fleet, or for one worker that looks after itself. [`supervisor::ask`] asks a
//! running fleet over its control socket.
//!
//! **How it decides.** A worker is a process that runs a [`durable_jobs::Worker`] and reports on it. It gets one end of
//! a socket pair as its standard input; what the supervisor knows comes over that socket or from the kernel. After
//! every event the supervisor compares what is with what should be, and does the difference. What a health answer says
//! is derived from the last snapshot of the supervisor and from one bounded question to the database, without further
//! input.
//!
//! **What is handed in.** The program of the children and their arguments, the listening socket, the directory for the
//! lock and the control socket, the state of a private database, whom to ask how the queue stands (the
//! [`QueueProbe`](durable_jobs::client::QueueProbe)), and the name that metrics begin with. The flags and the
//! configuration stay with the program that uses this crate, and so do its exit codes: [`Error`] has one variant
//! for each decision that a caller can take.
//!
//! **What it does not promise.** A worker that dies costs the steps that it was in. A worker that is silent for the
//! watchdog's time is killed on suspicion. What a health answer says may have changed when it is read.
//!
//! `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are the environment variables that are read, to talk to systemd.
//!
//! # Layout
//!
//! A module imports only from modules below its own.
//!
//! | module | holds |
//! |---|---|
//! | [`child`] | the other end: a worker's link to its supervisor, and the health process |
//! | [`supervisor`] | the event loop of a fleet, its processes, their channels, the control socket |
//! | [`health`] | the endpoints: the question to the database, the verdict, the answers, the HTTP server |
//! | [`http`] | the HTTP server under the endpoints, with its limits |
//! | [`snapshot`] | all that is known of a fleet at one moment: the form that the others exchange |
//! | [`signals`] | the signals that ask a process to end |
//! | `systemd` | the messages to systemd |
//! | `parent_death` | the end of a process with its parent |
//! | `error` | the errors |

pub mod child;
mod error;
pub mod health;
pub mod http;
mod parent_death;
pub mod signals;
pub mod snapshot;
pub mod supervisor;
mod systemd;

pub use error::Error;
pub use parent_death::die_with_parent;
pub use systemd::Notifier;
