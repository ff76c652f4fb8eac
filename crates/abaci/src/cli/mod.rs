//! The command line: what can be said, and how it is refused.
//!
//! Flags only carry text into [`Layer`]; precedence is [`crate::config`]'s and meaning is the commands'.
//! The environment variable of a flag is named in its help and read in [`crate::config`], so that `config show` can tell
//! where a value came from.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

mod choice;
mod flags;

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, ValueHint};

pub(crate) use choice::one_of;
pub use flags::{
    FleetFlags, HealthFlags, LimitFlags, PatienceFlags, QueueFlags, ReadinessFlags, StarterFlags, TableFlags,
    WorkFlags,
};

use crate::command::Command;
use crate::config::{Flags, Layer, LogFormat};
use crate::exit::{Exit, Failed};
use crate::output::visible;

/// Durable Fibonacci numbers: a job that was accepted is finished with the exact value, whatever dies meanwhile.
#[derive(Debug, Parser)]
#[command(name = "abaci", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 a job failed or the answer is no, 2 usage or configuration,\n\
    3 database or server unreachable, 130 interrupted.\n\n\
    Start here: abaci demo"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Database to use instead of the private one [env: ABACI_DATABASE_URL]
    #[arg(long, value_name = "URL", global = true)]
    database_url: Option<String>,
    /// Directory of the private database, of large values and of a fleet's lock and socket [env: ABACI_DATA_DIR]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    data_dir: Option<PathBuf>,
    /// Directory or bucket (s3://bucket/prefix) of large values [env: ABACI_ARTIFACTS] [default: in the data directory]
    #[arg(long, value_name = "PLACE", global = true)]
    artifacts: Option<String>,
    /// Directory of PostgreSQL's programs [env: ABACI_PG_BIN] [default: searched for]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    pg_bin: Option<PathBuf>,
    /// Configuration file [env: ABACI_CONFIG] [default: ~/.config/abaci/config.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    config: Option<PathBuf>,
    /// Form of the log lines on stderr [env: ABACI_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<LogFormat>,
    /// Level or filter of the log lines [env: ABACI_LOG] [default: info for servers, else warn]
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
}

impl Cli {
    /// What the command line says about the configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let mut layer = Layer {
            database_url: self.global.database_url.clone(),
            data_dir: self.global.data_dir.clone(),
            artifacts: self.global.artifacts.clone(),
            pg_bin: self.global.pg_bin.clone(),
            log_format: self.global.log_format,
            log_level: self.global.log_level.clone(),
            ..Layer::default()
        };
        self.command.fill(&mut layer);
        Flags {
            file: self.global.config.clone(),
            layer,
        }
    }
}

/// Prints what was asked for (help, version), or turns the refusal into one line.
///
/// # Errors
/// A usage error, unless help or the version was asked for.
pub fn report(error: &clap::Error) -> anyhow::Result<Exit> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            error.print()?;
            Ok(Exit::Done)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.print()?;
            Ok(Exit::Usage)
        }
        _ => Err(Failed::usage(one_line(&shown(error))).into()),
    }
}

/// Renders an error with what it refuses as it was given: the parser leaves out what it takes for colours.
fn shown(error: &clap::Error) -> String {
    let kinds = [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
    ];
    let mut rendered = error.to_string();
    for given in kinds.into_iter().filter_map(|kind| error.get(kind)) {
        let ContextValue::String(given) = given else {
            continue;
        };
        let stripped = anstream::adapter::strip_str(given).to_string();
        rendered = rendered.replacen(&format!("'{stripped}'"), &format!("'{}'", visible(given)), 1);
    }
    rendered
}

/// Keeps the message and the tip of a refusal, and drops the usage, which `--help` shows.
fn one_line(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n").map(|paragraph| {
        paragraph
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    });
    let kept: Vec<String> = paragraphs
        .take_while(|paragraph| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more"))
        .map(|paragraph| {
            paragraph
                .trim_start_matches("error: ")
                .trim_start_matches("tip: ")
                .to_owned()
        })
        .collect();
    format!("{}; see --help", kept.join("; "))
}
