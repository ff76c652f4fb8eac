//! What happened to a job, drawn over time.
//!
//! Each row has its facts in words; the drawing beside it repeats them for eyes.

use durable_jobs::record::{Attempt, AttemptEndKind, Job, JobDetail, StepRecord};

use super::words::{self, ShownTime, grouped, span};

/// The wait before the first start takes at most this share of the width: what ran is what one looks for.
const WIDEST_WAIT: f64 = 0.2;

/// The least width of a bar, as a share of all.
const THINNEST: f64 = 0.004;

/// Equal steps in a row are drawn as one band from this number on.
pub(super) const BAND: usize = 5;

/// A drawing.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    pub(super) rows: Vec<Row>,
    /// The time of the day at the left.
    pub(super) from: String,
    /// The time from the left end to the right.
    pub(super) length: String,
}

/// A row of a drawing.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) label: String,
    /// Where it happened.
    pub(super) place: String,
    pub(super) words: String,
    pub(super) bars: Vec<Bar>,
    /// Where a crash is marked.
    pub(super) crash: Option<String>,
}

/// A bar; its place and width in per cent.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) width: String,
}

/// A start of a job.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) number: u32,
    pub(super) place: String,
    pub(super) from_ms: i64,
    /// Absent while it runs.
    pub(super) to_ms: Option<i64>,
    /// The end in words; absent while it runs.
    pub(super) end: Option<String>,
    /// More about a crash: a signal.
    pub(super) reason: Option<String>,
    pub(super) kind: StartKind,
}

/// The way in which a start is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartKind {
    Running,
    Succeeded,
    Ended,
    Crashed,
}

impl Start {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let kind = match attempt.end.as_ref().map(|end| &end.kind) {
            None => StartKind::Running,
            Some(AttemptEndKind::Succeeded) => StartKind::Succeeded,
            Some(kind) if kind.is_crash() => StartKind::Crashed,
            Some(_) => StartKind::Ended,
        };
        let place = words::shown(&attempt.executor_id);
        Self {
            number: attempt.number,
            place: match attempt.pid {
                Some(pid) => format!("{place}, pid {pid}"),
                None => place,
            },
            from_ms: attempt.started_at_ms,
            to_ms: attempt.ended_at_ms,
            end: attempt
                .end
                .as_ref()
                .map(|end| words::shown(&end.kind.to_string())),
            // A failure of the job stands above the drawing.
            reason: attempt
                .end
                .as_ref()
                .filter(|_| kind == StartKind::Crashed)
                .and_then(|end| end.reason.as_deref().map(words::shown)),
            kind,
        }
    }

    fn words(&self, now_ms: i64) -> String {
        let time = span(self.from_ms, self.to_ms.unwrap_or(now_ms));
        match (&self.end, &self.reason) {
            (None, _) => format!("has run for {time}"),
            (Some(end), None) => format!("{end} after {time}"),
            (Some(end), Some(reason)) => format!("{end} after {time}: {reason}"),
        }
    }

    fn class(&self) -> &'static str {
        match self.kind {
            StartKind::Running => "run",
            StartKind::Succeeded => "done",
            StartKind::Ended => "ended",
            StartKind::Crashed => "crashed",
        }
    }
}

impl Timeline {
    /// Draws a job; without a start there is only its wait.
    pub(super) fn of(detail: &JobDetail, starts: &[Start], now_ms: i64) -> Self {
        let job = &detail.job;
        let began = starts.first().map(|start| start.from_ms);
        let is_over = job.state.is_final();
        let until = job.completed_at_ms.filter(|_| is_over).unwrap_or(now_ms);
        let last_step = detail.steps.iter().filter_map(|step| step.completed_at_ms).max();
        let first_step = detail.steps.iter().filter_map(|step| step.started_at_ms).min();
        // Steps may be older than the starts, of which only the last hundred are known.
        let first_run = [began, first_step].into_iter().flatten().min();
        let scale = Scale::new(
            job.created_at_ms,
            first_run.unwrap_or(until),
            // Workers date steps by their own clocks, which may be ahead of the database's.
            until.max(last_step.unwrap_or(until)),
        );
        let mut rows = vec![waited(job, first_run.unwrap_or(until), &scale)];
        rows.extend(earlier(detail, starts, &scale));
        for (position, start) in starts.iter().enumerate() {
            let next = starts.get(position + 1).map(|next| next.from_ms);
            rows.push(started(start, now_ms, &scale));
            rows.extend(recorded(
                &detail.steps,
                start.from_ms..next.unwrap_or(i64::MAX),
                &scale,
            ));
        }
        Self {
            rows,
            from: ShownTime::of(scale.from, now_ms).clock().to_owned(),
            length: span(scale.from, scale.to),
        }
    }
}

/// Draws the wait before the first start.
fn waited(job: &Job, until: i64, scale: &Scale) -> Row {
    let queue = job.queue.as_deref().map(words::shown).unwrap_or_default();
    let due = job.delayed_until_ms.filter(|due| *due > job.created_at_ms);
    let verb = if job.started_at_ms.is_none() && !job.state.is_final() {
        "has waited for"
    } else {
        "waited"
    };
    let delay = due.map(|due| format!(", {} of it delayed", span(job.created_at_ms, due.min(until))));
    Row {
        label: "Queue".to_owned(),
        place: queue,
        words: format!(
            "{verb} {}{}",
            span(job.created_at_ms, until),
            delay.unwrap_or_default()
        ),
        bars: vec![scale.bar("wait", job.created_at_ms, until)],
        crash: None,
    }
}

