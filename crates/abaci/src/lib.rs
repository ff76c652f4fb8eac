//! abaci, a durable Fibonacci calculator: the program around [`durable_jobs`].
//!
//! [`run`] parses the arguments, settles the configuration (flag, then environment, then file, then default), starts
//! the log and hands over to one subcommand.
//! Data goes to stdout and talk to stderr; the exit codes are those of `exit::Exit`.
//!
//! Nothing outside of `config` reads the environment, but for the variables of systemd, which
//! [`worker_fleet::Notifier`] reads, those of colour, which the terminal libraries read, and `PATH`, which
//! `local_postgres` reads; and nothing in this crate speaks SQL.
//!
//! # Layout
//!
//! A file imports only from rows below its own.
//!
//! | module | has |
//! |---|---|
//! | `cli` | the command line, and the one line by which it is refused |
//! | `command` | one file or folder a subcommand |
//! | `wait` | waiting for jobs: results as they come, obstacles, timeouts, the summary |
//! | `selection` | the jobs that a command is about |
//! | `worker_startup` | one worker from its settings to ready, for `serve` and `fleet worker` |
//! | `web_access` | who may do what over HTTP: token, names, address |
//! | `database_access` | the database of a command, given or private |
//! | `flags`, `telemetry` | flags that several commands share; the log |
//! | `config` | all settings in one table, and their sources |
//! | `recorded` | the recorded outputs of jobs |
//! | `exit` | exit codes, and the one place that prints an error |
//! | `output` | stdout and stderr: tables, colours, JSON, nothing that steers a terminal |
//! | `bind_soon` | addresses that a killed process held |
//! | `clocks` | clocks that differ from the database's |
//! | `this_process` | program, name and host of this process |
//!
//! # Entry points
//!
//! | path | begins in |
//! |---|---|
//! | every command line | [`run`], then `command::Command::run` |
//! | submitting jobs and waiting for them | `command/submit/mod.rs`, then `wait::JobWait::until_all_ended` |
//! | one worker | `command/serve.rs`, then `worker_startup::start` |
//! | a fleet, one of its workers, its health process, its web process | `command/fleet/mod.rs`, `worker.rs`, `health.rs`, `web.rs` there |
//! | one heavy computation in a process of its own | `command/compute.rs` |
//! | a new setting | a row of `config/settings.rs` |
//! | a new subcommand | a file in `command/`, a variant of `command::Command` |

mod bind_soon;
mod cli;
mod clocks;
mod command;
mod config;
mod database_access;
mod exit;
mod flags;
mod output;
mod recorded;
mod selection;
mod telemetry;
mod this_process;
mod wait;
mod web_access;
mod worker_startup;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use tokio::runtime::Builder;

use cli::Cli;
pub use config::Environment;
use config::{Config, Flags};
use exit::Exit;
use telemetry::Audience;

/// Runs one command line and returns what the process ends with.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let outcome = match Cli::read(arguments) {
        Ok((cli, flags)) => execute(cli, flags, environment),
        Err(error) => cli::report(&error),
    };
    exit::conclude(outcome).into()
}

/// Warns of variables that have names like ours and are no settings.
///
/// They are no errors: a service of this name in Kubernetes sets some, and an older program may meet one of a newer's.
fn warn_of_unknown(environment: &Environment, audience: Audience) {
    for unknown in environment.unknown() {
        match audience {
            Audience::Operator => tracing::warn!(
                variable = unknown.variable,
                meant = unknown.meant,
                "a variable that is no setting is ignored"
            ),
            Audience::Person => output::talk(format_args!("abaci: {unknown}")),
        }
    }
}

fn execute(cli: Cli, flags: Flags, environment: &Environment) -> anyhow::Result<Exit> {
    // Before the configuration, the log and the runtime: a computing process has none of them.
    if let command::Command::Compute(compute) = &cli.command {
        return compute.run();
    }
    let config = match Config::resolve(flags, environment) {
        // Printed here, the supervisor would see an exit code and no reason.
        Err(error) if cli.command.is_fleet_worker() => return command::give_up(error),
        resolved => resolved?,
    };
    // Dropped last, so that the last line is written.
    let _log = telemetry::start(&config, cli.command.audience())?;
    if !cli.command.is_child() {
        warn_of_unknown(environment, cli.command.audience());
    }
    // No runtime for the keeper: all that it does is one blocking loop.
    if cli.command.is_keeper() {
        return command::keep(&config);
    }
    let mut runtime = if cli.command.is_single_threaded() {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    let runtime = runtime
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    // As a function: `command` may not import `cli`, and only completions need the whole command line.
    let outcome = runtime.block_on(cli.command.run(&config, Cli::command));
    // A computation that outlived its grace time must not hold the process back.
    runtime.shutdown_background();
    outcome
}
