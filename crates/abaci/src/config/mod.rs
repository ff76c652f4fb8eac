//! The configuration: every setting with its value and the source it came from.
//!
//! A flag wins over the environment, the environment over the file, the file over the default; each setting on its
//! own.
//! The file is TOML at `$XDG_CONFIG_HOME/abaci/config.toml` (or `~/.config/abaci/config.toml`), or wherever
//! `--config` or `ABACI_CONFIG` says; a file that is named must exist, and a key that means nothing is refused.
//!
//! This module is the only place that reads the environment. It does not check that a database or a directory can be
//! used: the command that needs it finds out.

mod checks;
mod environment;
mod health_addr;
mod layer;
mod layers;
mod names;
mod units;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use durable_jobs::artifact::{BucketAccess, Place};
use durable_jobs::database::{Tables, canonical_url};
use fibonacci_jobs::Limits;
use serde::{Deserialize, Serialize};

pub(crate) use checks::{a_pause, at_least_one};
pub use environment::{Environment, Unknown};
pub use health_addr::HealthAddr;
pub use layer::Layer;
use layers::Layers;
pub use units::{Bytes, Period};

use crate::database::redacted_url;

/// The variable that names the configuration file.
const FILE: &str = "ABACI_CONFIG";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Text { "text" } else { "json" })
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        clap::ValueEnum::from_str(name, false).map_err(|_| "not text or json".to_owned())
    }
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Environment(&'static str),
    /// The configuration file at this path.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

impl<T: Clone> Setting<Option<T>> {
    /// The setting where it has a value.
    pub(crate) fn given(&self) -> Option<Setting<T>> {
        let (value, source) = (self.value.clone()?, self.source.clone());
        Some(Setting { value, source })
    }
}

/// All settings of one command.
#[derive(Clone)]
pub struct Config {
    /// Where the database is; absent for the private one of the data directory. It may hold a password.
    pub database_url: Setting<Option<String>>,
    /// Where the private database and large values are kept.
    pub data_dir: Setting<PathBuf>,
    /// Where large values are kept: a directory or a bucket; absent for the data directory.
    pub artifacts: Setting<Option<String>>,
    /// Where the programs of PostgreSQL are; absent to search for them.
    pub pg_bin: Setting<Option<PathBuf>>,
    /// The queue of jobs.
    pub queue: Setting<String>,
    /// How many jobs a server runs at once.
    pub concurrency: Setting<u32>,
    /// How often a server asks for jobs.
    pub poll_interval: Setting<Period>,
    /// How long running jobs may finish after a signal.
    pub grace: Setting<Period>,
    /// Whether a server lets the faults strike that jobs ask for.
    pub enable_faults: Setting<bool>,
    /// Whether tables of another DBOS application may be updated.
    pub migrate: Setting<bool>,
    /// The largest index of the doubling algorithm.
    pub max_n: Setting<u64>,
    /// The memory that one job may need.
    pub job_memory: Setting<Bytes>,
    /// The processor time that one job may use; absent for no limit.
    pub job_cpu_time: Setting<Option<Period>>,
    /// The time that one job may compute, by the clock; absent for no limit.
    pub job_time: Setting<Option<Period>>,
    /// How many threads one heavy computation may use; absent for its share of the processors.
    pub job_threads: Setting<Option<u32>>,
    /// The most connections to the database that one worker opens; absent for what its concurrency asks for.
    pub max_connections: Setting<Option<u32>>,
    /// How long jobs that ended are kept; absent for ever.
    pub retention: Setting<Option<Period>>,
    /// How long a client waits for a server to appear.
    pub wait_for_server: Setting<Period>,
    /// How long a database may be gone before a command gives up.
    pub wait_for_database: Setting<Period>,
    /// How many workers a fleet has.
    pub workers: Setting<u32>,
    /// The slot of the first worker of a fleet.
    pub first_slot: Setting<u32>,
    /// Where health is answered; each command has its own default.
    pub health_addr: Setting<Option<HealthAddr>>,
    /// How old a worker's heartbeat may get before the worker is killed.
    pub watchdog: Setting<Period>,
    /// How many runs of a worker may get nowhere within the restart window before it counts as crash-looping.
    pub max_restarts: Setting<u32>,
    /// The window in which such runs are counted.
    pub restart_window: Setting<Period>,
    /// How log lines look.
    pub log_format: Setting<LogFormat>,
    /// Which log lines there are.
    pub log_level: Setting<String>,
    /// What the environment says about buckets; secrets are among it.
    bucket_settings: Vec<(String, String)>,
    /// The configuration file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What the command line said, for processes that are to be told the same.
    pub flags: Flags,
    /// The directory for what need not outlive a command.
    pub temporary_dir: PathBuf,
    /// Whether colour is unwanted, whatever the terminal can do.
    pub forbids_colour: bool,
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file to read instead of the usual one.
    pub file: Option<PathBuf>,
    /// The settings.
    pub layer: Layer,
}

/// One line of `abaci config show`.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The key, as in the file.
    pub key: &'static str,
    /// The value, without secrets; absent where nothing is set.
    pub value: Option<String>,
    /// Where it came from.
    pub source: String,
}

impl Config {
    /// What whoever submits or serves may do about the tables.
    pub(crate) fn tables(&self) -> Tables {
        if self.migrate.value {
            Tables::Update
        } else {
            Tables::Make
        }
    }

