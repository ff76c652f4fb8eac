//! `abaci fleet`: a supervisor, a health process and several workers, each a process of its own.
//!
//! With a subcommand, it speaks to the fleet that runs already on the same data directory.
//!
//! Settings of flags reach the workers as environment variables, which win over the configuration file just as
//! the flags do; the file is read by each worker anew, so a reload takes up what has changed in it. Where the jobs are, the
//! queue, the grace time and the watchdog's are the whole fleet's and stay as they were at its start.

mod health;
mod web;
mod worker;

pub(crate) use worker::give_up;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tracing::info;
use worker_fleet::health::bind;
use worker_fleet::supervisor::{
    self, FleetAnswer, FleetEnd, FleetLock, FleetPlan, FleetRequest, FleetSignals, Intensity, MOST_WORKERS,
    Program, QueueAddress, ServingChild, WorkerTimes, check_workers,
};

use crate::bind_soon::bind_soon;
use crate::config::{self, Config, FLEET_HEALTH_ADDR, Layer, ListenAddr, a_pause, at_least_one};
use crate::database_access::{DatabaseAccess, KeptRunning};
use crate::exit::{Exit, Failed};
use crate::flags::{
    FleetFlags, HealthFlags, LimitFlags, QueueFlags, StarterFlags, TableFlags, WebFlags, WorkFlags,
};
use crate::output;
use crate::this_process;
use crate::web_access;
use crate::worker_startup;

/// A heartbeat that may be older than this watches nobody.
const LONGEST_WATCHDOG: Duration = Duration::from_hours(1);

/// Time beyond the wait for its database in which a new worker has to take jobs.
const START_MARGIN: Duration = Duration::from_mins(1);

/// More slots than any machine has; the sum of the first and the number of workers stays far from an overflow.
const HIGHEST_FIRST_SLOT: u32 = 1_000_000;

/// Run a fleet: several workers under a supervisor, with a health server.
///
/// A worker that dies is started again and its jobs go on. SIGTERM or SIGINT lets running jobs finish and hands the rest
/// back; a second one ends at once. SIGHUP replaces the workers one by one; SIGTTIN and SIGTTOU add and remove one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, flatten_help = false)]
pub(crate) struct FleetArgs {
    #[command(subcommand)]
    command: Option<FleetCommand>,
    #[command(flatten)]
    _supervision: FleetFlags,
    #[command(flatten)]
    _health: HealthFlags,
    #[command(flatten)]
    _web: WebFlags,
    #[command(flatten)]
    _queue: QueueFlags,
    #[command(flatten)]
    _work: WorkFlags,
    #[command(flatten)]
    _limits: LimitFlags,
    #[command(flatten)]
    _tables: TableFlags,
    #[command(flatten)]
    starter: StarterFlags,
}

/// Commands to a running fleet, and the processes that it consists of.
#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Change the number of workers of the running fleet
    Scale {
        /// How many workers it is to have
        workers: u32,
    },
    /// Replace the workers of the running fleet one by one, by the program and the configuration as they are now
    Reload,
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
    #[command(hide = true)]
    Health(health::HealthArgs),
    #[command(hide = true)]
    Web(web::FleetWebArgs),
}

impl FleetArgs {
    /// Returns whether this process computes, and so needs threads of its own for the async side.
    pub(crate) fn is_worker(&self) -> bool {
        matches!(self.command, Some(FleetCommand::Worker(_)))
    }

    /// Returns whether a supervisor started this process.
    pub(crate) fn is_child(&self) -> bool {
        matches!(
            self.command,
            Some(FleetCommand::Worker(_) | FleetCommand::Health(_) | FleetCommand::Web(_))
        )
    }

    /// Returns whether this is one of the processes of a fleet and not a command to it.
    pub(crate) fn is_service(&self) -> bool {
        !matches!(
            self.command,
            Some(FleetCommand::Scale { .. } | FleetCommand::Reload)
        )
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        match self.command {
            None => Box::pin(supervise(config, self.starter.starter_left())).await,
            Some(FleetCommand::Scale { workers }) => {
                check_workers(workers).map_err(Failed::usage)?;
                send_request(config, FleetRequest::Scale { workers }).await
            }
            Some(FleetCommand::Reload) => send_request(config, FleetRequest::Reload).await,
            Some(FleetCommand::Worker(worker)) => Box::pin(worker.run(config)).await,
            Some(FleetCommand::Health(health)) => health.run().await,
            Some(FleetCommand::Web(web)) => web.run(config).await,
        }
    }
}

