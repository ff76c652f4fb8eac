//! Errors between a caller and the database, one variant per decision that a caller can take.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// The reply to a question, to be awaited.
///
/// It is boxed here: the body of an `async fn` would be compiled again, with all of the driver, in every crate that asks.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Why an operation of a client or a worker failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the database makes no sense; fix the setting.
    #[error("database URL: {reason}; expected postgres://user@host:5432/database")]
    Url {
        /// The fault, without its password.
        reason: String,
    },
    /// The address bounds the time to connect, which is a setting of its own.
    #[error(
        "database URL: the parameter \"connect_timeout\" is not supported; leave it out and set ClientSettings::patience; \
         expected postgres://user@host:5432/database"
    )]
    UrlTimeout,
    /// Nothing answers there now; try later.
    #[error("no database answers at {place}: {reason}")]
    Unreachable {
        /// Host and database, without user or password.
        place: String,
        /// The words of the connection attempt.
        reason: String,
    },
    /// The server's disk is full; make room, or try later.
    #[error("the database at {place} has no room: {reason}")]
    Full {
        /// Host and database, without user or password.
        place: String,
        /// The server's words.
        reason: String,
    },
    /// The database answers and refuses us; fix user, password or rights.
    #[error("the database at {place} refuses the connection: {reason}")]
    Refused {
        /// Host and database, without user or password.
        place: String,
        /// The server's words.
        reason: String,
    },
    /// The database or the way to it lacks something; use another one.
    #[error("the database at {place} cannot be used: {reason}")]
    Unsuitable {
        /// Host and database, without user or password.
        place: String,
        /// The fault, and what to do.
        reason: String,
    },
    /// Nobody has made the tables, and whoever only looks does not.
    #[error(
        "the database at {place} has no tables for durable jobs yet; the first worker or client with Tables::Make makes them"
    )]
    NoTables {
        /// Host and database, without user or password.
        place: String,
    },
    /// Another application uses the database with older tables of the engine; say that they may be updated.
    #[error(
        "a DBOS application has its tables in the database at {place}, of version {found}, and version {known} \
         is needed; let them be updated once with Tables::Update, or use another database"
    )]
    SchemaOlder {
        /// Host and database, without user or password.
        place: String,
        /// The version found.
        found: i64,
        /// The version that this build knows.
        known: i64,
    },
    /// The tables were made by a newer version than was ever tried; use another database.
    #[error(
        "the DBOS tables in {place} are of version {found}, and this program works with none after {newest}; \
         give it a database of its own, or use a newer program"
    )]
    SchemaNewer {
        /// Host and database, without user or password.
        place: String,
        /// The version found.
        found: i64,
        /// The newest version that was tried.
        newest: i64,
    },
    /// The input of a job is refused; nothing was queued.
    #[error("{reason}")]
    Input {
        /// The refusal, and the way out.
        reason: String,
    },
    /// A timeout of nothing, or one that the database's clock cannot add; nothing was queued.
    #[error("timeout is under a millisecond or over a hundred years; give one between, or none")]
    Timeout,
    /// A delay that the database's clock cannot add; nothing was queued.
    #[error("delay is over a hundred years or beyond the year 9999; give less, or none")]
    Delay,
    /// Another job holds the key and asks for something else; nothing was queued.
    #[error(
        "job {id} holds the key {key:?} and asks for something else; choose another key, or wait for its end"
    )]
    KeyHeld {
        /// The key in question.
        key: String,
        /// The job that waits or runs with it.
        id: String,
    },
    /// A job cannot be forked from that step; nothing was queued.
    #[error("{reason}")]
    Fork {
        /// The refusal, and the way out.
        reason: String,
    },
    /// The id names another job, or one that was submitted otherwise; choose another id, or submit it as before.
    #[error("job {id} exists already{}", taken(difference.as_ref()))]
    IdTaken {
        /// The id in question.
        id: String,
        /// The first thing in which the two differ; absent where they were not compared.
        difference: Option<Difference>,
    },
    /// Two jobs of one submission have the same id; nothing was queued.
    #[error("jobs {} and {} of the submission have the same id {id}; give each its own", first + 1, second + 1)]
    IdTwice {
        /// The id in question.
        id: String,
        /// The position of the first of them, from 0.
        first: usize,
        /// The position of the second.
        second: usize,
    },
    /// Some of several jobs were queued before something failed; the same call again completes them.
    #[error("{queued} of {jobs} jobs were queued, and then: {cause}")]
    CutShort {
        /// The number that was queued for certain.
        queued: usize,
        /// The number of all.
        jobs: usize,
        /// The failure that ended the submission.
        cause: Box<Error>,
    },
    /// No such job.
    #[error("no job has the id {id}")]
    NotFound {
        /// The id in question.
        id: String,
    },
    /// Another live process works under this executor id.
    #[error("executor id {executor_id} is in use by {} on {host}; stop it or use another slot", holder(*pid))]
    ExecutorTaken {
        /// The id in question.
        executor_id: String,
        /// The process that holds it; 0 where a session holds it that has not said whose it is.
        pid: u32,
        /// The host of that process.
        host: String,
    },
    /// Something of a worker that was discarded runs on; end the process.
    #[error("{what} of a worker that lost its executor id could not be ended; start the server again")]
    NotDiscarded {
        /// The part that runs on.
        what: &'static str,
    },
    /// The place for large values cannot be used.
    #[error("artifacts in {place}: {reason}")]
    Artifacts {
        /// The directory, the bucket or the artifact.
        place: String,
        /// The words of the file system or the bucket.
        reason: String,
    },
    /// The files of the place for large values cannot be read or written on this host; see to the disk.
    #[error("cannot use the artifacts in {place}: {reason}")]
    Host {
        /// The directory or the artifact.
        place: String,
        /// The words of the file system.
        reason: String,
    },
    /// An artifact is missing or was changed; whoever needs it computes it again.
    #[error("artifact {uri}: {reason}")]
    ArtifactLost {
        /// Where it should be.
        uri: String,
        /// The fault.
        reason: String,
    },
    /// The bucket does not answer now; try later.
    #[error("no bucket answers at {place}: {reason}")]
    BucketUnreachable {
        /// The bucket or the artifact in it.
        place: String,
        /// The words of the attempt.
        reason: String,
    },
    /// The database did something that none of the above covers.
    #[error("{operation}: {reason}")]
    Database {
        /// The operation.
        operation: &'static str,
        /// The words of the database or the engine.
        reason: String,
    },
}

