//! `abaci db`: the private database by hand.
//!
//! No command owns the server: it runs while anyone uses it and a few seconds longer. So `start` holds it for as long as
//! it runs itself, and `stop` refuses while somebody else does.

use std::process::{Command as Process, ExitStatus};

use anyhow::Context;
use clap::{Args, Subcommand};
use local_postgres::{Force, Programs, Status, Stopped};
use rustix::process::{Pid, Signal, kill_process};
use worker_fleet::signals::Signals;

use crate::config::{Config, without_password};
use crate::database_access::{DatabaseAccess, keeper_settings, on_blocking_thread};
use crate::exit::{Exit, Failed};
use crate::output;

/// Subcommands about the private database.
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Hold the private database for programs of your own, until Ctrl-C
    ///
    /// No command of abaci needs this: each starts the private database by itself, which ends some seconds after its last
    /// user. This one is a user that does nothing else. It prints the URL, for whatever is to connect there meanwhile, and
    /// stays in the foreground; in a script: abaci db start & and later kill $!.
    Start,
    /// Stop the private database now, if nobody uses it
    ///
    /// It ends by itself some seconds after its last user. Servers, fleets and db start bring it back when it is stopped by
    /// force.
    Stop(StopArgs),
    /// Say whether the private database runs; exit 1 if it does not
    Status,
    /// Print the URL of the database, and start it if it is the private one
    Url,
    /// Open psql on the database
    Psql(PsqlArgs),
    /// Run the private database while somebody uses it
    #[command(hide = true)]
    Keep,
}

/// Stop the private database.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Stop it even while other processes use it; their connections break
    #[arg(long)]
    force: bool,
}

/// Open psql on the database.
#[derive(Debug, Args)]
pub(crate) struct PsqlArgs {
    /// Arguments for psql, such as -c 'select 1'
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl DbCommand {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        match self {
            Self::Start => start(config).await,
            Self::Stop(stop) => stop.run(config).await,
            Self::Status => status(config).await,
            Self::Url => url(config).await,
            Self::Psql(psql) => psql.run(config).await,
            Self::Keep => keep(config),
        }
    }
}

/// Runs the private database while somebody uses it: the body of the keeper process.
///
/// # Errors
/// Explains why the server does not start; the line goes to the server's log.
pub(crate) fn keep(config: &Config) -> anyhow::Result<Exit> {
    local_postgres::keep(&keeper_settings(config))?;
    Ok(Exit::Done)
}

async fn start(config: &Config) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let private = private(config);
    let Some(opened) = signals.unless_any(DatabaseAccess::open(&private)).await else {
        return Ok(Exit::Interrupted);
    };
    let access = opened?;
    let _kept = access.keep_running();
    output::line(access.url())?;
    output::talk("held until Ctrl-C for whoever connects there; commands of abaci start it by themselves");
    signals.next().await;
    Ok(Exit::Done)
}

impl StopArgs {
    async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let force = if self.force { Force::Yes } else { Force::No };
        let data_dir = config.postgres_dir();
        let stopped = on_blocking_thread(move || local_postgres::stop(&data_dir, force)).await?;
        let stopped = stopped.map_err(refusal)?;
        output::line(match stopped {
            Stopped::WasRunning => "stopped",
            Stopped::WasNotRunning => "was not running",
        })?;
        Ok(Exit::Done)
    }
}

/// Puts a refused stop into words of this command.
fn refusal(error: local_postgres::Error) -> anyhow::Error {
    let local_postgres::Error::InUse { data_dir } = &error else {
        return error.into();
    };
    let message = format!(
        "the private database in {} is in use; end what uses it, such as a server or db start, or: abaci db stop --force",
        data_dir.display()
    );
    Failed::no(message).into()
}

async fn status(config: &Config) -> anyhow::Result<Exit> {
    let data_dir = config.postgres_dir();
    let status = on_blocking_thread(move || local_postgres::status(&data_dir)).await??;
    let place = config.postgres_dir();
    let Status::Running(running) = status else {
        let word = if status == Status::NotCreated {
            "not made yet"
        } else {
            "stopped"
        };
        output::line(format_args!("{word}, in {}", place.display()))?;
        return Ok(Exit::No);
    };
    let keeper = running
        .keeper_pid
        .map_or_else(|| "no keeper".to_owned(), |pid| format!("keeper {pid}"));
    let users = if running.has_users { "in use" } else { "unused" };
    output::line(format_args!(
        "running, process {}, {keeper}, {users}, in {}",
        running.pid,
        place.display()
    ))?;
    Ok(Exit::Done)
}

async fn url(config: &Config) -> anyhow::Result<Exit> {
    let access = DatabaseAccess::open(config).await?;
    output::line(access.url())?;
    Ok(Exit::Done)
}

impl PsqlArgs {
    /// The password goes through the environment: arguments can be read by everyone on the machine.
    async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let access = DatabaseAccess::open(config).await?;
        let programs = Programs::find(config.pg_bin.value.as_deref())?;
        let unreadable = || Failed::usage("the database URL cannot be read");
        let (url, password) = without_password(access.url(), "").ok_or_else(unreadable)?;
        let mut psql = Process::new(programs.dir().join("psql"));
        psql.arg("--dbname").arg(url).args(self.arguments);
        if let Some(password) = password {
            psql.env("PGPASSWORD", password);
        }
        let status = run_psql(psql).await?;
        // Without a code, psql was ended by a signal.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(Exit::Interrupted, Exit::Passed))
    }
}

/// Runs psql to its end. Ctrl-C at the terminal is for psql, which gives up a query by it; any other signal ends it.
///
/// Ended before it, this process would leave it beside the shell, and a private database would end under it.
async fn run_psql(psql: Process) -> anyhow::Result<ExitStatus> {
    let mut signals = Signals::listen()?;
    let mut psql = tokio::process::Command::from(psql)
        .spawn()
        .context("running psql")?;
    loop {
        tokio::select! {
            status = psql.wait() => return status.context("running psql"),
            signal = signals.next() => {
                let pid = psql.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
                if let Some(pid) = pid.filter(|_| signal != "SIGINT") {
                    // One that has just ended needs no signal.
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
        }
    }
}

/// The same configuration, with the private database whatever other one is set.
fn private(config: &Config) -> Config {
    let mut config = config.clone();
    config.database_url.value = None;
    config
}
