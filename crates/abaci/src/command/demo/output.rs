//! The lines of the demo, of at most 80 columns.

use std::fmt::Display;
use std::time::Duration;

use durable_jobs::{Failure, JobId};
use fibonacci_jobs::{JobResult, Request};
use worker_fleet::snapshot::Snapshot;

use super::crash::Crash;
use super::sandbox::DemoSandbox;
use crate::output::{self, Paint};
use crate::wait::Tally;

/// The recovery of the job that was cut off.
pub(super) struct Recovery {
    /// The process that computed it: the killed one, if it had recorded the value before it died.
    pub(super) computed_by: u32,
    /// Number of starts of the job.
    pub(super) attempts: u32,
    /// The work that was thrown away and the time until it was taken up again.
    pub(super) lost: Duration,
}

pub(super) const KILLED_BY_US: &str =
    "A worker is killed in the middle of a job. Every result still comes, exact.";

pub(super) const KILLED_BY_YOU: &str =
    "Kill workers in the middle of their jobs. Every result still comes, exact.";

pub(super) fn opening(sandbox: &DemoSandbox, what: &str) -> anyhow::Result<()> {
    output::line("abaci demo".bold())?;
    output::line(what)?;
    output::line("")?;
    event(
        "database",
        format_args!("private PostgreSQL in {}", sandbox.directory.display()),
    )
}

pub(super) fn fleet_started(supervisor: u32, snapshot: &Snapshot) -> anyhow::Result<()> {
    event(
        "fleet",
        format_args!("process {supervisor} looks after the others and computes nothing"),
    )?;
    if let Some(health) = &snapshot.health {
        let pid = health.pid.unwrap_or_default();
        event(
            "health",
            format_args!("process {pid} answers on http://{}/health", health.address),
        )?;
    }
    for worker in &snapshot.workers {
        let pid = worker.pid.unwrap_or_default();
        event("worker", format_args!("process {pid} takes jobs, one at a time"))?;
    }
    Ok(())
}

pub(super) fn submitted(jobs: &[(JobId, Request)]) -> anyhow::Result<()> {
    let indices: Vec<String> = jobs.iter().map(|(_, request)| request.n.to_string()).collect();
    event(
        "submitted",
        format_args!("{} jobs by naive recursion: {}", jobs.len(), indices.join(" ")),
    )?;
    output::line("")
}

pub(super) fn page(url: &str, is_opened: bool) -> anyhow::Result<()> {
    output::line("")?;
    output::line(if is_opened {
        "It is open in your browser. If it is not, open this address, which works once:"
    } else {
        "Open this address in a browser; it works once:"
    })?;
    output::line(format_args!("  {}", url.bold()))?;
    output::line("")?;
    output::line(format_args!(
        "Then press {} at a worker that is busy, and open its job to see what becomes of it.",
        "kill -9".red().bold()
    ))?;
    output::line("Ctrl-C ends it all and leaves nothing.")
}

pub(super) fn result(result: &JobResult) -> anyhow::Result<()> {
    let value = format!("F({}) = {}", result.n, output::digits_of(result));
    let again = if result.attempts > 1 {
        format!("   attempt {}", result.attempts)
    } else {
        String::new()
    };
    let took = output::seconds(result.seconds);
    output::line(format_args!(
        "  {}  {took:>9}   process {}{}",
        format!("{value:<24}").green(),
        result.pid,
        again.yellow()
    ))
}

pub(super) fn failure(id: &JobId, failure: &Failure) -> anyhow::Result<()> {
    output::line(format_args!("  {} {failure}  job {id}", "failed:".red()))
}

pub(super) fn crashed(crash: &Crash) -> anyhow::Result<()> {
    output::line("")?;
    event(
        &"SIGKILL".red().bold().to_string(),
        format_args!(
            "process {} is dead, {} into F({})",
            crash.pid,
            span(crash.ran_for),
            crash.n
        ),
    )
}

pub(super) fn replaced(pid: u32, after: Duration) -> anyhow::Result<()> {
    event(
        "worker",
        format_args!("process {pid} takes its place, {} later", span(after)),
    )?;
    output::line("")
}

pub(super) fn ending(
    tally: &Tally,
    crash: Option<&Crash>,
    recovery: Option<&Recovery>,
) -> anyhow::Result<()> {
    output::line("")?;
    output::line(format_args!("  {}", tally.totals()))?;
    if !tally.has_failures() {
        output::line("  Each value agrees with its certificate (residues modulo three primes, digit")?;
        output::line("  count, BLAKE3) and with F(n) computed here by fast doubling.")?;
    }
    output::line("")?;
    match (crash, recovery) {
        (Some(crash), Some(recovery)) => survived(crash, recovery),
        (Some(crash), None) => output::line(format_args!(
            "Process {} was killed {} into F({}), and that job failed; see above.",
            crash.pid,
            span(crash.ran_for),
            crash.n
        )),
        (None, _) => {
            output::line("The jobs were done before one could be caught running; nothing was killed.")
        }
    }
}

/// The one sentence that the demo is for.
fn survived(crash: &Crash, recovery: &Recovery) -> anyhow::Result<()> {
    let Recovery {
        computed_by,
        attempts,
        lost,
    } = recovery;
    output::line(format_args!(
        "{} process {} was killed {} into F({}).",
        "Survived:".bold(),
        crash.pid,
        span(crash.ran_for),
        crash.n
    ))?;
    if *computed_by == crash.pid {
        output::line("Its value was recorded in that very moment, so nobody had to compute it again.")?;
    } else {
        output::line(format_args!(
            "Process {computed_by} found the job in the database and finished it on attempt {attempts}."
        ))?;
    }
    output::line(format_args!(
        "The crash cost {}, no job and no digit.",
        span(*lost)
    ))
}

fn event(who: &str, what: impl Display) -> anyhow::Result<()> {
    output::line(format_args!("  {}  {what}", padded(who)))
}

/// Pads a word to a column, whatever colour it has.
fn padded(who: &str) -> String {
    const COLUMN: usize = 9;
    let shown = output::unpainted(who).chars().count();
    format!("{who}{}", " ".repeat(COLUMN.saturating_sub(shown)))
}

fn span(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
