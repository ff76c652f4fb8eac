//! Judging open jobs by the workers of their own queue and version, and by what those know.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::queue_control::limits_in;
use crate::database::Database;
use crate::database::workflow_rows::OPEN;
use crate::presence::Presence;
use crate::record::{ENGINE_QUEUE, Job, JobId, StartLimits, State};

/// A queue, and what a worker needs to take a job in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueVersion {
    /// The queue.
    pub queue: String,
    /// The version of the steps; a worker of another one leaves the job alone.
    pub version: String,
    /// The workflow that no worker of that queue and version knows; absent where it is not for that.
    pub unknown_workflow: Option<String>,
}

impl QueueVersion {
    /// Takes a queue with a version.
    #[must_use]
    pub fn new(queue: &str, version: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            version: version.to_owned(),
            unknown_workflow: None,
        }
    }

    /// Takes the queue and the version that a job needs; one without a version is taken to be of `own_version`.
    #[must_use]
    pub fn of(job: &Job, own_version: &str) -> Self {
        let queue = job.queue.as_deref().unwrap_or(ENGINE_QUEUE);
        Self::new(queue, job.application_version.as_deref().unwrap_or(own_version))
    }

    /// Reads the queue and the version that a row names.
    pub(super) fn in_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            queue: row.try_get("queue")?,
            version: row.try_get("version")?,
            unknown_workflow: None,
        })
    }

    /// Finds what a job of this workflow in this state lacks, if none of `workers` takes it or has it in hand, as one that
    /// drains may.
    #[must_use]
    pub fn lacking(&self, workflow: &str, state: State, workers: &[Presence]) -> Option<Self> {
        let (queue, version) = (&self.queue, &self.version);
        let listens = |worker: &&Presence| match state {
            State::Running => worker.serves(queue, version),
            _ => worker.takes(queue, version),
        };
        let listeners: Vec<_> = workers.iter().filter(listens).collect();
        if listeners.iter().any(|worker| worker.runs(workflow)) {
            return None;
        }
        Some(Self {
            unknown_workflow: (!listeners.is_empty()).then(|| workflow.to_owned()),
            ..self.clone()
        })
    }
}

/// The open jobs of a wait: who attends to them, and what holds up those that wait.
pub(super) struct OpenJobs {
    /// The queues and versions of the jobs, with whether a worker attends to some of them.
    pub(super) attended: BTreeMap<QueueVersion, bool>,
    /// The queues of those that wait which are paused, or have a limit.
    pub(super) limited: BTreeMap<String, HeldUp>,
}

/// A queue that is paused or limited.
#[derive(Clone, Copy)]
pub(super) struct HeldUp {
    pub(super) by: StartLimits,
    /// True if its limit lets no job start now.
    pub(super) is_reached: bool,
}

impl OpenJobs {
    /// Reads where the open ones of `ids` are, and whether one of `workers` attends to them.
    pub(super) async fn read(
        database: &Database,
        ids: &[JobId],
        workers: &[Presence],
    ) -> Result<Self, sqlx::Error> {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        let rows = sqlx::query(OPEN)
            .bind(ids)
            .bind(ENGINE_QUEUE)
            .bind(database.scope.version())
            .fetch_all(&database.pool)
            .await?;
        let mut jobs = Self {
            attended: BTreeMap::new(),
            limited: BTreeMap::new(),
        };
        for row in &rows {
            jobs.add(row, workers)?;
        }
        Ok(jobs)
    }

    fn add(&mut self, row: &PgRow, workers: &[Presence]) -> Result<(), sqlx::Error> {
        let (of, workflow) = (QueueVersion::in_row(row)?, workflow_in(row)?);
        let by = limits_in(row)?;
        if row.try_get("is_waiting")? && by != StartLimits::default() {
            let is_reached = row.try_get("is_reached")?;
            self.limited.insert(of.queue.clone(), HeldUp { by, is_reached });
        }
        let is_running = row.try_get("is_running")?;
        let state = if is_running { State::Running } else { State::Queued };
        let lacking = of.lacking(&workflow, state, workers);
        let is_attended = lacking.is_none();
        // Rows of several workflows may share an entry; that one of them is attended to is enough.
        *self.attended.entry(lacking.unwrap_or(of)).or_default() |= is_attended;
        Ok(())
    }
}

/// The queues of which a wait has told that they are paused, or that their limit is reached.
#[derive(Default)]
pub(super) struct ToldLimits(BTreeMap<String, StartLimits>);

impl ToldLimits {
    /// Finds what is to be told now: of each queue once, until its limits change.
    pub(super) fn news(&mut self, limited: &BTreeMap<String, HeldUp>) -> Vec<(String, StartLimits)> {
        self.0
            .retain(|queue, told| limited.get(queue).is_some_and(|now| now.by == *told));
        let is_news = |(queue, held): &(&String, &HeldUp)| {
            (held.by.paused || held.is_reached) && !self.0.contains_key(*queue)
        };
        let named = |(queue, held): (&String, &HeldUp)| (queue.clone(), held.by);
        let news: Vec<_> = limited.iter().filter(is_news).map(named).collect();
        self.0.extend(news.iter().cloned());
        news
    }
}

/// Reads the workflow that a row names.
pub(super) fn workflow_in(row: &PgRow) -> Result<String, sqlx::Error> {
    Ok(row.try_get::<Option<String>, _>("workflow")?.unwrap_or_default())
}