fn started(start: &Start, now_ms: i64, scale: &Scale) -> Row {
    let to = start.to_ms.unwrap_or(now_ms);
    Row {
        label: format!("Attempt {}", start.number),
        place: start.place.clone(),
        words: start.words(now_ms),
        bars: vec![scale.bar(start.class(), start.from_ms, to)],
        crash: (start.kind == StartKind::Crashed).then(|| per_cent(scale.share(to))),
    }
}

/// Draws what was recorded before the first start that is known.
fn earlier(detail: &JobDetail, starts: &[Start], scale: &Scale) -> Option<Row> {
    let first = starts
        .first()
        // Where no start is known, all of them come before.
        .map_or(detail.job.attempts.saturating_add(1), |start| start.number);
    let number = first.saturating_sub(1);
    let before = starts.first().map_or(i64::MAX, |start| start.from_ms);
    let row = recorded(&detail.steps, i64::MIN..before, scale);
    if number == 0 {
        return row;
    }
    let count = row.as_ref().map_or_else(
        || "recorded nothing".to_owned(),
        |row| format!("recorded {}", row.words),
    );
    Some(Row {
        label: if number == 1 {
            "Attempt 1".to_owned()
        } else {
            format!("Attempts 1 to {number}")
        },
        place: String::new(),
        words: count,
        bars: row.map(|row| row.bars).unwrap_or_default(),
        crash: None,
    })
}

/// Draws the steps that began in a time; nothing for none.
fn recorded(steps: &[StepRecord], time: std::ops::Range<i64>, scale: &Scale) -> Option<Row> {
    let within: Vec<&StepRecord> = steps
        .iter()
        // By their times, since a recorded step does not say which start it was of.
        .filter(|step| step.started_at_ms.is_some_and(|at| time.contains(&at)))
        .collect();
    if within.is_empty() {
        return None;
    }
    let groups: Vec<&[&StepRecord]> = within.chunk_by(|one, next| one.name == next.name).collect();
    let mut names: Vec<String> = groups.iter().take(6).filter_map(|group| named(group)).collect();
    if groups.len() > names.len() {
        names.push(format!("{} more", grouped((groups.len() - names.len()) as u64)));
    }
    Some(Row {
        label: "Steps".to_owned(),
        place: String::new(),
        words: names.join(", "),
        bars: groups.iter().flat_map(|group| bars_of(group, scale)).collect(),
        crash: None,
    })
}

fn named(group: &[&StepRecord]) -> Option<String> {
    let name = words::shown(&group.first()?.name);
    Some(match group.len() {
        1 => name,
        count => format!("{} times {name}", grouped(count as u64)),
    })
}

/// Draws equal steps: each, or all of many as one band.
fn bars_of(group: &[&StepRecord], scale: &Scale) -> Vec<Bar> {
    let ends = |step: &StepRecord| {
        step.started_at_ms
            .zip(step.completed_at_ms.or(step.started_at_ms))
    };
    let class = if group.iter().any(|step| step.error.is_some()) {
        "ended"
    } else {
        "step"
    };
    let all: Vec<(i64, i64)> = group.iter().filter_map(|step| ends(step)).collect();
    if all.len() < BAND {
        return all
            .iter()
            .map(|(from, to)| scale.bar(class, *from, *to))
            .collect();
    }
    let from = all.iter().map(|(from, _)| *from).min();
    let to = all.iter().map(|(_, to)| *to).max();
    from.zip(to)
        .map(|(from, to)| scale.bar("band", from, to))
        .into_iter()
        .collect()
}

/// Places moments between the submission and the end.
struct Scale {
    from: i64,
    first: i64,
    to: i64,
    /// The share of the width before the first start.
    wait: f64,
}

impl Scale {
    fn new(from: i64, first: i64, to: i64) -> Self {
        // A row may name any moment, also the last one, after which there is no other.
        let from = from.min(i64::MAX - 1);
        // Without a length, shares would be divided by zero, and `clamp` wants its ends in order.
        let to = to.max(from + 1);
        let first = first.clamp(from, to);
        let natural = words::seconds_between(from, first) / words::seconds_between(from, to);
        let wait = if first == to {
            1.0
        } else {
            natural.min(WIDEST_WAIT)
        };
        Self {
            from,
            first,
            to,
            wait,
        }
    }

    fn share(&self, at: i64) -> f64 {
        let part = |from, to| {
            let whole = words::seconds_between(from, to);
            if whole > 0.0 {
                (words::seconds_between(from, at) / whole).min(1.0)
            } else {
                0.0
            }
        };
        if at < self.first {
            part(self.from, self.first) * self.wait
        } else {
            self.wait + part(self.first, self.to) * (1.0 - self.wait)
        }
    }

    fn bar(&self, class: &'static str, from: i64, to: i64) -> Bar {
        // Also a bar that begins at the right end is seen.
        let x = self.share(from).min(1.0 - THINNEST);
        let width = (self.share(to) - x).max(THINNEST);
        Bar {
            class,
            x: per_cent(x),
            width: per_cent(width),
        }
    }
}

fn per_cent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}
