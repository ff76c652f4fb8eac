//! The command line, and the one line by which it is refused.
//!
//! A flag of a setting only passes its value to [`crate::config`], which settles precedence and variables; the commands
//! interpret the values.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueHint};

use crate::command::Command;
use crate::config::Flags;
use crate::exit::{Exit, Failed};
use crate::flags::{LogFlags, PlaceFlags};
use crate::output::visible;

/// Durable Fibonacci numbers: a job that was accepted is finished with the exact value, whatever dies meanwhile.
#[derive(Debug, Parser)]
#[command(name = "abaci", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 a job failed or the answer is no, 2 usage or configuration,\n\
    3 database or server unreachable, 130 interrupted.\n\n\
    Start here: abaci demo"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    #[command(flatten)]
    _places: PlaceFlags,
    /// Configuration file [env: ABACI_CONFIG] [default: ~/.config/abaci/config.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    _log: LogFlags,
}

impl Cli {
    /// Parses a command line into its command and the settings that it gives.
    ///
    /// # Errors
    /// A refusal, or the help or the version where one was asked for, for [`report`].
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<(Self, Flags), clap::Error> {
        let mut command = Self::command();
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let matches = command.try_get_matches_from_mut(&arguments);
        let matches = matches.map_err(|error| match negative_value(&error, &command, &arguments) {
            Some(message) => command.error(ErrorKind::InvalidValue, message),
            None => error,
        })?;
        // An error of this stage does not know its command, which it is rendered by.
        let cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let flags = Flags::new(cli.global.config.clone(), &matches);
        Ok((cli, flags))
    }
}

/// Prints what was asked for (help, version), or turns the refusal into one line.
///
/// # Errors
/// A usage error, unless help or the version was asked for.
pub(crate) fn report(error: &clap::Error) -> anyhow::Result<Exit> {
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

/// Explains a negative value such as `-1s`, which the parser takes for flags.
fn negative_value(error: &clap::Error, command: &clap::Command, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    // The sign is one byte, so the index behind it is within the text.
    let is_number = |text: &str| text.starts_with('-') && text[1..].starts_with(|c: char| c.is_ascii_digit());
    if error.kind() != ErrorKind::UnknownArgument || !is_number(unknown) {
        return None;
    }
    // In one argument with its flag, `--flag=-1`, a value is never taken for a flag.
    let pairs = arguments
        .windows(2)
        .filter_map(|pair| Some((pair[0].to_str()?, pair[1].to_str()?)));
    let mut values =
        pairs.filter(|(flag, value)| value.starts_with(unknown.as_str()) && takes_value(command, flag));
    let (flag, value) = values.next()?;
    let value = visible(value);
    Some(format!(
        "invalid value '{value}' for '{flag}': it cannot be negative"
    ))
}

/// Tests whether some command has this flag, with a value.
fn takes_value(command: &clap::Command, flag: &str) -> bool {
    let is_it = |arg: &clap::Arg| {
        arg.get_long()
            .is_some_and(|long| flag.strip_prefix("--") == Some(long))
            && arg.get_action().takes_values()
    };
    command.get_arguments().any(is_it)
        || command
            .get_subcommands()
            .any(|command| takes_value(command, flag))
}

/// Renders an error with what it refuses as it was given: the parser leaves out what it takes for colours.
fn shown(error: &clap::Error) -> String {
    let kinds = [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
    ];
    // The words of the standard library for a sign and for letters alike.
    let mut rendered = error
        .to_string()
        .replace("invalid digit found in string", "not a whole number from 0 on");
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