/// Starts a fleet and looks after it until it is asked to stop, or `stop` completes.
async fn supervise(config: &Config, stop: impl Future<Output = &'static str>) -> anyhow::Result<Exit> {
    worker_startup::check(config)?;
    check(config)?;
    let mut signals = FleetSignals::listen()?;
    let Some(prepared) = signals.unless_stopped(Box::pin(prepare(config))).await else {
        info!(pid = std::process::id(), "stopped before anything was started");
        return Ok(Exit::Interrupted);
    };
    // The database is held until the last process of the fleet is gone.
    let (plan, lock, _kept) = prepared?;
    Ok(match supervisor::run(plan, lock, signals, stop).await? {
        FleetEnd::InOrder => Exit::Done,
        FleetEnd::AtOnce => Exit::Interrupted,
    })
}

/// Takes what a fleet needs: its directory, its address and its database.
async fn prepare(config: &Config) -> anyhow::Result<(FleetPlan, FleetLock, KeptRunning)> {
    let times = times(config)?;
    // Before the addresses: a second fleet here is told that one runs, and not that an address is in use.
    let lock = FleetLock::take(&supervisor::directory_in(&config.data_dir.value)?).await?;
    // Bound before anything is started, and by the one process that stays.
    let listener = match config.health_addr.value.unwrap_or(FLEET_HEALTH_ADDR) {
        ListenAddr::At(address) => Some(bind_soon(|| bind(address)).await?),
        ListenAddr::Off => None,
    };
    let web_listener = match web_access::address(config) {
        Some(address) => {
            // Refused here what the process would refuse, and the token is made by the one that stays.
            web_access::access(config, address)?;
            Some(web_access::bind(address).await?)
        }
        None => None,
    };
    let database = DatabaseAccess::join(config).await?;
    let queue = || QueueAddress {
        url: database.url().to_owned(),
        queue: config.queue.value.clone(),
    };
    let health = listener.map(|listener| {
        let program = health_program(config)?;
        let child = ServingChild::health(program, listener, queue(), times.intensity);
        child.context("preparing the health process")
    });
    let health = health.transpose()?;
    let web = web_listener.map(|listener| {
        let program = web_program(config, database.place())?;
        let child = ServingChild::web(program, listener, queue(), times.intensity);
        child.context("preparing the web process")
    });
    let web = web.transpose()?;
    announce(config, (health.as_ref(), web.as_ref()), &database);
    let kept = database.keep_keeper_running();
    let plan = FleetPlan {
        program: worker_program(config)?,
        worker_arguments: worker::arguments,
        private_database: kept.seen(),
        queue: config.queue.value.clone(),
        database: database.place().to_owned(),
        workers: config.workers.value,
        first_slot: config.first_slot.value,
        times,
        health,
        web,
    };
    Ok((plan, lock, kept))
}

fn announce(
    config: &Config,
    (health, web): (Option<&ServingChild>, Option<&ServingChild>),
    database: &DatabaseAccess,
) {
    info!(
        pid = std::process::id(),
        workers = config.workers.value,
        queue = config.queue.value,
        health = health.map(ServingChild::address),
        web = web.map(ServingChild::address),
        database = database.place(),
        "fleet starting"
    );
}

/// Refuses what no fleet can be made of.
fn check(config: &Config) -> anyhow::Result<()> {
    let workers = at_least_one(&config.workers)?;
    if workers > MOST_WORKERS {
        let way_out = format_args!("give at most {MOST_WORKERS}");
        return Err(config.workers.refused(way_out).into());
    }
    if config.first_slot.value > HIGHEST_FIRST_SLOT {
        let way_out = format_args!("give at most {HIGHEST_FIRST_SLOT}");
        return Err(config.first_slot.refused(way_out).into());
    }
    Ok(())
}

fn times(config: &Config) -> anyhow::Result<WorkerTimes> {
    let watchdog = config.watchdog.value.0;
    if !(Duration::from_secs(1)..=LONGEST_WATCHDOG).contains(&watchdog) {
        return Err(config.watchdog.refused("give 1s to 1h").into());
    }
    Ok(WorkerTimes {
        watchdog,
        grace: config.grace.value.0,
        start: config.wait_for_database.value.0.saturating_add(START_MARGIN),
        intensity: Intensity {
            max_restarts: config.max_restarts.value,
            window: a_pause(&config.restart_window)?,
        },
    })
}

