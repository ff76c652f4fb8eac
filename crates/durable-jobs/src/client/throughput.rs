//! Jobs that ended of late, and what needs somebody.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::probe::{self, QueueStatus};
use super::{Client, JobCount, unreadable};
use crate::Reply;
use crate::database::workflow_rows::ENDED_PER_BUCKET;
use crate::record::{APPLICATION, JobFilter, State, milliseconds};

/// So many buckets are a chart.
const BUCKETS: u32 = 60;

/// The most jobs that are counted: a third of a second of the database.
const MOST: i64 = 200_000;

/// The most failed or parked jobs that are counted.
const MANY: u64 = 1_000;

/// The jobs that ended, in sixty spans of one length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Throughput {
    /// When the first span began; milliseconds since 1970-01-01 UTC by the database's clock.
    pub since_ms: i64,
    /// The length of a span, in milliseconds.
    pub span_ms: i64,
    /// The spans, the oldest first; the last one is not over. Spans from before the last 200,000 jobs are left out.
    pub spans: Vec<Ended>,
}

/// The jobs that ended in a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// Those with a value.
    pub succeeded: u64,
    /// Those that failed, were parked or were cancelled.
    pub others: u64,
}

/// The client's queue, and the jobs of all queues that need somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The state of the queue.
    pub queue: QueueStatus,
    /// Jobs that failed, up to a thousand.
    pub failed: JobCount,
    /// Jobs that were put aside, up to a thousand.
    pub parked: JobCount,
}

impl Client {
    /// Counts the jobs of all queues that ended in the last minutes, 1 to 1,440.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn throughput(&self, minutes: u32) -> Reply<'_, Throughput> {
        Box::pin(async move {
            let span = Duration::from_mins(minutes.clamp(1, 1_440).into()) / BUCKETS;
            let span_ms = milliseconds(span);
            let rows = self
                .database
                .by_index("counting ended jobs", self.timeout, |connection| {
                    let query = sqlx::query(ENDED_PER_BUCKET)
                        .bind(i64::from(BUCKETS))
                        .bind(span_ms)
                        .bind(MOST)
                        .bind(APPLICATION);
                    Box::pin(query.fetch_all(connection))
                });
            Throughput::in_rows(&rows.await?, span_ms).map_err(|error| unreadable(&error))
        })
    }

    /// Reads how the client's queue stands, and counts the jobs that need somebody.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn overview(&self) -> Reply<'_, Overview> {
        Box::pin(async move {
            let status = probe::status(&self.database.pool, &self.queue, self.job_types.version());
            let status = self.database.bounded("counting jobs", self.timeout, status);
            let in_state = |state| JobFilter {
                states: vec![state],
                ..JobFilter::default()
            };
            Ok(Overview {
                queue: status.await?,
                failed: self.count(&in_state(State::Failed), MANY).await?,
                parked: self.count(&in_state(State::Parked), MANY).await?,
            })
        })
    }
}

impl Throughput {
    fn in_rows(rows: &[PgRow], span_ms: i64) -> Result<Self, sqlx::Error> {
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let last: i64 = first.try_get("last")?;
        let mut spans = vec![Ended::default(); BUCKETS as usize];
        let (mut counted, mut first_counted) = (0, None);
        for row in rows {
            let Some(bucket) = row.try_get::<Option<i64>, _>("bucket")? else {
                continue;
            };
            let (succeeded, jobs): (i64, i64) = (row.try_get("succeeded")?, row.try_get("jobs")?);
            let place = usize::try_from(last - bucket).unwrap_or_default();
            // In range: at least one is taken off the length, and the statement names no older bucket.
            let from_the_end = spans.len().saturating_sub(place + 1);
            spans[from_the_end] = Ended {
                succeeded: succeeded.unsigned_abs(),
                others: (jobs - succeeded).unsigned_abs(),
            };
            first_counted.get_or_insert(from_the_end);
            counted += jobs;
        }
        // Of the first of them, and of those before it, some were not counted.
        let left_out = first_counted
            .filter(|_| counted >= MOST)
            .map_or(0, |first| first + 1);
        spans.drain(..left_out);
        let kept = i64::try_from(spans.len()).unwrap_or_default();
        Ok(Self {
            since_ms: (last + 1 - kept) * span_ms,
            span_ms,
            spans,
        })
    }
}
