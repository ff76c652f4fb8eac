//! `abaci show`: one job with its outcome and its steps.

use abaci_engine::record::{JobDetail, StepRecord};
use abaci_engine::{JobId, JobResult, artifact};
use anyhow::Context;
use clap::Args;

use crate::config::Config;
use crate::database::{Access, on_blocking_thread};
use crate::exit::Exit;
use crate::output::{self, Format, Table};

/// Show one job with its steps.
#[derive(Debug, Args)]
pub struct Show {
    /// Id of the job
    #[arg(value_name = "ID")]
    id: String,
    /// Print one JSON object
    #[arg(long, conflicts_with = "value")]
    json: bool,
    /// Print the value with all its digits, and nothing else
    #[arg(long)]
    value: bool,
}

impl Show {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let (_access, client) = Access::connect(config).await?;
        let detail = client.show(&JobId::new(self.id)).await;
        client.close().await;
        let detail = detail?;
        if self.value {
            return print_value(detail).await;
        }
        match Format::of_flag(self.json) {
            Format::Json => output::json(&detail)?,
            Format::Human => print_detail(&detail)?,
        }
        Ok(Exit::Done)
    }
}

async fn print_value(detail: JobDetail) -> anyhow::Result<Exit> {
    let Some(result) = detail.result else {
        output::error(format_args!(
            "job {} has no value: it is {}",
            detail.job.workflow_id, detail.job.state
        ));
        return Ok(Exit::No);
    };
    output::line(on_blocking_thread(move || all_digits(&result)).await??)?;
    Ok(Exit::Done)
}

/// The digits of a result, wherever they are kept, checked against the certificate.
fn all_digits(result: &JobResult) -> anyhow::Result<String> {
    let digits = match (&result.value, &result.artifact) {
        (Some(value), _) => value.clone(),
        (None, Some(record)) => artifact::read(record)?,
        (None, None) => anyhow::bail!("the result has neither a value nor an artifact"),
    };
    result.verify_digits(&digits).context("checking the value")?;
    Ok(digits)
}

fn print_detail(detail: &JobDetail) -> anyhow::Result<()> {
    let job = &detail.job;
    let field = |name: &str, value: Option<String>| match value {
        Some(value) => output::line(format_args!("{name:<12} {value}")),
        None => Ok(()),
    };
    field("job", Some(job.workflow_id.to_string()))?;
    field("state", Some(job.state.to_string()))?;
    field("n", job.n.map(|n| n.to_string()))?;
    field("algorithm", job.algorithm.map(|algorithm| algorithm.to_string()))?;
    field("queue", job.queue.clone())?;
    field("worker", job.executor_id.clone())?;
    field("attempts", Some(job.attempts.to_string()))?;
    field("submitted", Some(output::time(job.created_at_ms)))?;
    field("started", job.started_at_ms.map(output::time))?;
    field("completed", job.completed_at_ms.map(output::time))?;
    field(
        "error",
        detail
            .error
            .as_ref()
            .map(|failure| format!("{}: {failure}", failure.name)),
    )?;
    if let Some(result) = &detail.result {
        field("value", Some(output::digits_of(result)))?;
        field("computed in", Some(output::seconds(result.seconds)))?;
        field("process", Some(result.pid.to_string()))?;
        field(
            "artifact",
            result.artifact.as_ref().map(|artifact| artifact.uri.clone()),
        )?;
        field("BLAKE3", Some(result.certificate.blake3.clone()))?;
    }
    print_steps(&detail.steps)
}

fn print_steps(steps: &[StepRecord]) -> anyhow::Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["STEP", "NAME", "STARTED", "TOOK", "ERROR"]);
    // A workflow may have thousands of steps of one name; their ends say enough, and --json has them all.
    for alike in steps.chunk_by(|a, b| a.name == b.name && a.error.is_none() && b.error.is_none()) {
        match alike {
            [only] => table.row(row(only.id.to_string(), only, only)),
            [first, .., last] => table.row(row(format!("{}–{}", first.id, last.id), first, last)),
            [] => {}
        }
    }
    output::line("")?;
    table.print()
}

/// One line for the steps from `first` to `last`; what it took is by the clocks of their workers.
fn row(number: String, first: &StepRecord, last: &StepRecord) -> [String; 5] {
    let unknown = || "-".to_owned();
    let took = last.completed_at_ms.zip(first.started_at_ms);
    [
        number,
        first.name.clone(),
        first.started_at_ms.map_or_else(unknown, output::time),
        took.map_or_else(unknown, |(end, start)| format!("{} ms", end - start)),
        first.error.clone().unwrap_or_default(),
    ]
}