/// Builds the program of the workers, with the settings that they do not find themselves.
///
/// Settings that the supervisor and the health process keep for good are given to the workers, too.
fn worker_program(config: &Config) -> anyhow::Result<Program> {
    let mut layer = config.surroundings.flags.layer.clone();
    layer.data_dir = Some(std::path::absolute(&config.data_dir.value).context("finding the data directory")?);
    layer.artifacts = Some(settled_place(config)?);
    layer.database_url.clone_from(&config.database_url.value);
    layer.queue = Some(config.queue.value.clone());
    layer.grace = Some(config.grace.value);
    layer.watchdog = Some(config.watchdog.value);
    let mut environment = environment_of(&layer);
    if let Some(file) = &config.surroundings.flags.file {
        environment.push((config::FILE.into(), file.into()));
    }
    program_with(Vec::new(), environment)
}

/// Returns the place of artifacts: one for all workers, whatever a file says later, and wherever each of them is.
fn settled_place(config: &Config) -> anyhow::Result<String> {
    let place = config.artifact_place()?;
    let directory = || place.directory.display().to_string();
    Ok(place.bucket.clone().unwrap_or_else(directory))
}

/// Builds the program of the health process, with all that it needs; it reads no file, so that a broken one does not end it.
fn health_program(config: &Config) -> anyhow::Result<Program> {
    let layer = Layer {
        log_format: Some(config.log_format.value),
        log_level: Some(config.log_level.value.clone()),
        ..Layer::default()
    };
    let mut environment = environment_of(&layer);
    // An empty file instead of the usual one, which would be read otherwise.
    environment.push((config::FILE.into(), "/dev/null".into()));
    program_with(health::arguments(), environment)
}

/// Builds the program of the web process, with all that it needs; it reads no file, as the health process.
fn web_program(config: &Config, place: &str) -> anyhow::Result<Program> {
    let absolute = |path: &PathBuf| std::path::absolute(path).context("finding a file");
    let layer = Layer {
        log_format: Some(config.log_format.value),
        log_level: Some(config.log_level.value.clone()),
        data_dir: Some(absolute(&config.data_dir.value)?),
        artifacts: Some(settled_place(config)?),
        queue: Some(config.queue.value.clone()),
        max_n: Some(config.max_n.value),
        job_memory: Some(config.job_memory.value),
        migrate: Some(config.migrate.value),
        web_host: config.web_host.value.clone(),
        token_file: config.token_file.value.as_ref().map(absolute).transpose()?,
        read_only: Some(config.read_only.value),
        ..Layer::default()
    };
    let mut environment = environment_of(&layer);
    environment.push((config::FILE.into(), "/dev/null".into()));
    program_with(web::arguments(place), environment)
}

fn program_with(arguments: Vec<String>, environment: Vec<(OsString, OsString)>) -> anyhow::Result<Program> {
    let path = this_process::path()?;
    Ok(Program {
        name: path.clone().into(),
        running: this_process::running().unwrap_or_else(|_| path.clone()),
        path,
        arguments,
        environment,
    })
}

fn environment_of(layer: &Layer) -> Vec<(OsString, OsString)> {
    let all = layer.to_environment().into_iter();
    all.map(|(name, value)| (name.into(), value)).collect()
}

/// Sends a request to the fleet of this data directory and prints its answer.
async fn send_request(config: &Config, request: FleetRequest) -> anyhow::Result<Exit> {
    let directory = supervisor::directory_in(&config.data_dir.value)?;
    match supervisor::ask(&directory, request).await? {
        Some(FleetAnswer::Done { message }) => output::line(message).map(|()| Exit::Done),
        Some(FleetAnswer::Refused { reason }) => bail!(reason),
        Some(FleetAnswer::Status { .. }) => bail!("the fleet answered something else"),
        None => Err(Failed::unreachable(format!(
            "no fleet runs in {}; start one with: abaci fleet",
            directory.display()
        ))
        .into()),
    }
}

/// Splits a line of arguments that hold no blanks.
fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
