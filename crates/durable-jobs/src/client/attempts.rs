//! The starts of a job.
//!
//! The last one is what the job's row tells; those before it are kept beside the row by triggers, whoever changed it, and only
//! where a start did not end its job, or the job started again.
//!
//! It does not promise every start: a row that was changed by hand, or before the tables were as they are, left no trace; and
//! the claim of a worker that died before the job's body began is none.

use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::job_row::{Ending, failure_of};
use super::{Client, unreadable};
use crate::database::workflow_rows::ATTEMPTS;
use crate::record::{Attempt, AttemptEnd, AttemptEndKind, JobId, State};
use crate::{Error, Reply};

/// A start as it is kept.
#[derive(Deserialize)]
struct Kept {
    number: u32,
    executor_id: String,
    pid: Option<u32>,
    claimed_at_ms: i64,
    started_at_ms: i64,
    ended_at_ms: i64,
    end_kind: AttemptEndKind,
    end_reason: Option<String>,
}

/// A start as the job's row tells it.
struct LastStart {
    executor_id: String,
    pid: Option<u32>,
    claimed_at_ms: i64,
    ended_at_ms: Option<i64>,
    end: Option<AttemptEnd>,
    /// The number of claims that count.
    claims: u32,
}

impl Client {
    /// Reads the starts of a job, the last one last; of those that were kept the last hundred.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreachable`] or [`Error::Database`].
    pub fn attempts<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<Attempt>> {
        Box::pin(async move {
            let row = sqlx::query(ATTEMPTS)
                .bind(id.as_str())
                .fetch_optional(&self.database.pool);
            let row = self
                .database
                .bounded("reading the starts of a job", self.timeout, row)
                .await?;
            let row = row.ok_or_else(|| Error::NotFound { id: id.to_string() })?;
            let read = || -> Result<_, sqlx::Error> { Ok(all(kept_in(&row)?, LastStart::of_row(&row)?)) };
            read().map_err(|error| unreadable(&error))
        })
    }
}

fn kept_in(row: &PgRow) -> Result<Vec<Kept>, sqlx::Error> {
    serde_json::from_str(row.try_get("kept")?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Puts the last start behind those that are kept, unless it is one of them.
fn all(kept: Vec<Kept>, last: Option<LastStart>) -> Vec<Attempt> {
    let before = kept.last().map(|kept| Before {
        is_same: last.as_ref().is_some_and(|last| last.is(kept)),
        ended_at_ms: kept.ended_at_ms,
        number: kept.number,
        process_died: kept.end_kind == AttemptEndKind::ProcessDied,
    });
    let mut attempts: Vec<Attempt> = kept.into_iter().map(Attempt::from).collect();
    let Some(last) = last else { return attempts };
    match before {
        // Another process computes for the same claim, or the death parked the job.
        Some(before) if before.is_same && before.process_died && !last.is_parked() => {
            attempts.push(last.attempt(before.number + 1, before.ended_at_ms));
        }
        // Its worker counted as gone, and the outcome came through.
        Some(before) if before.is_same => {
            if let (Some(attempt), Some(end)) = (attempts.last_mut(), last.end) {
                (attempt.end, attempt.ended_at_ms) = (Some(end), last.ended_at_ms);
            }
        }
        before => {
            // Starts that an older program saw are in the row's count, and are not kept.
            let number = before.map_or(1, |before| before.number + 1).max(last.claims);
            let started_at_ms = last.claimed_at_ms;
            attempts.push(last.attempt(number, started_at_ms));
        }
    }
    attempts
}

/// The last of those that are kept, as far as it matters for the one in the row.
struct Before {
    is_same: bool,
    ended_at_ms: i64,
    number: u32,
    process_died: bool,
}

impl From<Kept> for Attempt {
    fn from(kept: Kept) -> Self {
        let reason = match kept.end_kind {
            // As the row had it.
            AttemptEndKind::Failed | AttemptEndKind::Parked => {
                kept.end_reason.map(|error| failure_of(Some(&error)).message)
            }
            _ => kept.end_reason,
        };
        Self {
            number: kept.number,
            host: Self::host_of(&kept.executor_id),
            executor_id: kept.executor_id,
            pid: kept.pid,
            started_at_ms: kept.started_at_ms,
            ended_at_ms: Some(kept.ended_at_ms),
            end: Some(AttemptEnd {
                kind: kept.end_kind,
                reason,
            }),
        }
    }
}

impl LastStart {
    /// Reads the start that a row tells of; a row that waits tells of none.
    fn of_row(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        let ending = Ending::of_row(row, None)?;
        let (executor_id, claimed_at_ms) = (row.try_get("executor_id")?, row.try_get("started_at_epoch_ms")?);
        let (Some(executor_id), Some(claimed_at_ms)) = (executor_id, claimed_at_ms) else {
            return Ok(None);
        };
        let state = ending.state();
        if matches!(state, State::Queued | State::Delayed) {
            return Ok(None);
        }
        let pid: Option<i32> = row.try_get("pid")?;
        let error: Option<&str> = row.try_get("error")?;
        Ok(Some(Self {
            executor_id,
            pid: pid.map(i32::unsigned_abs),
            claimed_at_ms,
            ended_at_ms: row.try_get("completed_at")?,
            end: kind_of(state).map(|kind| AttemptEnd {
                kind,
                reason: error.map(|error| failure_of(Some(error)).message),
            }),
            claims: u32::try_from(ending.attempts).unwrap_or(u32::MAX),
        }))
    }

    /// Tests whether a start that is kept is of the same claim.
    fn is(&self, kept: &Kept) -> bool {
        kept.claimed_at_ms == self.claimed_at_ms && kept.executor_id == self.executor_id
    }

    fn is_parked(&self) -> bool {
        self.end
            .as_ref()
            .is_some_and(|end| end.kind == AttemptEndKind::Parked)
    }

    fn attempt(self, number: u32, started_at_ms: i64) -> Attempt {
        Attempt {
            number,
            host: Attempt::host_of(&self.executor_id),
            executor_id: self.executor_id,
            pid: self.pid,
            started_at_ms,
            ended_at_ms: self.ended_at_ms,
            end: self.end,
        }
    }
}

fn kind_of(state: State) -> Option<AttemptEndKind> {
    match state {
        State::Succeeded => Some(AttemptEndKind::Succeeded),
        State::Failed => Some(AttemptEndKind::Failed),
        State::Parked => Some(AttemptEndKind::Parked),
        State::Cancelled => Some(AttemptEndKind::Cancelled),
        State::Queued | State::Delayed | State::Running => None,
    }
}
