//! A private PostgreSQL server for programs that want a database without asking for one.
//!
//! **What it does.** It finds the PostgreSQL programs that the machine has, keeps one cluster in a data
//! directory and serves it on a Unix socket: no configuration, no port, no password, no network. A program takes
//! a [`Lease`]; while any process holds one, the server runs.
//!
//! **How it decides.** The server belongs to no single process. Every lease is a shared `flock` on one file, which
//! the kernel releases however its holder ends. The first lease starts a small detached *keeper* process, which runs
//! the server, starts it again when it dies, and tries the exclusive lock: when it gets it, nobody is left, and after
//! a linger it stops the server and ends. A lease that finds no keeper starts another, which adopts the running
//! server. The keeper holds nothing that is not on disk or in the kernel, so killing it is always safe. Who only keeps
//! the server for others takes a lease that never connects: [`Lease::join`], then [`Lease::keep_alive`] every second.
//!
//! | file in the data directory | is |
//! |---|---|
//! | `users.lock` | shared: one per lease; exclusive: the server is being stopped |
//! | `keeper.lock` | exclusive: a keeper lives, its pid is in the file |
//! | `start.lock` | exclusive: somebody is starting a keeper, or stopping one |
//! | `removed.lock` | shared: one per process whose database was removed here; there only after that has happened |
//! | `server.log` | what the keeper and the server say |
//! | `cluster/`, `socket/` | PostgreSQL's own directory, and its socket (mode 0700) |
//!
//! The data directory must be one of its own: nothing else belongs in it. A lock file is never deleted, since two
//! processes would then hold "the same" lock on two files.
//!
//! A database that is removed while it is in use is an error of every lease, old and new, for as long as a process of the
//! lost one lives ([`Error::Removed`]); it is never replaced by an empty one under its users.
//!
//! **What it does not promise.** A local file system with working `flock` is assumed (not every NFS has it). When the
//! keeper and then all users are killed with SIGKILL, the server stays until the next lease adopts it; a lease that
//! is dropped in order notices a dead keeper and replaces it. After a SIGKILL of the server its orphaned backends
//! must end before a new one may start, which PostgreSQL enforces; an endless query can delay that. The same holds
//! for a container whose process 1 never reaps orphans. The server's superuser is `postgres` with no password: what
//! protects it is that only its own account (and root) can enter the socket's directory.
//!
//! `PATH` is the one environment variable that is read, to find programs; all else is handed in.
//!
//! # Layout
//!
//! A file imports only from rows below its own.
//!
//! | module | has |
//! |---|---|
//! | `lease`, `keeper`, `control` | a user's hold on the server; the process that runs it; status and stop by hand |
//! | `start`, `removal`, `server`, `cluster` | starting a keeper; noticing lost files; the server's process; its data |
//! | `place`, `wire` | the files of a data directory; the server's answer without a driver |
//! | `account` | the account that runs PostgreSQL for root |
//! | `programs`, `lock`, `log` | PostgreSQL's programs, locks of files, what the keeper says |
//! | `error` | what can go wrong |
//! | `settings`, `version`, `wait` | what a caller sets; versions of PostgreSQL; deadlines |

mod account;
mod cluster;
mod control;
mod error;
mod keeper;
mod lease;
mod lock;
mod log;
mod place;
mod programs;
mod removal;
mod server;
mod settings;
mod start;
mod version;
mod wait;
mod wire;

pub use account::Account;
pub use control::{Force, Running, Status, Stopped, status, stop};
pub use error::Error;
pub use keeper::keep;
pub use lease::{Health, Lease};
pub use programs::Programs;
pub use settings::{KeeperCommand, KeeperSettings, Settings};
pub use version::Version;
