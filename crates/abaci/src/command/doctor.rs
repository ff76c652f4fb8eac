//! `abaci doctor`: checks what abaci needs, one line each, with the way out where something is missing.
//!
//! It looks and does not repair: the private database is started, since nothing else shows whether it can be, but no
//! table is made and nothing is queued.

use std::time::Duration;

use clap::Args;
use durable_jobs::Client;
use durable_jobs::database::{ConnectionLimit, DatabaseReport, inspect};
use durable_jobs::presence::Presence;
use durable_jobs::worker::{FEWEST_CONNECTIONS, WorkerSettings};
use fibonacci_jobs::{VERSION, client_types};
use local_postgres::Programs;
use serde::Serialize;

use crate::clocks::{WrongClock, wrong_clocks};
use crate::config::Config;
use crate::database_access::{DatabaseAccess, check_writable, on_blocking_thread};
use crate::exit::{Exit, one_line};
use crate::flags::QueueFlags;
use crate::output::{self, Format, Paint};

/// The longest time for an answer of the database.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Check what abaci needs, and say how to get what is missing.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object per check
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    _queue: QueueFlags,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding {
    Ok,
    /// Worth knowing, and no fault.
    Note,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    subject: &'static str,
    verdict: Finding,
    detail: String,
}

impl DoctorArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let format = Format::of_flag(self.json);
        let mut has_failed = false;
        let mut print = |check: Check| {
            has_failed |= check.verdict == Finding::Fail;
            check.print(format)
        };
        print(configuration(config))?;
        print(arithmetic())?;
        if config.database_url.value.is_none() {
            print(programs(config).await?)?;
        }
        print(data_directory(config))?;
        for check in database(config).await {
            print(check)?;
        }
        Ok(if has_failed { Exit::No } else { Exit::Done })
    }
}

impl Check {
    fn new(verdict: Finding, subject: &'static str, detail: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            detail: detail.into(),
        }
    }

    fn ok(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Finding::Ok, subject, detail)
    }

    fn note(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Finding::Note, subject, detail)
    }

    fn fail(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Finding::Fail, subject, detail)
    }

    fn print(&self, format: Format) -> anyhow::Result<()> {
        if format == Format::Json {
            return output::json(self);
        }
        let Self { subject, detail, .. } = self;
        let verdict = match self.verdict {
            Finding::Ok => "ok  ".green(),
            Finding::Note => "note".yellow(),
            Finding::Fail => "fail".red(),
        };
        output::line(format_args!("{verdict}  {subject:<11}  {detail}"))
    }
}

fn configuration(config: &Config) -> Check {
    match &config.surroundings.file {
        Some(path) => Check::ok("config", path.display().to_string()),
        None => Check::ok("config", "no file; flags, environment and defaults"),
    }
}

/// Chosen by the processor alone; with narrow ones long numbers take longer, see `docs/arithmetic.md`.
fn arithmetic() -> Check {
    let instructions = fibonacci::instructions();
    Check::ok("arithmetic", format!("{instructions} instructions"))
}

async fn programs(config: &Config) -> anyhow::Result<Check> {
    let directory = config.pg_bin.value.clone();
    let found = on_blocking_thread(move || Programs::find(directory.as_deref())).await?;
    Ok(match found {
        Ok(found) => Check::ok(
            "PostgreSQL",
            format!("version {} in {}", found.version(), found.dir().display()),
        ),
        Err(error) => Check::fail("PostgreSQL", error.to_string()),
    })
}

fn data_directory(config: &Config) -> Check {
    let directory = &config.data_dir.value;
    match check_writable(directory) {
        Ok(()) => Check::ok("data", format!("{} can be written to", directory.display())),
        Err(error) => {
            let way_out = "choose another with --data-dir or ABACI_DATA_DIR";
            Check::fail("data", format!("{}: {error}; {way_out}", directory.display()))
        }
    }
}

async fn database(config: &Config) -> Vec<Check> {
    let access = match DatabaseAccess::open(config).await {
        Ok(access) => access,
        Err(error) => return vec![Check::fail("database", one_line(&error))],
    };
    let report = match inspect(access.url(), TIMEOUT).await {
        Ok(report) => report,
        Err(error) => return vec![Check::fail("database", error.to_string())],
    };
    let mut checks = vec![
        round_trip(&access, &report),
        connections(config, &report),
        schema(&report),
    ];
    checks.extend(own_clock(&report));
    let works_with = report.known_schema_version..=report.newest_schema_version;
    let is_known = |version| works_with.contains(&version);
    // A client refuses other tables, and the check of the schema has said so.
    if report.has_own_tables && report.schema_version.is_some_and(is_known) {
        checks.extend(work(&access, config).await);
    }
    checks
}

