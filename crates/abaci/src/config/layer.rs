//! One source of settings: the flags, the environment or the file, each with any of the settings in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::LogFormat;
use super::environment::Environment;
use super::health_addr::HealthAddr;
use super::names::nearest;
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
    /// Where large values are kept: a directory, or a bucket as `s3://bucket/prefix`.
    pub artifacts: Option<String>,
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
    /// Whether a server lets the faults strike that jobs ask for.
    pub enable_faults: Option<bool>,
    /// Whether tables of another DBOS application may be updated.
    pub migrate: Option<bool>,
    /// The largest index of the doubling algorithm.
    pub max_n: Option<u64>,
    /// The memory that one job may need.
    pub job_memory: Option<Bytes>,
    /// The processor time that one job may use.
    pub job_cpu_time: Option<Period>,
    /// The time that one job may compute, by the clock.
    pub job_time: Option<Period>,
    /// How many threads one heavy computation may use.
    pub job_threads: Option<u32>,
    /// The most connections to the database that one worker opens.
    pub max_connections: Option<u32>,
    /// How long jobs that ended are kept.
    pub retention: Option<Period>,
    /// How long a client waits for a server to appear.
    pub wait_for_server: Option<Period>,
    /// How long a database may be gone before a command gives up.
    pub wait_for_database: Option<Period>,
    /// How many workers a fleet has.
    pub workers: Option<u32>,
    /// The slot of the first worker of a fleet.
    pub first_slot: Option<u32>,
    /// Where health is answered.
    pub health_addr: Option<HealthAddr>,
    /// How old a worker's heartbeat may get.
    pub watchdog: Option<Period>,
    /// How many runs of a worker may get nowhere within the restart window.
    pub max_restarts: Option<u32>,
    /// The window in which the ends of a worker are counted.
    pub restart_window: Option<Period>,
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
            artifacts: environment.parsed("ABACI_ARTIFACTS")?,
            pg_bin: environment.path("ABACI_PG_BIN"),
            queue: environment.parsed("ABACI_QUEUE")?,
            concurrency: environment.parsed("ABACI_CONCURRENCY")?,
            poll_interval: environment.parsed("ABACI_POLL_INTERVAL")?,
            grace: environment.parsed("ABACI_GRACE")?,
            enable_faults: environment.parsed("ABACI_ENABLE_FAULTS")?,
            migrate: environment.parsed("ABACI_MIGRATE")?,
            max_n: environment.parsed("ABACI_MAX_N")?,
            job_memory: environment.parsed("ABACI_JOB_MEMORY")?,
            job_cpu_time: environment.parsed("ABACI_JOB_CPU_TIME")?,
            job_time: environment.parsed("ABACI_JOB_TIME")?,
            job_threads: environment.parsed("ABACI_JOB_THREADS")?,
            max_connections: environment.parsed("ABACI_MAX_CONNECTIONS")?,
            retention: environment.parsed("ABACI_RETENTION")?,
            wait_for_server: environment.parsed("ABACI_WAIT_FOR_SERVER")?,
            wait_for_database: environment.parsed("ABACI_WAIT_FOR_DATABASE")?,
            workers: environment.parsed("ABACI_WORKERS")?,
            first_slot: environment.parsed("ABACI_FIRST_SLOT")?,
            health_addr: environment.parsed("ABACI_HEALTH_ADDR")?,
            watchdog: environment.parsed("ABACI_WATCHDOG")?,
            max_restarts: environment.parsed("ABACI_MAX_RESTARTS")?,
            restart_window: environment.parsed("ABACI_RESTART_WINDOW")?,
            log_format: environment.parsed("ABACI_LOG_FORMAT")?,
            log_level: environment.parsed("ABACI_LOG")?,
        })
    }

    /// The variables of an environment that gives the same settings; a password may be among them.
    #[must_use]
    pub fn to_environment(&self) -> Vec<(&'static str, OsString)> {
        fn text<T: ToString>(value: Option<&T>) -> Option<OsString> {
            value.map(|value| value.to_string().into())
        }
        let path = |value: &Option<PathBuf>| value.clone().map(OsString::from);
        let all = [
            ("ABACI_DATABASE_URL", text(self.database_url.as_ref())),
            ("ABACI_DATA_DIR", path(&self.data_dir)),
            ("ABACI_ARTIFACTS", text(self.artifacts.as_ref())),
            ("ABACI_PG_BIN", path(&self.pg_bin)),
            ("ABACI_QUEUE", text(self.queue.as_ref())),
            ("ABACI_CONCURRENCY", text(self.concurrency.as_ref())),
            ("ABACI_POLL_INTERVAL", text(self.poll_interval.as_ref())),
            ("ABACI_GRACE", text(self.grace.as_ref())),
            ("ABACI_ENABLE_FAULTS", text(self.enable_faults.as_ref())),
            ("ABACI_MIGRATE", text(self.migrate.as_ref())),
            ("ABACI_MAX_N", text(self.max_n.as_ref())),
            ("ABACI_JOB_MEMORY", text(self.job_memory.as_ref())),
            ("ABACI_JOB_CPU_TIME", text(self.job_cpu_time.as_ref())),
            ("ABACI_JOB_TIME", text(self.job_time.as_ref())),
            ("ABACI_JOB_THREADS", text(self.job_threads.as_ref())),
            ("ABACI_MAX_CONNECTIONS", text(self.max_connections.as_ref())),
            ("ABACI_RETENTION", text(self.retention.as_ref())),
            ("ABACI_WAIT_FOR_SERVER", text(self.wait_for_server.as_ref())),
            ("ABACI_WAIT_FOR_DATABASE", text(self.wait_for_database.as_ref())),
            ("ABACI_WORKERS", text(self.workers.as_ref())),
            ("ABACI_FIRST_SLOT", text(self.first_slot.as_ref())),
            ("ABACI_HEALTH_ADDR", text(self.health_addr.as_ref())),
            ("ABACI_WATCHDOG", text(self.watchdog.as_ref())),
            ("ABACI_MAX_RESTARTS", text(self.max_restarts.as_ref())),
            ("ABACI_RESTART_WINDOW", text(self.restart_window.as_ref())),
            ("ABACI_LOG_FORMAT", text(self.log_format.as_ref())),
            ("ABACI_LOG", text(self.log_level.as_ref())),
        ];
        let given = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.collect()
    }

    /// Reads the settings that a file gives.
    ///
    /// # Errors
    /// A usage error that names the file, the line, the key and its value.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::usage(format!("{}: {error}", path.display())))?;
        let layer = toml::from_str(&text).map_err(|error| located(path, &text, &error))?;
        Ok(layer)
    }
}

