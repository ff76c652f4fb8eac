//! `abaci gc`: removes what nobody needs any more.

use std::time::Duration;

use abaci_lab::{Leftover, Removal, remove_leftovers};
use anyhow::Context;
use clap::Args;
use durable_jobs::client::{BulkAction, GcMode, GcOptions, GcReport};
use durable_jobs::{Client, JobId, State};
use serde::Serialize;

use crate::config::{Config, Period};
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::output::{self, Format, counted};
use crate::selection::{Change, ChangeReport, ConsentFlags, JobsArgs, Left, Named, SelectedQueueFlag};

/// A deletion of jobs.
fn deletion(format: Format) -> Change {
    Change {
        action: BulkAction::Delete,
        left,
        named: match format {
            Format::Human => Named::Each,
            // The report is one object, which counts them.
            Format::Json => Named::Nobody,
        },
    }
}

/// Remove large values and states that no job refers to, and on request old jobs.
///
/// A job that succeeded refers to its value; any other one also to the states from which it can go on.
/// Only what lies in the place of large values (--artifacts) under the name of this database is looked at.
/// What killed runs of `abaci lab` have left in the database goes too, whatever its age.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Delete the jobs that ended longer ago as well, with their values; also parked ones, which cannot be resumed then
    #[arg(long, value_name = "TIME")]
    keep: Option<Period>,
    /// Let alone what was written more recently, since a running step may not have recorded it yet
    #[arg(long, value_name = "TIME", default_value_t = Period(Duration::from_hours(1)))]
    min_age: Period,
    /// Delete these jobs as well, which have ended: by their ids, or by --batch, --tag, --state and the like
    #[arg(long, conflicts_with = "keep")]
    jobs: bool,
    #[command(flatten)]
    selected: JobsArgs,
    #[command(flatten)]
    on: SelectedQueueFlag,
    #[command(flatten)]
    consent: ConsentFlags,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Holds what was removed, or would be.
#[derive(Debug, Serialize)]
struct Removed {
    #[serde(flatten)]
    garbage: GcReport,
    lab_schemas: Vec<Leftover>,
}

impl GcArgs {
    pub(crate) async fn run(mut self, config: &Config) -> anyhow::Result<Exit> {
        self.selected = self.selected.read()?;
        if !self.jobs && (self.selected.are_given() || self.on.queue.is_some()) {
            return Err(Failed::usage("add --jobs to delete the jobs that are selected").into());
        }
        let (mode, removal) = if self.consent.is_dry_run() {
            (GcMode::Report, Removal::Report)
        } else {
            (GcMode::Delete, Removal::Drop)
        };
        let options = GcOptions {
            keep_jobs: self.keep.map(|period| period.0),
            min_age: self.min_age.0,
            mode,
        };
        // Before the database is opened: a place that makes no sense is a refusal without a change.
        let place = config.artifact_place()?;
        let (access, client) = DatabaseAccess::connect_to_write(config).await?;
        if config.database_url.value.is_none() && config.artifacts.value.is_none() {
            // Both are in the data directory; without a worker that stored anything, one of them is not there yet.
            std::fs::create_dir_all(&place.directory).context("making the directory of large values")?;
        }
        let deleted = if self.jobs {
            self.delete(&client).await?
        } else {
            ChangeReport::default()
        };
        // Where the jobs were not agreed to, or none could be deleted, nothing else goes either.
        if self.jobs && mode == GcMode::Delete && deleted.jobs == 0 {
            client.close().await;
            return Ok(deleted.exit);
        }
        let report = client.collect_garbage(&place, options).await;
        client.close().await;
        // Last, so that a schema which cannot be dropped keeps no garbage.
        let (lab_schemas, failure) = match remove_leftovers(access.url(), removal).await {
            Ok(schemas) => (schemas, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut removed = Removed {
            garbage: report?,
            lab_schemas,
        };
        removed.garbage.jobs += deleted.jobs;
        match Format::of_flag(self.json) {
            Format::Json => output::json(&removed)?,
            Format::Human => print(&removed, mode)?,
        }
        failure.map_or(Ok(deleted.exit), Err)
    }

    /// Deletes the jobs that are selected.
    async fn delete(&self, client: &Client) -> anyhow::Result<ChangeReport> {
        let deletion = deletion(Format::of_flag(self.json));
        let queue = self.on.queue.clone();
        deletion.run(client, &self.selected, queue, &self.consent).await
    }
}

fn left(id: &JobId, state: State) -> Left {
    Left::Refused(if state.is_final() {
        format!("job {id} is of another application")
    } else {
        format!("job {id} is {state}; cancel it first")
    })
}

fn print(removed: &Removed, mode: GcMode) -> anyhow::Result<()> {
    let done = match mode {
        GcMode::Report => "would remove",
        GcMode::Delete => "removed",
    };
    let Removed { garbage, lab_schemas } = removed;
    for artifact in &garbage.artifacts {
        let size = output::size(artifact.bytes);
        output::line(format_args!("{done} {} ({size})", artifact.uri))?;
    }
    for Leftover { schema, bytes } in lab_schemas {
        output::line(format_args!("{done} schema {schema} ({})", output::size(*bytes)))?;
    }
    let mut summary = format!(
        "{done} {} and {} ({})",
        counted(garbage.jobs, "job"),
        counted(garbage.artifacts.len() as u64, "artifact"),
        output::size(garbage.bytes)
    );
    if !lab_schemas.is_empty() {
        let count = counted(lab_schemas.len() as u64, "schema");
        summary = format!("{summary}, and {count} of killed runs of the laboratory");
    }
    output::talk(summary);
    Ok(())
}