fn schema(report: &DatabaseReport) -> Check {
    let (known, newest) = (report.known_schema_version, report.newest_schema_version);
    match report.schema_version {
        Some(version) if version > newest => {
            let way_out = "give abaci a database of its own by --database-url, or use a newer abaci";
            Check::fail(
                "schema",
                format!("version {version}, and abaci works with none after {newest}; {way_out}"),
            )
        }
        Some(version) if report.has_own_tables && version > known => {
            Check::ok("schema", format!("version {version}, of a newer DBOS"))
        }
        Some(version) if report.has_own_tables && !report.may_write => Check::note(
            "schema",
            format!("version {version}; this user may only read, which is enough to look"),
        ),
        Some(version) if report.has_own_tables => Check::ok("schema", format!("version {version}")),
        _ if !report.may_make_tables => Check::fail(
            "schema",
            "no tables yet, and no right to make them; give the user CREATE on the database",
        ),
        Some(version) if version < known => Check::note(
            "schema",
            format!(
                "version {version} of another DBOS application; abaci needs {known}: let it be updated once with --migrate, \
                 or use another database"
            ),
        ),
        _ => Check::note("schema", "no tables yet; the first serve or submit makes them"),
    }
}

/// Says how many connections a worker of this configuration opens, and how many are left.
fn connections(config: &Config, report: &DatabaseReport) -> Check {
    // Only to count the connections: no worker is made of these settings.
    let settings = WorkerSettings {
        concurrency: config.concurrency.value,
        max_connections: config.max_connections.value,
        ..WorkerSettings::new("", "", "", client_types(config.limits()))
    };
    let wanted = settings.connections();
    let ConnectionLimit { whose, allowed, left } = &report.connections;
    let detail = format!("a worker opens {wanted}; {whose} has {left} left of {allowed}");
    match *left {
        _ if *allowed < FEWEST_CONNECTIONS => Check::fail(
            "connections",
            format!("{detail}, and the fewest for a worker are {FEWEST_CONNECTIONS}"),
        ),
        left if left < FEWEST_CONNECTIONS => {
            Check::note("connections", format!("{detail}: no place for a further worker"))
        }
        left if left < wanted => Check::note("connections", detail),
        _ => Check::ok("connections", detail),
    }
}

fn own_clock(report: &DatabaseReport) -> Vec<Check> {
    let wrong = wrong_clocks(Some(report.clock_offset_ms), &[]);
    if wrong.is_empty() {
        return vec![Check::ok("clock", "this machine's agrees with the database's")];
    }
    wrong.iter().map(clock).collect()
}

fn clock(wrong: &WrongClock) -> Check {
    Check::note("clock", wrong.to_string())
}

fn round_trip(access: &DatabaseAccess, report: &DatabaseReport) -> Check {
    let DatabaseReport {
        server_version,
        round_trip_ms,
        ..
    } = report;
    let place = access.place();
    if let Some(reason) = &report.write_failure {
        return Check::fail(
            "database",
            format!("version {server_version}, {place}: nothing can be written: {reason}"),
        );
    }
    Check::ok(
        "database",
        format!("version {server_version}, {place}, round trip {round_trip_ms:.1} ms"),
    )
}

async fn work(access: &DatabaseAccess, config: &Config) -> Vec<Check> {
    let client = match access.client(config).await {
        Ok(client) => client,
        Err(error) => return vec![Check::fail("queue", error.to_string())],
    };
    let checks = async {
        let present = client.workers().await?;
        let mut checks: Vec<_> = wrong_clocks(None, &present).iter().map(clock).collect();
        checks.push(workers(&client, &present));
        checks.push(queue(&client).await?);
        Ok(checks)
    };
    let checks = checks.await;
    client.close().await;
    checks.unwrap_or_else(|error: durable_jobs::Error| vec![Check::fail("queue", error.to_string())])
}

fn workers(client: &Client, workers: &[Presence]) -> Check {
    let listening: Vec<String> = workers
        .iter()
        .filter(|worker| worker.takes(client.queue(), VERSION))
        .map(|worker| format!("{} (process {})", worker.executor_id, worker.pid))
        .collect();
    match listening.as_slice() {
        [] => Check::note(
            "workers",
            format!(
                "none on queue {:?}; start one with: {}",
                client.queue(),
                output::serve_command(client.queue())
            ),
        ),
        listening => Check::ok("workers", listening.join(", ")),
    }
}

async fn queue(client: &Client) -> Result<Check, durable_jobs::Error> {
    let counts = client.counts().await?;
    Ok(Check::ok(
        "queue",
        format!(
            "{:?}: {} waiting, {} running",
            client.queue(),
            counts.queued,
            counts.running
        ),
    ))
}
