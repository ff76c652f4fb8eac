//! The lines of `abaci show`.

use durable_jobs::record::{Attempt, Label, StepRecord};

use super::Look;
use crate::output::{self, Table};
use crate::recorded::fibonacci_result;
use crate::wait::why;

/// Everything that is known, line by line.
pub(super) fn lines(look: &Look) -> Vec<String> {
    let (detail, job) = (&look.detail, &look.detail.job);
    let failure = detail.error.as_ref();
    let fields = [
        ("job", Some(job.workflow_id.to_string())),
        ("state", Some(job.state.to_string())),
        ("type", Some(job.workflow.clone())),
        ("progress", progress(look)),
        ("waits", waits(look)),
        ("n", output::detail(&job.details, "n")),
        ("algorithm", output::detail(&job.details, "algorithm")),
        ("queue", job.queue.clone()),
        ("worker", job.executor_id.clone()),
        ("batch", job.batch.as_ref().map(ToString::to_string)),
        ("tags", tags(&job.tags)),
        ("priority", (job.priority > 0).then(|| job.priority.to_string())),
        ("delayed until", job.delayed_until_ms.map(output::time)),
        ("attempts", Some(job.attempts.to_string())),
        ("submitted", Some(output::time(job.created_at_ms))),
        ("started", job.started_at_ms.map(output::time)),
        ("completed", job.completed_at_ms.map(output::time)),
        (
            "error",
            failure.map(|failure| format!("{}: {failure}", failure.name)),
        ),
    ];
    let mut lines: Vec<String> = fields.into_iter().filter_map(field).collect();
    lines.extend(result_lines(look));
    lines.extend(attempt_lines(&look.attempt_history));
    lines.extend(step_lines(&detail.steps));
    lines
}

/// Writes the changing facts of a job in one line.
pub(super) fn line(look: &Look) -> String {
    let state = look.detail.job.state;
    match progress(look).or_else(|| waits(look)) {
        Some(said) => format!("{state:<9} {said}"),
        None => state.to_string(),
    }
}

fn progress(look: &Look) -> Option<String> {
    let job = look.progress.as_ref()?;
    Some(output::progress(job).unwrap_or_else(|| "between two steps".to_owned()))
}

fn waits(look: &Look) -> Option<String> {
    let waiting = look.waits.as_ref()?;
    Some(why(waiting, look.prospect.as_deref()))
}

fn tags(tags: &[Label]) -> Option<String> {
    let tags: Vec<&str> = tags.iter().map(Label::as_str).collect();
    (!tags.is_empty()).then(|| tags.join(", "))
}

fn field((name, value): (&str, Option<String>)) -> Option<String> {
    value.map(|value| format!("{name:<12} {value}"))
}

fn result_lines(look: &Look) -> Vec<String> {
    // Another program's job, or one without a value: an output that was recorded is shown as it is.
    let Ok(result) = fibonacci_result(&look.detail) else {
        let output = look.detail.result.as_ref().map(|output| output.json().to_owned());
        return field(("output", output)).into_iter().collect();
    };
    let artifact = result.artifact.as_ref();
    let fields = [
        ("value", Some(output::digits_of(&result))),
        ("computed in", Some(output::seconds(result.seconds))),
        ("process", Some(result.pid.to_string())),
        ("artifact", artifact.map(|artifact| artifact.uri.clone())),
        ("BLAKE3", Some(result.certificate.blake3.clone())),
    ];
    fields.into_iter().filter_map(field).collect()
}

/// One line for each start, where there was more than one.
fn attempt_lines(attempts: &[Attempt]) -> Vec<String> {
    if attempts.len() < 2 {
        return Vec::new();
    }
    let mut table = Table::new(["ATTEMPT", "WORKER", "PID", "STARTED", "ENDED", "HOW"]);
    let unknown = || "-".to_owned();
    for attempt in attempts {
        let end = attempt.end.as_ref();
        table.row([
            attempt.number.to_string(),
            attempt.executor_id.clone(),
            attempt.pid.map_or_else(unknown, |pid| pid.to_string()),
            output::time(attempt.started_at_ms),
            attempt.ended_at_ms.map_or_else(unknown, output::time),
            end.map_or_else(|| "running".to_owned(), ToString::to_string),
        ]);
    }
    [String::new()].into_iter().chain(table.drawn()).collect()
}

fn step_lines(steps: &[StepRecord]) -> Vec<String> {
    if steps.is_empty() {
        return Vec::new();
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
    [String::new()].into_iter().chain(table.drawn()).collect()
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
