//! Settings from the caller: where the server lives, and how to start its keeper.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The default of [`KeeperSettings::linger`].
const DEFAULT_LINGER: Duration = Duration::from_secs(5);

/// The default time for a start: a first start on a loaded machine takes a few
/// seconds, and recovery after a crash under load may take longer.
const DEFAULT_START_TIMEOUT: Duration = Duration::from_mins(1);

/// Settings of a user of the server, for [`Lease::acquire`](crate::Lease::acquire) and
/// [`Lease::join`](crate::Lease::join).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory that holds the cluster and nothing else; made when it is missing.
    pub data_dir: PathBuf,
    /// Directory of the PostgreSQL programs; `None` searches for them as [`Programs::find`](crate::Programs::find)
    /// does.
    pub bin_dir: Option<PathBuf>,
    /// Command that runs the detached keeper.
    pub keeper: KeeperCommand,
    /// The longest wait for a server that answers, a predecessor's shutdown included.
    pub start_timeout: Duration,
}

impl Settings {
    /// Returns settings with a searched-for PostgreSQL and a start timeout of 60 s.
    pub fn new(data_dir: impl Into<PathBuf>, keeper: KeeperCommand) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            keeper,
            start_timeout: DEFAULT_START_TIMEOUT,
        }
    }
}

/// The command that this library starts as the detached keeper.
///
/// The program must end up in [`keep`](crate::keep) with the same data directory, and print an error of it to its
/// standard error, which is the server's log. It starts in the working directory of the process that starts it.
#[derive(Debug, Clone)]
pub struct KeeperCommand {
    /// Absolute path of the program, as a rule `std::env::current_exe()`.
    pub program: PathBuf,
    /// Arguments, for example `db keep --data-dir D`.
    pub args: Vec<OsString>,
    /// Environment variables that are set in addition to the inherited ones.
    pub envs: Vec<(OsString, OsString)>,
}

impl KeeperCommand {
    /// Returns a command without environment variables of its own.
    pub fn new<A: Into<OsString>>(program: impl Into<PathBuf>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            envs: Vec::new(),
        }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }
}

/// Settings of the keeper process, for [`keep`](crate::keep).
#[derive(Debug, Clone)]
pub struct KeeperSettings {
    /// The data directory of [`Settings::data_dir`].
    pub data_dir: PathBuf,
    /// The directory of [`Settings::bin_dir`].
    pub bin_dir: Option<PathBuf>,
    /// The time for which the server stays after its last user.
    pub linger: Duration,
}

impl KeeperSettings {
    /// Returns settings with a searched-for PostgreSQL and a linger of 5 s.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            linger: DEFAULT_LINGER,
        }
    }
}
