//! `abaci completions`: a completion script for a shell.
//!
//! It offers what the help shows: not the commands by which our own processes start each other, and for a value that is
//! no path no names of files.

use clap::{Args, Command, ValueHint};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::output;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in
    shell: Shell,
}

impl CompletionsArgs {
    /// Prints the script for the command line that is `whole`.
    pub(crate) fn run(self, whole: Command) -> anyhow::Result<Exit> {
        // The names in the script are borrowed from it.
        let whole = Box::leak(Box::new(whole));
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut offered(whole), "abaci", &mut script);
        output::bytes(&script)?;
        Ok(Exit::Done)
    }
}

/// A command with what is to be offered of it.
fn offered(command: &'static Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let subcommands = command.get_subcommands().filter(|command| !command.is_hide_set());
    let mut offered = Command::new(command.get_name())
        .args(arguments.map(offered_argument))
        .subcommands(subcommands.map(self::offered));
    if let Some(about) = command.get_about() {
        offered = offered.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        offered = offered.version(version);
    }
    offered
}

/// An argument for whose value only a path is completed with what lies in a directory.
fn offered_argument(argument: &clap::Arg) -> clap::Arg {
    // Shells take a value without a hint for the name of a file.
    let argument = argument.clone();
    match argument.get_value_hint() {
        ValueHint::Unknown if argument.get_action().takes_values() => argument.value_hint(ValueHint::Other),
        _ => argument,
    }
}
