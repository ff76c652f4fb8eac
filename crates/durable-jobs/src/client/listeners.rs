//! Judging open jobs by the workers of their own queue and version.

use std::collections::BTreeMap;

use crate::ENGINE_QUEUE;
use crate::database::Database;
use crate::presence::Presence;
use crate::record::{Job, JobId, State};

/// The queues and versions of those of the jobs `$1` that have not ended, and whether one of theirs is in hand. A job without
/// a queue of its own is left to the engine's, `$2`; a row without a version is taken to be of ours, `$3`.
const OPEN: &str = "\
    select coalesce(nullif(queue_name, ''), $2), coalesce(application_version, $3), bool_or(status = 'PENDING') \
    from dbos.workflow_status \
    where workflow_uuid = any($1) and status in ('ENQUEUED', 'DELAYED', 'PENDING') group by 1, 2";

/// A queue, and the version of the steps that a job in it needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueVersion {
    /// The queue.
    pub queue: String,
    /// The version; a worker of another one leaves the job alone.
    pub version: String,
}

impl QueueVersion {
    /// Takes a queue with a version.
    #[must_use]
    pub fn new(queue: &str, version: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            version: version.to_owned(),
        }
    }

    /// Takes the queue and the version that a job needs; one without a version is taken to be of `own_version`.
    #[must_use]
    pub fn of(job: &Job, own_version: &str) -> Self {
        let version = job.application_version.as_deref().unwrap_or(own_version);
        Self {
            queue: job.queue.clone().unwrap_or_else(|| ENGINE_QUEUE.to_owned()),
            version: version.to_owned(),
        }
    }

    /// Says that one of `workers` takes a job in this state or has it in hand, as one that drains may.
    #[must_use]
    pub fn is_attended(&self, state: State, workers: &[Presence]) -> bool {
        let (queue, version) = (&self.queue, &self.version);
        workers.iter().any(|worker| match state {
            State::Running => worker.serves(queue, version),
            _ => worker.takes(queue, version),
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
    let rows = sqlx::query_as::<_, (String, String, bool)>(OPEN)
        .bind(ids)
        .bind(ENGINE_QUEUE)
        .bind(database.scope.version())
        .fetch_all(&database.pool)
        .await?;
    let judged = rows.into_iter().map(|(queue, version, is_running)| {
        let open = QueueVersion { queue, version };
        let state = if is_running { State::Running } else { State::Queued };
        let is_attended = open.is_attended(state, workers);
        (open, is_attended)
    });
    Ok(judged.collect())
}