/// A job that is there, and in what it differs from the one that is submitted under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The thing in question.
    pub term: Term,
    /// The one of the job that is there.
    pub stands: Stated,
    /// The one of the submission.
    pub asked: Stated,
}

/// A thing that a submission says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// The task that it is to do.
    Input,
    /// Its rank in the queue.
    Priority,
    /// The words that it can be found by.
    Tags,
    /// The jobs that it was submitted with.
    Batch,
    /// Where it waits.
    Queue,
    /// The time that it may take.
    Timeout,
    /// The time that it is to wait.
    Delay,
}

/// A thing as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stated {
    /// Nothing.
    Nothing,
    /// This text.
    Text(String),
    /// So long.
    Period(Duration),
    /// A moment, in milliseconds since 1970-01-01 UTC.
    Moment(i64),
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Input => "input",
            Self::Priority => "priority",
            Self::Tags => "tags",
            Self::Batch => "batch",
            Self::Queue => "queue",
            Self::Timeout => "timeout",
            Self::Delay => "delay",
        })
    }
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Text(text) => f.write_str(text),
            // The debug form of a duration is the one with units, such as 1.5s.
            Self::Period(period) => write!(f, "{period:?}"),
            Self::Moment(moment) => write!(f, "until {moment} ms after 1970"),
        }
    }
}

fn taken(difference: Option<&Difference>) -> String {
    match difference {
        Some(Difference { term, stands, asked }) => {
            format!(" with the {term} {stands}, not {asked}; submit it as before, or choose another id")
        }
        None => "; choose another id".to_owned(),
    }
}

fn holder(pid: u32) -> String {
    match pid {
        0 => "a process that has not said its number".to_owned(),
        _ => format!("process {pid}"),
    }
}
