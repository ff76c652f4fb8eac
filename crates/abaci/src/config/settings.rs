//! The table of settings: one row holds everything about a setting.
//!
//! A row begins with the key of the file, the type and the default, where the help is to show another text than the
//! default's own with that text; then come the variable, the flag, and the groups of flags that it belongs to, each
//! with the help that it has there. A setting without a default is an [`Option`].
//! [`super::table`] makes the rest of it: a new setting is a new row.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use fibonacci_jobs::{DEFAULT_QUEUE, Limits};
use serde::Deserialize;

use super::groups::Group;
use super::source::{Layers, Setting, ShownSetting};
use super::table::{SettingTexts, settings};
use super::value::{SettingType, SettingValue};
use super::{Bytes, Environment, ListenAddr, LogFormat, Period, Surroundings};
use crate::exit::Failed;

/// The interval at which one worker asks for jobs.
const POLL_INTERVAL: Period = Period(Duration::from_millis(50));

/// The longest interval at which a worker of a large fleet asks for jobs, unless an interval is given.
pub(crate) const LONGEST_POLL_INTERVAL: Period = Period(Duration::from_millis(200));

/// The address of a fleet's health endpoints, unless one is given.
pub(crate) const FLEET_HEALTH_ADDR: ListenAddr =
    ListenAddr::At(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)));

/// The address of the page and the HTTP interface, unless one is given.
pub(crate) const USUAL_WEB_ADDR: ListenAddr =
    ListenAddr::At(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8081)));

/// The level of the log of a server.
const LOG_LEVEL: &str = "info";

/// The level of the log of a command that a person waits for.
pub(crate) const LOG_LEVEL_OF_COMMANDS: &str = "warn";