    /// Settles every setting.
    ///
    /// # Errors
    /// A usage error that names the variable, or the file with line and key.
    pub fn resolve(flags: Flags, environment: &Environment) -> anyhow::Result<Self> {
        let named = match flags.file.clone() {
            Some(path) => Some(path),
            None => environment.path(FILE),
        };
        let file = named.or_else(|| layers::usual_file(environment).filter(|path| path.is_file()));
        let settings = match &file {
            Some(path) => Layer::from_file(path).with_context(|| file_source(&flags, environment))?,
            None => Layer::default(),
        };
        let environment_layer = Layer::from_environment(environment)?;
        let layers = Layers {
            flags,
            environment: environment_layer,
            settings,
            file,
        };
        let config = layers.settle(environment);
        checks::queue_name(&config.queue)?;
        Ok(config)
    }

    /// What a request may ask for.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            max_n: self.max_n.value,
            memory_bytes: self.job_memory.value.0,
        }
    }

    /// Where the database is, if it is not the private one.
    ///
    /// # Errors
    /// [`durable_jobs::Error::Url`] for an address that makes no sense; that it leads to a database is not tried.
    pub fn given_database(&self) -> anyhow::Result<Option<String>> {
        let Some(url) = &self.database_url.value else {
            return Ok(None);
        };
        let which = || {
            format!(
                "database_url is {} ({})",
                redacted_url(url),
                self.database_url.source
            )
        };
        canonical_url(url).with_context(which).map(Some)
    }

    /// Where values of over 10,000 digits and states of long computations are kept.
    ///
    /// # Errors
    /// A usage error when it is neither a directory nor a bucket.
    pub fn artifact_place(&self) -> anyhow::Result<Place> {
        let usual = || self.data_dir.value.join("artifacts");
        let (directory, bucket) = match self.artifacts.value.as_deref() {
            None => (usual(), None),
            Some(url) if url.starts_with("s3://") => (usual(), Some(url.to_owned())),
            Some(text) if text.is_empty() || has_scheme(text) => {
                let way_out = "give a directory, s3://bucket or s3://bucket/prefix";
                return Err(self.artifacts.refused_text("artifacts", text, way_out).into());
            }
            Some(directory) => (PathBuf::from(directory), None),
        };
        Ok(Place {
            directory: std::path::absolute(directory).context("finding the directory of artifacts")?,
            bucket,
            access: self.bucket_access(),
        })
    }

    /// How buckets are reached.
    #[must_use]
    pub fn bucket_access(&self) -> BucketAccess {
        BucketAccess(self.bucket_settings.clone())
    }

    /// Where the private database is kept.
    #[must_use]
    pub fn postgres_dir(&self) -> PathBuf {
        self.data_dir.value.join("postgres")
    }

    /// Every setting with its source, fit to be shown: passwords are left out.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let url = self.database_url.value.as_deref().map(redacted_url);
        let pg_bin = self.pg_bin.value.as_deref().map(printable_path);
        vec![
            entry("database_url", url, &self.database_url.source),
            entry(
                "data_dir",
                Some(printable_path(&self.data_dir.value)),
                &self.data_dir.source,
            ),
            self.artifacts.optional_entry("artifacts"),
            entry("pg_bin", pg_bin, &self.pg_bin.source),
            self.queue.entry("queue"),
            self.concurrency.entry("concurrency"),
            self.poll_interval.entry("poll_interval"),
            self.grace.entry("grace"),
            self.enable_faults.entry("enable_faults"),
            self.migrate.entry("migrate"),
            self.max_n.entry("max_n"),
            self.job_memory.entry("job_memory"),
            self.job_cpu_time.optional_entry("job_cpu_time"),
            self.job_time.optional_entry("job_time"),
            self.job_threads.optional_entry("job_threads"),
            self.max_connections.optional_entry("max_connections"),
            self.retention.optional_entry("retention"),
            self.wait_for_server.entry("wait_for_server"),
            self.wait_for_database.entry("wait_for_database"),
            self.workers.entry("workers"),
            self.first_slot.entry("first_slot"),
            self.health_addr.optional_entry("health_addr"),
            self.watchdog.entry("watchdog"),
            self.max_restarts.entry("max_restarts"),
            self.restart_window.entry("restart_window"),
            self.log_format.entry("log_format"),
            self.log_level.entry("log_level"),
        ]
    }
}

impl<T: fmt::Display> Setting<T> {
    fn entry(&self, key: &'static str) -> Entry {
        entry(key, Some(self.value.to_string()), &self.source)
    }
}

impl<T: fmt::Display> Setting<Option<T>> {
    fn optional_entry(&self, key: &'static str) -> Entry {
        entry(key, self.value.as_ref().map(ToString::to_string), &self.source)
    }
}

/// Says why this file is read and no other.
fn file_source(flags: &Flags, environment: &Environment) -> String {
    let source = match (&flags.file, environment.path(FILE)) {
        (Some(_), _) => Source::Flag.to_string(),
        (None, Some(_)) => Source::Environment(FILE).to_string(),
        (None, None) => "usual place".to_owned(),
    };
    format!("reading config ({source})")
}

fn entry(key: &'static str, value: Option<String>, source: &Source) -> Entry {
    Entry {
        key,
        value,
        source: source.to_string(),
    }
}

/// Whether text begins as an address does and a path does not: letters, a colon, a slash.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(":/").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    })
}

fn printable_path(path: &Path) -> String {
    path.display().to_string()
}