/// Puts the parser's message on one line, with the place in front.
fn located(path: &Path, text: &str, error: &toml::de::Error) -> Failed {
    let span = error.span().unwrap_or_default();
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message = error.message().replace('\n', " ");
    let beginning = before.rsplit('\n').next().unwrap_or_default();
    let said = unknown_key(&message).unwrap_or_else(|| match key_before(beginning) {
        // It may hold a password.
        Some("database_url") => format!("database_url: {message}"),
        Some(key) => format!("{key} is {}: {message}", text.get(span).unwrap_or_default()),
        None => message,
    });
    Failed::usage(format!("{}:{line}: {said}", path.display()))
}

/// The key whose value begins behind this beginning of a line.
fn key_before(beginning: &str) -> Option<&str> {
    let key = beginning.trim().strip_suffix('=')?.trim();
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    (!key.is_empty() && key.chars().all(is_bare)).then_some(key)
}

/// Says of a key that does not exist which one may be meant.
fn unknown_key(message: &str) -> Option<String> {
    let mut names = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    let unknown = names.next()?;
    let meant = nearest(unknown, names.filter(|name| !name.is_empty()));
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    Some(format!("there is no key {unknown}{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings that take any text, and the file, which is no setting of a layer.
    const TEXTS: [&str; 7] = [
        "ABACI_ARTIFACTS",
        "ABACI_CONFIG",
        "ABACI_DATABASE_URL",
        "ABACI_DATA_DIR",
        "ABACI_LOG",
        "ABACI_PG_BIN",
        "ABACI_QUEUE",
    ];

    fn numbers_and_their_like() -> impl Iterator<Item = &'static str> {
        let settings = Environment::SETTINGS.into_iter();
        settings.filter(|name| !TEXTS.contains(name))
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named_with_its_value() {
        for name in numbers_and_their_like() {
            let given = Environment::of_user([(name, "n/a")]);
            let refusal = Layer::from_environment(&given).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("{name} is \"n/a\": ")), "{refusal}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_read_is_named_with_its_value_and_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for name in numbers_and_their_like() {
            let key = name.trim_start_matches("ABACI_").to_lowercase();
            std::fs::write(file.path(), format!("# mine\n{key} = \"n/a\"\n")).unwrap();
            let refusal = Layer::from_file(file.path()).unwrap_err().to_string();
            let place = format!("{}:2: {key} is \"n/a\": ", file.path().display());
            assert!(refusal.starts_with(&place), "{refusal}");
        }
    }

    #[test]
    fn a_database_url_of_the_wrong_kind_is_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "database_url = [\"postgres://ada:s3cret@db\"]\n").unwrap();
        let refusal = Layer::from_file(file.path()).unwrap_err().to_string();
        assert!(
            refusal.contains(":1: database_url: ") && !refusal.contains("s3cret"),
            "{refusal}"
        );
    }

    #[test]
    fn every_setting_survives_the_way_through_an_environment() {
        let value = |name: &str| match name {
            "ABACI_POLL_INTERVAL"
            | "ABACI_GRACE"
            | "ABACI_WATCHDOG"
            | "ABACI_RESTART_WINDOW"
            | "ABACI_JOB_CPU_TIME"
            | "ABACI_JOB_TIME"
            | "ABACI_RETENTION"
            | "ABACI_WAIT_FOR_SERVER"
            | "ABACI_WAIT_FOR_DATABASE" => "1m 7s 3ms",
            "ABACI_JOB_MEMORY" => "3MiB",
            "ABACI_HEALTH_ADDR" => "127.0.0.1:9",
            "ABACI_LOG_FORMAT" => "json",
            "ABACI_ENABLE_FAULTS" | "ABACI_MIGRATE" => "true",
            "ABACI_QUEUE" | "ABACI_DATABASE_URL" | "ABACI_DATA_DIR" | "ABACI_PG_BIN" | "ABACI_LOG" => "text",
            _ => "7",
        };
        // The file is no setting of a layer.
        let names = Environment::SETTINGS
            .into_iter()
            .filter(|name| *name != "ABACI_CONFIG");
        let given = Environment::of_user(names.clone().map(|name| (name, value(name))));
        let layer = Layer::from_environment(&given).unwrap();
        let back = layer.to_environment();
        assert_eq!(back.len(), names.count(), "a setting is not handed on: {back:?}");
        let unset = format!("{layer:?}").matches(": None").count();
        assert_eq!(unset, 0, "a setting is not in the list of variables: {layer:?}");
        assert_eq!(
            Layer::from_environment(&Environment::of_user(back)).unwrap(),
            layer
        );
    }
}
