//! What the process was given by its surroundings, read once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use crate::exit::Failed;

/// The environment variables and the account of the process.
///
/// A variable that is set and empty counts as not set, since that is how shells and service files clear one.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    is_root: bool,
}

impl Environment {
    /// Every variable that is a setting of ours.
    pub const SETTINGS: [&str; 26] = [
        "ABACI_ARTIFACTS",
        "ABACI_CONCURRENCY",
        "ABACI_CONFIG",
        "ABACI_DATABASE_URL",
        "ABACI_DATA_DIR",
        "ABACI_ENABLE_FAULTS",
        "ABACI_FIRST_SLOT",
        "ABACI_GRACE",
        "ABACI_HEALTH_ADDR",
        "ABACI_JOB_CPU_TIME",
        "ABACI_JOB_MEMORY",
        "ABACI_JOB_THREADS",
        "ABACI_JOB_TIME",
        "ABACI_LOG",
        "ABACI_LOG_FORMAT",
        "ABACI_MAX_N",
        "ABACI_MAX_RESTARTS",
        "ABACI_PG_BIN",
        "ABACI_POLL_INTERVAL",
        "ABACI_QUEUE",
        "ABACI_RESTART_WINDOW",
        "ABACI_RETENTION",
        "ABACI_WAIT_FOR_DATABASE",
        "ABACI_WAIT_FOR_SERVER",
        "ABACI_WATCHDOG",
        "ABACI_WORKERS",
    ];

    /// Reads the environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// An environment of an ordinary user with these variables and no others.
    #[must_use]
    pub fn of_user<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            variables,
            is_root: false,
        }
    }

    /// The same environment, for the account root.
    #[must_use]
    pub fn as_root(self) -> Self {
        Self {
            is_root: true,
            ..self
        }
    }

    /// Reads a variable as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Reads a variable as a value of any kind that has a text form.
    ///
    /// # Errors
    /// A usage error that names the variable when it cannot be read.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Failed> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .ok_or_else(|| Failed::usage(format!("{name} is not valid UTF-8")))?;
        text.parse()
            .map(Some)
            .map_err(|error| Failed::usage(format!("{name}: {error}")))
    }

    /// The variables by which the AWS tools reach buckets; secrets are among them.
    #[must_use]
    pub fn of_buckets(&self) -> Vec<(String, String)> {
        let texts = self
            .variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        let ours = texts.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
        ours.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Whether the account is root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// Whether colour is unwanted, whatever the terminal can do.
    #[must_use]
    pub fn forbids_colour(&self) -> bool {
        self.get("NO_COLOR").is_some() || self.get("TERM").is_some_and(|term| term == "dumb")
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }
}
