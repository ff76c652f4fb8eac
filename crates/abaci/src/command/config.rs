//! `abaci config`: every setting with its value and where it came from.

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{self, Format, Table};

/// Subcommands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting with its value and where it came from; passwords are left out
    Show(ShowConfigArgs),
}

/// Show every setting with its value and where it came from; passwords are left out.
#[derive(Debug, Args)]
pub(crate) struct ShowConfigArgs {
    /// Print one JSON object per setting
    #[arg(long)]
    json: bool,
}

impl ConfigCommand {
    pub(crate) fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let Self::Show(show) = self;
        match Format::of_flag(show.json) {
            Format::Json => config.entries().iter().try_for_each(output::json)?,
            Format::Human => print_table(config)?,
        }
        Ok(Exit::Done)
    }
}

fn print_table(config: &Config) -> anyhow::Result<()> {
    let mut table = Table::new(["SETTING", "VALUE", "SOURCE"]);
    for entry in config.entries() {
        let value = entry.value.unwrap_or_else(|| "-".to_owned());
        table.row([entry.key.to_owned(), value, entry.source]);
    }
    table.print()
}
