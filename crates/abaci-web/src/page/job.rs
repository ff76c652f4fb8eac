//! One job: its state, its value, why it waits, what happened to it.

use askama::Template;
use axum::extract::State;
use durable_jobs::client::{BulkAction, Waiting};
use durable_jobs::record::{JobDetail, RunningJob, StepRecord};
use durable_jobs::{Client, Error, JobId, State as JobState};
use fibonacci_jobs::JobResult;

use super::frame::{Frame, render};
use super::refusal::{Refusal, View};
use super::rows::{JobRow, Share, Tag};
use super::timeline::{BAND, Start, Timeline};
use super::words::{self, ShownTime, grouped, shown};
use crate::clock::now_ms;
use crate::place::JobPath;
use crate::state::Shared;
use crate::views::{fields_of, segment};

/// Values of up to so many digits are shown at once.
const WHOLE: usize = 1_000;

/// The most rows of steps.
const MOST_STEPS: usize = 200;

/// The steps of which all are shown at either end of the rest.
const END_STEPS: usize = 2;

#[derive(Template)]
#[template(path = "job.html")]
pub(super) struct JobPage {
    pub(super) frame: Frame,
    pub(super) row: JobRow,
    pub(super) id: String,
    pub(super) workflow: String,
    pub(super) details: Vec<(String, String)>,
    pub(super) queue: Option<(String, String)>,
    pub(super) version: String,
    pub(super) priority: u32,
    pub(super) batch: Option<Tag>,
    pub(super) why: Option<String>,
    pub(super) at: Option<At>,
    pub(super) value: Option<Value>,
    pub(super) output: Option<String>,
    pub(super) failure: Option<(String, String)>,
    pub(super) started: Option<ShownTime>,
    pub(super) ended: Option<ShownTime>,
    pub(super) can_cancel: bool,
    pub(super) can_resume: bool,
    pub(super) timeline: Timeline,
    pub(super) steps: Vec<StepRow>,
    pub(super) step_count: String,
    pub(super) last_step: i32,
    /// True if any step is recorded.
    pub(super) can_fork: bool,
}

/// The progress that a worker reported.
pub(super) struct At {
    pub(super) step: String,
    pub(super) share: Option<Share>,
}

/// A value with its certificate.
pub(super) struct Value {
    /// All digits, if they are in the row.
    pub(super) whole: Option<String>,
    /// Both ends, where all is much.
    pub(super) ends: Option<(String, String)>,
    pub(super) digits: String,
    pub(super) download: String,
    pub(super) blake3: String,
    pub(super) residues: Vec<(String, String)>,
    pub(super) seconds: String,
    pub(super) kept: Option<String>,
}

/// A step in the table, or many equal ones.
pub(super) struct StepRow {
    pub(super) place: String,
    /// The position to fork from; absent for several.
    pub(super) position: Option<i32>,
    pub(super) name: String,
    pub(super) started: String,
    pub(super) took: String,
    pub(super) error: Option<String>,
}

/// A job, as it was read.
pub(super) struct SeenJob {
    pub(super) detail: JobDetail,
    pub(super) waiting: Option<Waiting>,
    pub(super) progress: Option<RunningJob>,
    pub(super) starts: Vec<Start>,
}

/// Shows a job.
pub(super) async fn job(State(web): State<Shared>, frame: Frame, JobPath(id): JobPath) -> View {
    let frame = frame.at("Jobs");
    let client = web
        .client()
        .await
        .map_err(|problem| Refusal::new(&frame, problem))?;
    let seen = SeenJob::read(&client, &id).await;
    let seen = seen.map_err(|error| Refusal::new(&frame, error))?;
    Ok(render(&seen.page(frame, now_ms())))
}

impl SeenJob {
    async fn read(client: &Client, id: &JobId) -> Result<Self, Error> {
        let detail = client.show(id).await?;
        let waiting = match detail.job.state {
            JobState::Queued | JobState::Delayed => client.waiting(id).await?,
            _ => None,
        };
        let progress = match detail.job.state {
            JobState::Running => client.progress(std::slice::from_ref(id)).await?.remove(id),
            _ => None,
        };
        let starts = client.attempts(id).await?.iter().map(Start::of).collect();
        Ok(Self {
            detail,
            waiting,
            progress,
            starts,
        })
    }

    pub(super) fn page(self, frame: Frame, now_ms: i64) -> JobPage {
        let timeline = Timeline::of(&self.detail, &self.starts, now_ms);
        let JobDetail {
            job,
            result,
            error,
            steps,
        } = self.detail;
        let input = fields_of(&job.details);
        // A job of another type has a result of another form, which is shown as its JSON.
        let known = result.as_ref().and_then(|result| result.read::<JobResult>().ok());
        let output = result.filter(|_| known.is_none());
        JobPage {
            frame,
            row: JobRow::of(&job, now_ms),
            id: shown(job.workflow_id.as_str()),
            workflow: shown(&job.workflow),
            details: input
                .iter()
                .map(|(name, value)| (shown(name), words::detail(value)))
                .collect(),
            queue: job
                .queue
                .as_deref()
                .map(|queue| (shown(queue), format!("/jobs?queue={}", segment(queue)))),
            version: job.application_version.as_deref().map(shown).unwrap_or_default(),
            priority: job.priority,
            batch: job.batch.as_ref().map(|batch| Tag {
                text: shown(batch.as_str()),
                href: format!("/jobs?batch={}", segment(batch.as_str())),
            }),
            why: self.waiting.map(|waiting| words::why(&waiting, now_ms)),
            at: self.progress.map(|progress| At {
                step: progress.step.as_deref().map(shown).unwrap_or_default(),
                share: Share::of(&progress),
            }),
            value: known.map(|result| Value::of(result, job.workflow_id.as_str())),
            output: output.map(|result| shown(result.json())),
            failure: error.map(|failure| (shown(&failure.name), shown(&failure.message))),
            started: job.started_at_ms.map(|at| ShownTime::of(at, now_ms)),
            ended: job.completed_at_ms.map(|at| ShownTime::of(at, now_ms)),
            can_cancel: BulkAction::Cancel.states().contains(&job.state),
            can_resume: BulkAction::RESUME.states().contains(&job.state),
            timeline,
            step_count: words::counted(steps.len() as u64, "step"),
            last_step: steps.last().map_or(0, |step| step.id),
            can_fork: !steps.is_empty(),
            steps: rows_of(&steps, now_ms),
        }
    }
}

