//! The sources of settings, put one over the other.
//!
//! Every setting has its variable, its field and its default in one place, which makes one function as long as the list.

use std::path::PathBuf;
use std::time::Duration;

use fibonacci_jobs::{DEFAULT_QUEUE, Limits};

use super::{Bytes, Config, Environment, Flags, Layer, LogFormat, Period, Setting, Source};

/// The sources of settings, the strongest first.
pub(super) struct Layers {
    pub(super) flags: Flags,
    pub(super) environment: Layer,
    pub(super) settings: Layer,
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    pub(super) fn settle(self, environment: &Environment) -> Config {
        let limits = Limits::default();
        Config {
            database_url: self.optional("ABACI_DATABASE_URL", |layer| &layer.database_url),
            data_dir: self.pick(
                "ABACI_DATA_DIR",
                |layer| &layer.data_dir,
                usual_data_dir(environment),
            ),
            artifacts: self.optional("ABACI_ARTIFACTS", |layer| &layer.artifacts),
            pg_bin: self.optional("ABACI_PG_BIN", |layer| &layer.pg_bin),
            queue: self.pick("ABACI_QUEUE", |layer| &layer.queue, DEFAULT_QUEUE.to_owned()),
            concurrency: self.pick("ABACI_CONCURRENCY", |layer| &layer.concurrency, 1),
            poll_interval: self.pick(
                "ABACI_POLL_INTERVAL",
                |layer| &layer.poll_interval,
                milliseconds(50),
            ),
            grace: self.pick("ABACI_GRACE", |layer| &layer.grace, seconds(30)),
            enable_faults: self.pick("ABACI_ENABLE_FAULTS", |layer| &layer.enable_faults, false),
            migrate: self.pick("ABACI_MIGRATE", |layer| &layer.migrate, false),
            max_n: self.pick("ABACI_MAX_N", |layer| &layer.max_n, limits.max_n),
            job_memory: self.pick(
                "ABACI_JOB_MEMORY",
                |layer| &layer.job_memory,
                Bytes(limits.memory_bytes),
            ),
            job_cpu_time: self.optional("ABACI_JOB_CPU_TIME", |layer| &layer.job_cpu_time),
            job_time: self.optional("ABACI_JOB_TIME", |layer| &layer.job_time),
            job_threads: self.optional("ABACI_JOB_THREADS", |layer| &layer.job_threads),
            max_connections: self.optional("ABACI_MAX_CONNECTIONS", |layer| &layer.max_connections),
            retention: self.optional("ABACI_RETENTION", |layer| &layer.retention),
            wait_for_server: self.pick(
                "ABACI_WAIT_FOR_SERVER",
                |layer| &layer.wait_for_server,
                seconds(30),
            ),
            wait_for_database: self.pick(
                "ABACI_WAIT_FOR_DATABASE",
                |layer| &layer.wait_for_database,
                seconds(60),
            ),
            workers: self.pick("ABACI_WORKERS", |layer| &layer.workers, processors()),
            first_slot: self.pick("ABACI_FIRST_SLOT", |layer| &layer.first_slot, 0),
            health_addr: self.optional("ABACI_HEALTH_ADDR", |layer| &layer.health_addr),
            watchdog: self.pick("ABACI_WATCHDOG", |layer| &layer.watchdog, seconds(10)),
            max_restarts: self.pick("ABACI_MAX_RESTARTS", |layer| &layer.max_restarts, 5),
            restart_window: self.pick("ABACI_RESTART_WINDOW", |layer| &layer.restart_window, seconds(60)),
            log_format: self.pick("ABACI_LOG_FORMAT", |layer| &layer.log_format, LogFormat::Text),
            log_level: self.pick("ABACI_LOG", |layer| &layer.log_level, "info".to_owned()),
            temporary_dir: environment
                .path("TMPDIR")
                .unwrap_or_else(|| PathBuf::from("/tmp")),
            forbids_colour: environment.forbids_colour(),
            bucket_settings: environment.of_buckets(),
            file: self.file,
            flags: self.flags,
        }
    }

    fn optional<T: Clone>(
        &self,
        variable: &'static str,
        field: impl Fn(&Layer) -> &Option<T>,
    ) -> Setting<Option<T>> {
        let (value, source) = match self.given(variable, field) {
            Some(Setting { value, source }) => (Some(value), source),
            None => (None, Source::Default),
        };
        Setting { value, source }
    }

    fn pick<T: Clone>(
        &self,
        variable: &'static str,
        field: impl Fn(&Layer) -> &Option<T>,
        default: T,
    ) -> Setting<T> {
        self.given(variable, field).unwrap_or(Setting {
            value: default,
            source: Source::Default,
        })
    }

    fn given<T: Clone>(
        &self,
        variable: &'static str,
        field: impl Fn(&Layer) -> &Option<T>,
    ) -> Option<Setting<T>> {
        let from_file = || Source::File(self.file.clone().unwrap_or_default());
        let flag = field(&self.flags.layer).clone().map(|value| Setting {
            value,
            source: Source::Flag,
        });
        let variable = || {
            let value = field(&self.environment).clone()?;
            Some(Setting {
                value,
                source: Source::Environment(variable),
            })
        };
        let key = || {
            Some(Setting {
                value: field(&self.settings).clone()?,
                source: from_file(),
            })
        };
        flag.or_else(variable).or_else(key)
    }
}

pub(super) fn usual_file(environment: &Environment) -> Option<PathBuf> {
    let in_home = || environment.path("HOME").map(|home| home.join(".config"));
    let folder = environment.path("XDG_CONFIG_HOME").or_else(in_home)?;
    Some(folder.join("abaci").join("config.toml"))
}

/// Root's home is closed to the account that runs PostgreSQL for root, so its data lies elsewhere.
fn usual_data_dir(environment: &Environment) -> PathBuf {
    if environment.is_root() {
        return PathBuf::from("/var/lib/abaci");
    }
    let in_home = || {
        environment
            .path("HOME")
            .map(|home| home.join(".local").join("share"))
    };
    let folder = environment.path("XDG_DATA_HOME").or_else(in_home);
    folder.map_or_else(|| PathBuf::from("abaci-data"), |folder| folder.join("abaci"))
}

/// How many computations this machine can run at once.
fn processors() -> u32 {
    let known = std::thread::available_parallelism();
    known.map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

fn seconds(count: u64) -> Period {
    Period(Duration::from_secs(count))
}

fn milliseconds(count: u64) -> Period {
    Period(Duration::from_millis(count))
}
