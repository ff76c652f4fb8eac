//! The workers that are here: one row each, a lock that only a live connection holds, and a heartbeat.
//!
//! A worker takes an executor id by a session lock on it and then writes its row; two live processes never share an id.
//! The heartbeat is stamped by the database's clock on the connection that holds the lock, by the async loop and never by
//! a computing thread: a fresh one proves that the loop turns and that the database answers.
//! With each beat the row also says what the longer jobs in hand are at, for clients, who have only the database.
//!
//! A row whose heartbeat is old is not proof of death: the process may be stopped, or the database may have been away.
//! [`Presence::is_live`] is for whoever wants to know who works here; `failover.rs` says when jobs are taken from a worker.

mod acquire;
mod former;
mod heartbeat;
mod id_wait;
mod liveness;
mod process;
mod progress_schedule;
mod registration;
mod session;
mod sessions;
mod standstill;

use std::time::Duration;

pub(crate) use acquire::Role;
pub use acquire::Slot;
pub(crate) use heartbeat::{Contact, Submissions};
pub use liveness::Liveness;
pub(crate) use liveness::{holders, is_connected, is_live, lock_key};
pub(crate) use process::{ProcessMark, Sight, seen, sight_of};
pub(crate) use progress_schedule::RunningJobs;
pub(crate) use registration::Registration;
pub(crate) use session::CHANNEL;
pub(crate) use sessions::{all_gone, end_all, end_holder, end_nameless, own_sessions};
pub(crate) use standstill::Standstill;

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::ClockOffset;
use crate::record::{ENGINE_QUEUE, RunningJob};

/// A worker as its presence row describes it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Presence {
    /// `<host>/<slot>`, unique among live processes.
    pub executor_id: String,
    /// The host's name.
    pub host: String,
    /// The process on that host.
    pub pid: u32,
    /// The version of the steps that it runs.
    pub application_version: String,
    /// The queue that it listens on.
    pub queue: String,
    /// The number of jobs that it runs at once.
    pub concurrency: u32,
    /// The types of jobs that it runs, by their workflows; absent where it is of a program that does not say.
    #[serde(skip)]
    pub workflows: Option<Vec<String>>,
    /// True if it only finishes what it has.
    pub draining: bool,
    /// The age of its last heartbeat, in seconds by the database's clock.
    pub heartbeat_age_seconds: f64,
    /// True while a session of it holds the lock on its executor id.
    pub connected: bool,
    /// True while it counts as living.
    pub live: bool,
    /// The lead of its clock over the database's at its last heartbeat; absent where it is of an older program.
    pub clock_offset_ms: Option<ClockOffset>,
    /// Its longer jobs, as it said with its last heartbeat; `seconds` is advanced by the age of that.
    #[serde(skip)]
    pub running: Vec<RunningJob>,
    /// The end of the process that worked there before; absent where nobody said.
    #[serde(skip)]
    pub last_exit: Option<LastExit>,
    /// Which process beat last and when: what changes with every beat.
    #[serde(skip)]
    pub(crate) beat: String,
    /// Which of all workers that have had the id.
    #[serde(skip)]
    pub(crate) incarnation: String,
    /// Where its process is to be looked for; absent where that makes no sense.
    #[serde(skip)]
    pub(crate) process: Option<ProcessMark>,
}

/// The end of a process, as whoever started it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastExit {
    /// The process.
    pub pid: u32,
    /// The signal or the exit code, and the reason as far as it is known.
    pub how: String,
    /// When, by the database's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Reads every presence row.
pub(crate) const SELECT: &str = concat!(
    "select executor_id, host, pid, pid_space, incarnation, application_version, queue, concurrency, workflows, draining, clock_offset_ms, running::text as running, \
     last_pid, last_exit, (extract(epoch from last_exit_at) * 1000)::bigint as last_exit_at_ms, \
     extract(epoch from now() - heartbeat_at)::float8 as age, incarnation || ' ' || heartbeat_at as beat, ",
    is_connected!(),
    " as connected, ",
    is_live!(),
    " as live from abaci.presence order by executor_id"
);

/// The key of the lock on an executor id, as an SQL expression over `$1`.
pub(crate) const LOCK_KEY: &str = lock_key!("$1");

impl Presence {
    /// A worker without a heartbeat for this long counts as gone, whatever else is known of it.
    pub(crate) const EXPIRY: Duration = Duration::from_secs(10);

    /// Without a heartbeat for this long a worker counts as dead though a session of it holds its lock, unless its process is
    /// seen.
    ///
    /// One that lives and is cut off from that session has given it up by then: it notices after seven seconds at most, with
    /// the beat and its bound, and ten seconds later that its lock is still held.
    pub(crate) const SILENCE: Duration = Duration::from_secs(20);

    /// Says if it counts as living: it beats, and it is connected or has beaten within three seconds.
    ///
    /// A killed worker stops counting at once, or within three seconds where it is of another host.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Tests whether it lives and works on `queue` with `version`, claiming or only finishing.
    #[must_use]
    pub(crate) fn serves(&self, queue: &str, version: &str) -> bool {
        // Every worker serves the engine's queue beside its own.
        let is_its_queue = self.queue == queue || queue == ENGINE_QUEUE;
        self.is_live() && is_its_queue && self.application_version == version
    }

    /// Tests whether it will claim a job of `queue` that needs `version`.
    #[must_use]
    pub fn takes(&self, queue: &str, version: &str) -> bool {
        self.serves(queue, version) && !self.draining
    }

    /// Tests whether it runs jobs of this workflow; true where its row does not list them.
    pub(crate) fn runs(&self, workflow: &str) -> bool {
        let workflows = self.workflows.as_ref();
        workflows.is_none_or(|known| known.iter().any(|name| name == workflow))
    }

    pub(crate) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let age_seconds = row.try_get("age")?;
        Ok(Self {
            executor_id: row.try_get("executor_id")?,
            host: row.try_get("host")?,
            pid: row.try_get::<i32, _>("pid")?.unsigned_abs(),
            application_version: row.try_get("application_version")?,
            queue: row.try_get("queue")?,
            concurrency: row.try_get::<i32, _>("concurrency")?.unsigned_abs(),
            workflows: row.try_get("workflows")?,
            draining: row.try_get("draining")?,
            heartbeat_age_seconds: age_seconds,
            running: RunningJob::all_said(row.try_get("running")?, age_seconds),
            connected: row.try_get("connected")?,
            live: row.try_get("live")?,
            clock_offset_ms: row
                .try_get::<Option<i64>, _>("clock_offset_ms")?
                .map(ClockOffset::from_ms),
            last_exit: LastExit::in_row(row)?,
            beat: row.try_get("beat")?,
            incarnation: row.try_get("incarnation")?,
            process: mark_in(row)?,
        })
    }
}

impl LastExit {
    fn in_row(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        let pid: Option<i32> = row.try_get("last_pid")?;
        let (how, at_ms) = (row.try_get("last_exit")?, row.try_get("last_exit_at_ms")?);
        let said = pid.zip(how).zip(at_ms);
        Ok(said.map(|((pid, how), at_ms)| Self {
            pid: pid.unsigned_abs(),
            how,
            at_ms,
        }))
    }
}

/// Reads where a row says that its process is; what it says in another way means nothing to us.
fn mark_in(row: &PgRow) -> Result<Option<ProcessMark>, sqlx::Error> {
    let text: Option<String> = row.try_get("pid_space")?;
    Ok(text.and_then(|text| text.parse().ok()))
}