impl Value {
    fn of(result: JobResult, id: &str) -> Self {
        // A value that is not in the row is longer still, so that its ends are shown as well.
        let ends = match &result.value {
            Some(value) if value.len() <= WHOLE => None,
            _ => Some((shown(&result.head), shown(&result.tail))),
        };
        let certificate = &result.certificate;
        let residues = certificate.primes.iter().zip(&certificate.residues);
        Self {
            ends,
            digits: grouped(result.digits),
            download: format!("/api/v1/jobs/{}/value", segment(id)),
            blake3: shown(&certificate.blake3),
            residues: residues
                .map(|(prime, residue)| (shown(prime), shown(residue)))
                .collect(),
            seconds: words::took(result.seconds),
            kept: result
                .artifact
                .map(|artifact| format!("{} at {}", words::bytes(artifact.bytes), shown(&artifact.uri))),
            whole: result.value.as_deref().map(shown),
        }
    }
}

/// Lists steps, many equal ones in a row as one.
fn rows_of(steps: &[StepRecord], now_ms: i64) -> Vec<StepRow> {
    let mut rows = Vec::new();
    for group in
        steps.chunk_by(|one, next| one.name == next.name && one.error.is_none() && next.error.is_none())
    {
        // Both ends are shown anyway, and of five steps only one would be left for the row of many.
        if group.len() <= BAND {
            rows.extend(group.iter().map(|step| StepRow::of(step, now_ms)));
            continue;
        }
        let (head, rest) = group.split_at(END_STEPS);
        let (middle, tail) = rest.split_at(rest.len() - END_STEPS);
        rows.extend(head.iter().map(|step| StepRow::of(step, now_ms)));
        rows.extend(StepRow::of_many(middle, now_ms));
        rows.extend(tail.iter().map(|step| StepRow::of(step, now_ms)));
    }
    if rows.len() > MOST_STEPS {
        // The end first: what is split off before it would move its place.
        let tail = rows.split_off(rows.len() - MOST_STEPS / 2);
        let others = rows.split_off(MOST_STEPS / 2);
        rows.push(StepRow::of_hidden(others.len()));
        rows.extend(tail);
    }
    rows
}

impl StepRow {
    fn of(step: &StepRecord, now_ms: i64) -> Self {
        let took = step.started_at_ms.zip(step.completed_at_ms);
        Self {
            place: grouped(u64::try_from(step.id).unwrap_or_default()),
            position: Some(step.id),
            name: shown(&step.name),
            started: clock(step.started_at_ms, now_ms),
            took: took.map(|(from, to)| words::span(from, to)).unwrap_or_default(),
            error: step.error.as_deref().map(shown),
        }
    }

    /// Says how many rows are not shown.
    fn of_hidden(rows: usize) -> Self {
        Self {
            place: "…".to_owned(),
            position: None,
            name: format!("{} not shown here", words::counted(rows as u64, "row")),
            started: String::new(),
            took: String::new(),
            error: None,
        }
    }

    /// Puts equal steps into one row; nothing for none.
    fn of_many(steps: &[StepRecord], now_ms: i64) -> Option<Self> {
        let (first, last) = (steps.first()?, steps.last()?);
        // From the first to the last, so that the time between steps counts as well.
        let took = first.started_at_ms.zip(last.completed_at_ms);
        let place = |step: &StepRecord| grouped(u64::try_from(step.id).unwrap_or_default());
        Some(Self {
            place: format!("{} to {}", place(first), place(last)),
            position: None,
            name: format!("{} times {}", grouped(steps.len() as u64), shown(&first.name)),
            started: clock(first.started_at_ms, now_ms),
            took: took.map(|(from, to)| words::span(from, to)).unwrap_or_default(),
            error: None,
        })
    }
}

fn clock(at: Option<i64>, now_ms: i64) -> String {
    at.map(|at| ShownTime::of(at, now_ms).clock().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_are_not_shown_are_counted() {
        let step = |id| StepRecord {
            id,
            name: format!("part-{id}"),
            started_at_ms: Some(0),
            completed_at_ms: Some(10),
            error: None,
        };
        let steps: Vec<StepRecord> = (0..300).map(step).collect();
        let rows = rows_of(&steps, 10);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), 201);
        assert_eq!(names[99..102], ["part-99", "100 rows not shown here", "part-200"]);
    }
}