settings! { environment =>
    database_url: Option<String> = None,
        "ABACI_DATABASE_URL", "--database-url <URL>", PlaceFlags "Database to use instead of the private one";
    data_dir: PathBuf = usual_data_dir(environment), shown as "",
        "ABACI_DATA_DIR", "--data-dir <DIR>",
        PlaceFlags "Directory of the private database, of large values and of a fleet's lock and socket";
    artifacts: Option<String> = None, shown as "in the data directory",
        "ABACI_ARTIFACTS", "--artifacts <PLACE>", PlaceFlags "Directory or bucket (s3://bucket/prefix) of large values";
    pg_bin: Option<PathBuf> = None, shown as "searched for",
        "ABACI_PG_BIN", "--pg-bin <DIR>", PlaceFlags "Directory of PostgreSQL's programs";
    queue: String = DEFAULT_QUEUE.to_owned(),
        "ABACI_QUEUE", "--queue <NAME>",
        QueueFlags "Queue of the jobs",
        ResumeFlags "Queue of the jobs that are selected, and of a job whose own is not known any more";
    concurrency: u32 = 1,
        "ABACI_CONCURRENCY", "--concurrency <COUNT>", WorkFlags "Jobs that run at once";
    poll_interval: Period = POLL_INTERVAL,
        shown as format!("{POLL_INTERVAL}; in a fleet of N workers N times that, at most {LONGEST_POLL_INTERVAL}"),
        "ABACI_POLL_INTERVAL", "--poll-interval <TIME>", WorkFlags "How often the queue is asked for jobs";
    grace: Period = seconds(30),
        "ABACI_GRACE", "--grace <TIME>", WorkFlags "How long running jobs may finish after a signal";
    enable_faults: bool = false,
        "ABACI_ENABLE_FAULTS", "--enable-faults",
        FaultFlags "Let the faults strike that jobs ask for, to watch how they are survived";
    migrate: bool = false,
        "ABACI_MIGRATE", "--migrate",
        TableFlags "Update the tables of another DBOS application that uses this database with an older version; needed once";
    max_n: u64 = Limits::default().max_n,
        "ABACI_MAX_N", "--max-n <N>", LimitFlags "Largest n of doubling and giant";
    job_memory: Bytes = Bytes(Limits::default().memory_bytes),
        "ABACI_JOB_MEMORY", "--job-memory <SIZE>", LimitFlags "Memory that one job may need, by estimate, and use";
    job_cpu_time: Option<Period> = None, shown as "unlimited",
        "ABACI_JOB_CPU_TIME", "--job-cpu-time <TIME>", WorkFlags "Processor time of one job's computation";
    job_time: Option<Period> = None, shown as "unlimited",
        "ABACI_JOB_TIME", "--job-time <TIME>", WorkFlags "Time of one job's computation by the clock";
    job_threads: Option<u32> = None, shown as "the processors divided by the jobs at once",
        "ABACI_JOB_THREADS", "--job-threads <COUNT>", WorkFlags "Threads of one job's computation";
    max_connections: Option<u32> = None, shown as "2, and 2 for each job at once, at most 24",
        "ABACI_MAX_CONNECTIONS", "--max-connections <COUNT>",
        WorkFlags "Connections to the database of one worker, 4 or more";
    retention: Option<Period> = None, shown as "for ever",
        "ABACI_RETENTION", "--retention <TIME>",
        WorkFlags "How long jobs that ended, also parked ones, are kept before they are deleted with their values";
    wait_for_server: Period = seconds(30),
        "ABACI_WAIT_FOR_SERVER", "--wait-for-server <TIME>", WaitFlags "How long to wait while no server listens";
    wait_for_database: Period = seconds(60),
        "ABACI_WAIT_FOR_DATABASE", "--wait-for-database <TIME>",
        WaitFlags "How long to wait while the database is gone",
        StartFlags "How long to wait for the database at the start";
    workers: u32 = processors(), shown as "one per processor",
        "ABACI_WORKERS", "--workers <COUNT>", FleetFlags "Worker processes";
    first_slot: u32 = 0,
        "ABACI_FIRST_SLOT", "--first-slot <NUMBER>",
        FleetFlags "Number of the first worker's executor id on this machine";
    health_addr: Option<ListenAddr> = None, shown as format!("{FLEET_HEALTH_ADDR} for fleet, none for serve"),
        "ABACI_HEALTH_ADDR", "--health-addr <ADDRESS>",
        HealthFlags "Address of /livez, /readyz, /health and /metrics, or none";
    web_addr: Option<ListenAddr> = None, shown as USUAL_WEB_ADDR.to_string(),
        "ABACI_WEB_ADDR", "--web-addr <ADDRESS>", WebFlags "Address of the page and the HTTP interface, or none";
    web_host: Option<String> = None, shown as "the loopback names",
        "ABACI_WEB_HOST", "--web-host <NAMES>",
        WebFlags "Names under which the page is reached, separated by commas, beside addresses and localhost";
    token_file: Option<PathBuf> = None, shown as "made in the data directory",
        "ABACI_TOKEN_FILE", "--token-file <FILE>",
        WebFlags "File with the token of those who may change something over HTTP; ABACI_WEB_TOKEN holds one itself";
    read_only: bool = false,
        "ABACI_READ_ONLY", "--read-only", WebFlags "Let nobody change anything over HTTP";
    watchdog: Period = seconds(10),
        "ABACI_WATCHDOG", "--watchdog <TIME>", FleetFlags "Age of a worker's heartbeat at which the worker is killed";
    max_restarts: u32 = 5,
        "ABACI_MAX_RESTARTS", "--max-restarts <COUNT>",
        FleetFlags "Runs of a worker that get nowhere, within the restart window, after which it counts as crash-looping";
    restart_window: Period = seconds(60),
        "ABACI_RESTART_WINDOW", "--restart-window <TIME>",
        FleetFlags "Time in which runs that get nowhere are counted";
    log_format: LogFormat = LogFormat::Text,
        "ABACI_LOG_FORMAT", "--log-format <FORMAT>", LogFlags "Form of the log lines on stderr";
    log_level: String = LOG_LEVEL.to_owned(),
        shown as format!("{LOG_LEVEL} for servers, else {LOG_LEVEL_OF_COMMANDS}"),
        "ABACI_LOG", "--log-level <LEVEL>", LogFlags "Level or filter of the log lines";
}

/// Finds the usual data directory.
///
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
    // An account without a home has its data where it was started.
    folder.map_or_else(|| PathBuf::from("abaci-data"), |folder| folder.join("abaci"))
}

/// Counts the computations that this machine can run at once.
fn processors() -> u32 {
    let known = std::thread::available_parallelism();
    known.map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

fn seconds(count: u64) -> Period {
    Period(Duration::from_secs(count))
}
