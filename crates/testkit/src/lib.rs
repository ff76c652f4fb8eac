//! Databases, object stores, processes and deadlines for the tests of abaci.
//!
//! Everything here is real: a PostgreSQL server, an S3 endpoint, child processes, SIGKILL. It is for tests alone, so it
//! panics with a message that names what broke instead of returning errors, and each type cleans up on drop, a failed
//! test's too.
//!
//! | for | use |
//! |---|---|
//! | a database of the test's own on the shared server | [`TestDatabase`] |
//! | holding up whoever writes there, at a chosen moment | [`TestDatabase::hold_inserts`], [`TestDatabase::lock`] |
//! | a server of the test's own, to stop and kill | [`PrivateServer`] |
//! | a pgbouncer before a server | [`Pooler`] |
//! | a path to a server, to cut without a word | [`CutPath`] |
//! | a bucket of S3, to spoil, to close and to remove | [`ObjectServer`] |
//! | a child process: its lines, its signals, its end | [`Process`] |
//! | the children of another process | [`children_of`], [`descendants_of`], [`started_child_of`] |
//! | a program whose clock is wrong | [`with_clock`] |
//! | waiting for anything, with one deadline | [`eventually`], [`Deadline`] |
//! | a directory that the server's account can enter | [`TempDir`] |
//! | running code of the test binary in another process | [`child_process!`], [`child`] |
//!
//! A test binary that uses [`TestDatabase`] declares [`child_process!`] at its root: the shared server's keeper is the test
//! binary itself. All of this works under `cargo nextest` (a process per test) and `cargo test` (threads).
//!
//! It does not promise to clean up at once after a test process that is itself killed: a private server goes with it,
//! its databases go when the next test starts, its other temporary directories stay.
//!
//! # Layout
//!
//! A file imports only from rows below its own.
//!
//! | module | has |
//! |---|---|
//! | `hold` | writes and locks that are held up |
//! | `database`, `private_server`, `pooler`, `object_server`, `cut_path` | what a test is given |
//! | `process`, `process_table`, `temp_dir` | child processes; all processes; directories |
//! | `wait`, `psql`, `clock`, `child` | deadlines; statements by `psql`; a wrong clock; roles of the test binary |

#![expect(
    clippy::must_use_candidate,
    reason = "many of these are called for their effect or their panic"
)]

pub mod child;
mod clock;
mod cut_path;
mod database;
mod hold;
mod object_server;
mod pooler;
mod private_server;
mod process;
mod process_table;
mod psql;
mod temp_dir;
mod wait;

pub use clock::with_clock;
pub use cut_path::CutPath;
pub use database::TestDatabase;
pub use hold::{InsertHold, TableLock};
pub use object_server::ObjectServer;
pub use pooler::{PoolMode, Pooler};
pub use private_server::PrivateServer;
pub use process::{Output, Process, is_alive};
pub use process_table::{Listed, children_of, descendants_of, started_child_of};
pub use rustix::process::Signal;
pub use temp_dir::TempDir;
pub use wait::{Deadline, Looked, eventually};
