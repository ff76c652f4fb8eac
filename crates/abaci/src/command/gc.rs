//! `abaci gc`: removes what nobody needs any more.

use std::time::Duration;

use abaci_engine::client::{GcMode, GcOptions, GcReport};
use clap::Args;

use crate::config::{Config, Period};
use crate::database::Access;
use crate::exit::Exit;
use crate::output::{self, Format};

/// Remove large values and states that no job refers to, and on request old jobs.
///
/// A job that succeeded refers to its value; any other one also to the states from which it can go on.
/// Only what lies in the place of large values (--artifacts) under the name of this database is looked at.
#[derive(Debug, Args)]
pub struct Gc {
    /// Delete the jobs that ended longer ago as well, with their values; also parked ones, which cannot be resumed then
    #[arg(long, value_name = "TIME")]
    keep: Option<Period>,
    /// Let alone what was written more recently, since a running step may not have recorded it yet
    #[arg(long, value_name = "TIME", default_value_t = Period(Duration::from_hours(1)))]
    min_age: Period,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let mode = if self.dry_run {
            GcMode::Report
        } else {
            GcMode::Delete
        };
        let options = GcOptions {
            keep_jobs: self.keep.map(|period| period.0),
            min_age: self.min_age.0,
            mode,
        };
        let place = config.artifact_place()?;
        let (_access, client) = Access::connect(config).await?;
        let report = client.collect_garbage(&place, options).await;
        client.close().await;
        let report = report?;
        match Format::of_flag(self.json) {
            Format::Json => output::json(&report)?,
            Format::Human => print(&report, mode)?,
        }
        Ok(Exit::Done)
    }
}

fn print(report: &GcReport, mode: GcMode) -> anyhow::Result<()> {
    let done = match mode {
        GcMode::Report => "would remove",
        GcMode::Delete => "removed",
    };
    for artifact in &report.artifacts {
        output::line(format_args!(
            "{done} {} ({})",
            artifact.uri,
            output::size(artifact.bytes)
        ))?;
    }
    output::talk(format_args!(
        "{done} {} and {} ({})",
        counted(report.jobs, "job"),
        counted(report.artifacts.len() as u64, "artifact"),
        output::size(report.bytes)
    ));
    Ok(())
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
