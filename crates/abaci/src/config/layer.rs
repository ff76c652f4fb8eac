//! One source of settings: the flags, the environment or the file, each with any of the settings in it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use super::LogFormat;
use super::environment::Environment;
use super::units::{Bytes, Period};
use crate::exit::Failed;

/// Settings that one source gives; the absent ones are left to the next.
///
/// The field names are the keys of the configuration file; a key that is none of them is refused.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Where the database is, if it is not the private one.
    pub database_url: Option<String>,
    /// Where the private database and large values are kept.
    pub data_dir: Option<PathBuf>,
    /// Where the programs of PostgreSQL are.
    pub pg_bin: Option<PathBuf>,
    /// The queue of jobs.
    pub queue: Option<String>,
    /// How many jobs a server runs at once.
    pub concurrency: Option<u32>,
    /// How often a server asks for jobs.
    pub poll_interval: Option<Period>,
    /// How long running jobs may finish after a signal.
    pub grace: Option<Period>,
    /// The largest index of the doubling algorithm.
    pub max_n: Option<u64>,
    /// The memory that one job may need.
    pub job_memory: Option<Bytes>,
    /// How long a client waits for a server to appear.
    pub wait_for_server: Option<Period>,
    /// How long a database may be gone before a command gives up.
    pub wait_for_database: Option<Period>,
    /// How log lines look.
    pub log_format: Option<LogFormat>,
    /// Which log lines there are.
    pub log_level: Option<String>,
}

impl Layer {
    /// Reads the settings that the environment gives.
    ///
    /// # Errors
    /// A usage error that names the variable.
    pub fn from_environment(environment: &Environment) -> Result<Self, Failed> {
        Ok(Self {
            database_url: environment.parsed("ABACI_DATABASE_URL")?,
            data_dir: environment.path("ABACI_DATA_DIR"),
            pg_bin: environment.path("ABACI_PG_BIN"),
            queue: environment.parsed("ABACI_QUEUE")?,
            concurrency: environment.parsed("ABACI_CONCURRENCY")?,
            poll_interval: environment.parsed("ABACI_POLL_INTERVAL")?,
            grace: environment.parsed("ABACI_GRACE")?,
            max_n: environment.parsed("ABACI_MAX_N")?,
            job_memory: environment.parsed("ABACI_JOB_MEMORY")?,
            wait_for_server: environment.parsed("ABACI_WAIT_FOR_SERVER")?,
            wait_for_database: environment.parsed("ABACI_WAIT_FOR_DATABASE")?,
            log_format: environment.parsed("ABACI_LOG_FORMAT")?,
            log_level: environment.parsed("ABACI_LOG")?,
        })
    }

    /// Reads the settings that a file gives.
    ///
    /// # Errors
    /// A usage error that names the file, the line and the key.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::usage(format!("{}: {error}", path.display())))
            .context("reading config")?;
        let layer = toml::from_str(&text)
            .map_err(|error| located(path, &text, &error))
            .context("reading config")?;
        Ok(layer)
    }
}

/// Puts the parser's message on one line, with the place in front.
fn located(path: &Path, text: &str, error: &toml::de::Error) -> Failed {
    let before = error
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message = error.message().replace('\n', " ");
    Failed::usage(format!("{}:{line}: {message}", path.display()))
}
