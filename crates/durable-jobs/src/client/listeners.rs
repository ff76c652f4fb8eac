//! Judging open jobs by the workers of their own queue and version, and by what those know.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::Database;
use crate::database::workflow_rows::{OPEN, PAUSED_QUEUES};
use crate::presence::Presence;
use crate::record::ENGINE_QUEUE;
use crate::record::{Job, JobId, State};

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
        if listeners.iter().any(|worker| worker.knows(workflow)) {
            return None;
        }
        Some(Self {
            unknown_workflow: (!listeners.is_empty()).then(|| workflow.to_owned()),
            ..self.clone()
        })
    }
}

/// Reads where the open ones of `ids` are, and whether one of `workers` attends to them.
pub(super) async fn attended(
    database: &Database,
    ids: &[JobId],
    workers: &[Presence],
) -> Result<BTreeMap<QueueVersion, bool>, sqlx::Error> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    let rows = sqlx::query_as::<_, (String, String, Option<String>, bool)>(OPEN)
        .bind(ids)
        .bind(ENGINE_QUEUE)
        .bind(database.scope.version())
        .fetch_all(&database.pool)
        .await?;
    let mut attended = BTreeMap::new();
    for (queue, version, workflow, is_running) in rows {
        let state = if is_running { State::Running } else { State::Queued };
        let of = QueueVersion::new(&queue, &version);
        let lacking = of.lacking(&workflow.unwrap_or_default(), state, workers);
        let is_attended = lacking.is_none();
        *attended.entry(lacking.unwrap_or(of)).or_default() |= is_attended;
    }
    Ok(attended)
}

/// Names the paused queues in which some of `ids` wait.
pub(super) async fn paused_of(database: &Database, ids: &[JobId]) -> Result<BTreeSet<String>, sqlx::Error> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    let paused = sqlx::query_scalar(PAUSED_QUEUES).bind(ids);
    Ok(paused.fetch_all(&database.pool).await?.into_iter().collect())
}
