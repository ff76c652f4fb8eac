//! Jobs as rows of a table, and workers as cards.

use durable_jobs::presence::Presence;
use durable_jobs::record::{Job, RunningJob};

use super::words::{self, ShownTime};
use crate::views::{WorkerView, fields_of, segment};

/// A job in a table.
#[derive(Debug, Clone)]
pub(super) struct JobRow {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) short_id: String,
    pub(super) title: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) algorithm: String,
    pub(super) tags: Vec<Tag>,
    pub(super) submitted: ShownTime,
    /// The time from its start to its end, or to now.
    pub(super) took: String,
    pub(super) attempts: u32,
    pub(super) worker: String,
}

/// A tag of a job, with the jobs that have it, too.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) text: String,
    pub(super) href: String,
}

/// A worker as a card.
#[derive(Debug, Clone)]
pub(super) struct WorkerCard {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) pid: u32,
    pub(super) slots: u32,
    pub(super) queue: String,
    pub(super) version: String,
    /// The age of its last heartbeat.
    pub(super) beat: String,
    pub(super) jobs: Vec<CardJob>,
    /// The end of the process that worked there before.
    pub(super) last_exit: Option<CardExit>,
}

/// The end of a process on the card of the next.
#[derive(Debug, Clone)]
pub(super) struct CardExit {
    pub(super) pid: u32,
    pub(super) how: String,
    pub(super) at: ShownTime,
}

/// A job on the card of its worker.
#[derive(Debug, Clone)]
pub(super) struct CardJob {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) title: String,
    /// Its step and its attempt.
    pub(super) at: String,
    /// The share that is computed, as a number and in words; absent while the worker has not said.
    pub(super) share: Option<Share>,
    pub(super) took: String,
}

/// A share of a computation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Share {
    /// From 0 to 1.
    pub(super) value: String,
    pub(super) words: String,
}

impl JobRow {
    pub(super) fn of(job: &Job, now_ms: i64) -> Self {
        let (state, input) = (job.state.name(), fields_of(&job.details));
        let until = job.completed_at_ms.or((state == "running").then_some(now_ms));
        let took = job
            .started_at_ms
            .zip(until)
            .map(|(from, to)| words::span(from, to));
        Self {
            // As it is, since the script compares it with ids of events; the template escapes it.
            id: job.workflow_id.to_string(),
            href: job_path(job.workflow_id.as_str()),
            short_id: words::short_id(job.workflow_id.as_str()),
            title: words::title(&job.workflow, &input),
            state,
            class: words::class_of(state),
            algorithm: input.get("algorithm").map(words::detail).unwrap_or_default(),
            tags: job.tags.iter().map(|tag| Tag::of(tag.as_str())).collect(),
            submitted: ShownTime::of(job.created_at_ms, now_ms),
            took: took.unwrap_or_default(),
            attempts: job.attempts,
            worker: job.executor_id.as_deref().map(words::shown).unwrap_or_default(),
        }
    }
}

impl Tag {
    pub(super) fn of(tag: &str) -> Self {
        Self {
            text: words::shown(tag),
            href: format!("/jobs?tag={}", segment(tag)),
        }
    }
}

impl WorkerCard {
    pub(super) fn of(worker: &Presence, now_ms: i64) -> Self {
        let view = WorkerView::from(worker);
        Self {
            name: words::shown(&view.executor),
            host: words::shown(&view.host),
            state: view.state,
            class: words::class_of(view.state),
            pid: view.pid,
            slots: view.slots,
            queue: words::shown(&view.queue),
            version: words::shown(&view.version),
            beat: words::took(view.heartbeat_age_seconds),
            last_exit: view.last_exit.map(|exit| CardExit {
                pid: exit.pid,
                how: words::shown(&exit.how),
                at: ShownTime::of(exit.at_ms, now_ms),
            }),
            // What a worker that is gone was at is not what happens now.
            jobs: if view.state == "gone" {
                Vec::new()
            } else {
                worker.running.iter().map(CardJob::of).collect()
            },
        }
    }

    pub(super) fn takes_jobs(&self) -> bool {
        matches!(self.state, "idle" | "busy")
    }
}

impl CardJob {
    fn of(job: &RunningJob) -> Self {
        let step = job.step.as_deref().map(words::shown);
        let attempt = job
            .attempt
            .filter(|attempt| *attempt > 1)
            .map(|attempt| format!("attempt {attempt}"));
        let at: Vec<String> = [step, attempt].into_iter().flatten().collect();
        Self {
            id: job.workflow_id.clone(),
            href: job_path(&job.workflow_id),
            title: words::title("a job", &fields_of(&job.details)),
            at: at.join(", "),
            share: Share::of(job),
            took: words::took(job.seconds),
        }
    }
}

impl Share {
    pub(super) fn of(job: &RunningJob) -> Option<Self> {
        let share = job.progress?;
        let bytes = job
            .bytes
            .map(|bytes| format!(", {} written", words::bytes(bytes)));
        Some(Self {
            value: format!("{:.3}", share.clamp(0.0, 1.0)),
            words: words::percent(share) + &bytes.unwrap_or_default(),
        })
    }
}

/// The path of the view of a job.
pub(super) fn job_path(id: &str) -> String {
    format!("/jobs/{}", segment(id))
}
