//! Errors, with one variant per decision that a caller can take.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::version::Version;

/// An error of this library; each message names the thing, then the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine has no PostgreSQL programs: install them.
    #[error("no PostgreSQL programs found; install them with: {install}")]
    ProgramsNotFound {
        /// The one command for this system.
        install: &'static str,
    },

    /// The directory that the caller named lacks a program: name another.
    #[error("{} has no program {program:?}; give the directory that has PostgreSQL's initdb and postgres", dir.display())]
    ProgramMissing {
        /// The directory that was given.
        dir: PathBuf,
        /// The first program that is not there.
        program: &'static str,
    },

    /// A program is there and does not run.
    #[error("cannot run {}: {source}", program.display())]
    ProgramFailed {
        /// The program.
        program: PathBuf,
        /// Why it did not run, or what it said.
        source: io::Error,
    },

    /// The programs are older than this library supports: install newer ones.
    #[error("PostgreSQL {version} in {} is too old, {} or newer is needed; install it with: {install}", dir.display(), Version::OLDEST)]
    ProgramsTooOld {
        /// The directory of the programs.
        dir: PathBuf,
        /// Their version.
        version: Version,
        /// The one command for this system.
        install: &'static str,
    },

    /// The cluster was made by another major version than the machine has: install that one, or move the data.
    #[error(
        "the database in {} was made by PostgreSQL {cluster}, but only {found} is installed; install PostgreSQL {cluster}, \
         or choose another data directory", data_dir.display()
    )]
    VersionMismatch {
        /// The data directory.
        data_dir: PathBuf,
        /// Major version that made the cluster.
        cluster: Version,
        /// Version of the directory that was given, or else of the first that the search finds.
        found: Version,
    },

    /// The data directory cannot be made, read or written: choose another.
    #[error("cannot use {}: {source}; choose a data directory that you can write to", path.display())]
    DataDirectory {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The database is gone, and processes that used it still run: put it back, or end them and begin anew.
    #[error(
        "files of the database in {} were removed while it was in use; put them back, or end every process that uses it \
         and start anew, with an empty one if it is gone", data_dir.display()
    )]
    Removed {
        /// The data directory.
        data_dir: PathBuf,
    },

    /// PostgreSQL refuses root, and its account cannot enter the data directory: choose another.
    #[error(
        "account {account:?}, which runs PostgreSQL for root, cannot enter {}; choose a data directory outside of \
         closed directories such as root's home", path.display()
    )]
    Unreachable {
        /// The data directory.
        path: PathBuf,
        /// The account that would run the server.
        account: String,
    },

    /// PostgreSQL refuses root, and no account is there to run it: make one.
    #[error(
        "PostgreSQL refuses to run as root, and there is no account \"postgres\" or \"nobody\"; make one with: useradd -r postgres"
    )]
    NoAccount,

    /// The directory of the socket is open to other accounts, so whatever answers there is not trusted.
    #[error("{} is not a private directory of the server's account; remove it", path.display())]
    SocketNotPrivate {
        /// The directory.
        path: PathBuf,
    },

    /// The keeper's command does not start.
    #[error("cannot start the keeper {}: {reason}", program.display())]
    KeeperCommand {
        /// The program of the command.
        program: PathBuf,
        /// The system's reason.
        reason: String,
    },

    /// The server does not start: read the log, repair what it names.
    #[error("PostgreSQL did not start; {} ends with:\n{tail}", log.display())]
    StartFailed {
        /// The server's log.
        log: PathBuf,
        /// Its last lines that were written by this start.
        tail: String,
    },

    /// Nothing answered in time: wait longer, or read the log.
    #[error("{waiting_for} took longer than {} s; {} ends with:\n{tail}", after.as_secs_f64(), log.display())]
    TimedOut {
        /// The awaited state.
        waiting_for: &'static str,
        /// The time that was waited.
        after: Duration,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },

    /// (keeper only) A program of PostgreSQL ended early; its own words are in the log.
    #[error("{program} ended early ({status}); its reason is in the lines above")]
    EndedEarly {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
    },

    /// Others still use the server: end them, or force the stop.
    #[error("other processes use the server in {}; end them first, or force it", data_dir.display())]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
    },

    /// The server refused a statement.
    #[error("the server refused: {message} (SQLSTATE {sqlstate})")]
    Refused {
        /// PostgreSQL's five-character code.
        sqlstate: String,
        /// PostgreSQL's message.
        message: String,
    },

    /// The server does not answer, or breaks off: ensure that it runs, then try again.
    #[error("the server at {} does not answer: {source}", socket.display())]
    NoAnswer {
        /// The server's socket.
        socket: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    /// Returns the closure that `map_err` needs to say which file of the data directory it was.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::DataDirectory { path, source }
    }
}
