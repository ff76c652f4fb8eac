//! abaci, a durable Fibonacci calculator: the product around [`durable_jobs`].
//!
//! [`run`] parses the arguments, settles the configuration (flag, then environment, then file, then default), starts
//! the log and hands over to one subcommand.
//! What goes to stdout is data and what goes to stderr is talk; the exit codes are those of [`exit::Exit`].
//!
//! Nothing outside of [`config`] reads the environment, but for what systemd says to [`worker_fleet::Notifier`]; and nothing in this
//! crate speaks SQL.

pub mod cli;
mod clocks;
pub mod command;
pub mod config;
pub mod database;
pub mod exit;
mod follow;
mod output;
mod program;
mod telemetry;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Builder;

use cli::Cli;
use config::{Config, Environment};
use exit::Exit;
use telemetry::Audience;
use worker_fleet::health::Application;

/// This program, as it answers questions about health.
const APPLICATION: Application = Application {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
};

/// Runs one command line and returns what the process ends with.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(cli) => execute(cli, environment),
        Err(error) => cli::report(&error),
    };
    exit::conclude(outcome).into()
}

/// Says which variables are called as ours are and mean nothing.
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

fn execute(cli: Cli, environment: &Environment) -> anyhow::Result<Exit> {
    if let command::Command::Compute(compute) = &cli.command {
        return compute.run();
    }
    let config = match Config::resolve(cli.flags(), environment) {
        Err(error) if cli.command.is_fleet_worker() => return command::fleet::give_up(error),
        resolved => resolved?,
    };
    // Dropped last, so that the last line is written.
    let _log = telemetry::start(&config, cli.command.audience())?;
    if !cli.command.is_child() {
        warn_of_unknown(environment, cli.command.audience());
    }
    if cli.command.is_keeper() {
        return command::db::keep(&config);
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
    let outcome = runtime.block_on(cli.command.run(&config));
    // A computation that outlived its grace time must not hold the process back.
    runtime.shutdown_background();
    outcome
}
