//! The configuration: every setting with its value and the source it came from.
//!
//! A flag wins over the environment, the environment over the file, the file over the default; each setting on its
//! own.
//! The file is TOML at `$XDG_CONFIG_HOME/abaci/config.toml` (or `~/.config/abaci/config.toml`), or wherever
//! `--config` or `ABACI_CONFIG` points; a file that is named must exist, and a key that means nothing is refused.
//!
//! All settings stand in one table, `settings.rs`: a row there is all that a new one needs.
//!
//! No other module of this crate reads the environment. It does not check that a database or a directory can be
//! used: the command that needs it finds out.

mod checks;
mod database_url;
mod environment;
mod file;
mod groups;
mod listen_addr;
mod log_format;
mod names;
mod settings;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod units;
mod value;

use std::path::PathBuf;

use anyhow::Context;
use clap::ArgMatches;
use durable_jobs::artifact::{ArtifactPlace, BucketAccess};
use durable_jobs::database::{Tables, canonical_url};
use fibonacci_jobs::Limits;

pub(crate) use checks::{a_pause, at_least_one};
pub(crate) use database_url::{redacted_url, without_password};
pub use environment::Environment;
pub(crate) use groups::{
    FaultFlags, FleetFlags, HealthFlags, LimitFlags, LogFlags, PlaceFlags, QueueFlags, ResumeFlags,
    StartFlags, TableFlags, WaitFlags, WebFlags, WorkFlags,
};
pub(crate) use listen_addr::ListenAddr;
pub(crate) use log_format::LogFormat;
pub(crate) use settings::{
    Config, FLEET_HEALTH_ADDR, LOG_LEVEL_OF_COMMANDS, LONGEST_POLL_INTERVAL, Layer, USUAL_WEB_ADDR,
};
pub(crate) use source::{Setting, ShownSetting, Source};
pub(crate) use units::{Bytes, Period};

use source::Layers;

/// The variable that names the configuration file.
pub(crate) const FILE: &str = "ABACI_CONFIG";

/// The variable of the token of the page, which no flag has: a process list would show it.
pub(crate) const WEB_TOKEN: &str = "ABACI_WEB_TOKEN";

/// Returns a help text with the variable and the default of a setting behind it, for a flag that is no setting itself.
pub(crate) fn help_of(key: &str, text: &str) -> String {
    let row = settings::TABLE.iter().find(|row| row.key == key);
    row.map_or_else(|| text.to_owned(), |row| row.help(text))
}

/// The configuration as far as the command line gives it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// The file to read instead of the usual one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) layer: Layer,
}

impl Flags {
    /// Reads the settings that a command line gives, wherever in it they stand.
    pub(crate) fn new(file: Option<PathBuf>, mut matches: &ArgMatches) -> Self {
        // The parser copies global flags down, so the innermost matches have whatever was given.
        while let Some((_, of_subcommand)) = matches.subcommand() {
            matches = of_subcommand;
        }
        let layer = Layer::from_matches(matches);
        Self { file, layer }
    }
}

/// The circumstances of a command that are no settings.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The variables of the environment about buckets; secrets are among them.
    bucket_settings: Vec<(String, String)>,
    /// The token of the page, if one was given; a secret.
    pub(crate) web_token: Option<String>,
    /// The configuration file that was read, if there was one.
    pub(crate) file: Option<PathBuf>,
    /// The settings of the command line, for processes that are to have the same.
    pub(crate) flags: Flags,
    /// The directory for what need not outlive a command.
    pub(crate) temporary_dir: PathBuf,
    /// Colour is unwanted, whatever the terminal can do.
    pub(crate) forbids_colour: bool,
}

impl Config {
    /// Returns the changes to tables that a client or a server may make.
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
    pub(crate) fn resolve(flags: Flags, environment: &Environment) -> anyhow::Result<Self> {
        let named = match flags.file.clone() {
            Some(path) => Some(path),
            None => environment.path(FILE),
        };
        let file = named.or_else(|| usual_file(environment).filter(|path| path.is_file()));
        let settings = match &file {
            Some(path) => Layer::from_file(path).with_context(|| file_source(&flags, environment))?,
            None => Layer::default(),
        };
        let layers = Layers {
            flags: flags.layer.clone(),
            environment: Layer::from_environment(environment)?,
            file: settings,
            path: file.clone(),
        };
        let surroundings = Surroundings {
            bucket_settings: environment.of_buckets(),
            web_token: environment.parsed(WEB_TOKEN)?,
            file,
            flags,
            temporary_dir: environment
                .path("TMPDIR")
                .unwrap_or_else(|| PathBuf::from("/tmp")),
            forbids_colour: environment.forbids_colour(),
        };
        let config = Self::settle(&layers, environment, surroundings);
        // Here and not in the commands, of which one could forget it.
        checks::queue_name(&config.queue)?;
        Ok(config)
    }

    /// Returns the limits of requests.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_n: self.max_n.value,
            memory_bytes: self.job_memory.value.0,
        }
    }

    /// Returns the address of the database, if it is not the private one.
    ///
    /// # Errors
    /// [`durable_jobs::Error::Url`] for an address that makes no sense; that it leads to a database is not tried.
    pub(crate) fn given_database(&self) -> anyhow::Result<Option<String>> {
        let Some(url) = &self.database_url.value else {
            return Ok(None);
        };
        let which = || self.database_url.named(redacted_url(url));
        canonical_url(url).with_context(which).map(Some)
    }

    /// Returns the place of values of over 10,000 digits and of states of long computations.
    ///
    /// # Errors
    /// A usage error when it is neither a directory nor a bucket.
    pub(crate) fn artifact_place(&self) -> anyhow::Result<ArtifactPlace> {
        let usual = || self.data_dir.value.join("artifacts");
        let (directory, bucket) = match self.artifacts.value.as_deref() {
            None => (usual(), None),
            Some(url) if url.starts_with("s3://") => (usual(), Some(url.to_owned())),
            Some(text) if text.is_empty() || has_scheme(text) => {
                let way_out = "give a directory, s3://bucket or s3://bucket/prefix";
                return Err(self.artifacts.refused_text(text, way_out).into());
            }
            Some(directory) => (PathBuf::from(directory), None),
        };
        Ok(ArtifactPlace {
            directory: std::path::absolute(directory).context("finding the directory of artifacts")?,
            bucket,
            access: self.bucket_access(),
        })
    }

    /// Returns the access to buckets.
    pub(crate) fn bucket_access(&self) -> BucketAccess {
        BucketAccess(self.surroundings.bucket_settings.clone())
    }

    /// Returns the directory of the private database.
    pub(crate) fn postgres_dir(&self) -> PathBuf {
        self.data_dir.value.join("postgres")
    }

    /// Returns every setting with its source, fit to be shown: passwords are left out.
    pub(crate) fn entries(&self) -> Vec<ShownSetting> {
        let mut entries = self.all();
        // Its text may hold a password; the token, the other secret, is no setting and not among these.
        for entry in entries.iter_mut().filter(|entry| entry.key == "database_url") {
            entry.value = entry.value.as_deref().map(redacted_url);
        }
        entries
    }
}

/// Finds the usual place of the configuration file.
fn usual_file(environment: &Environment) -> Option<PathBuf> {
    let in_home = || environment.path("HOME").map(|home| home.join(".config"));
    let folder = environment.path("XDG_CONFIG_HOME").or_else(in_home)?;
    Some(folder.join("abaci").join("config.toml"))
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

/// Returns whether text begins as an address does and a path does not: letters, a colon, a slash.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(":/").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    })
}
