//! Lists of any length, a page at a time.
//!
//! Each page is a question of its own that begins where the last one ended, so that a reader who takes a long time holds
//! neither a statement nor a snapshot open in the database, and no more than a page is ever in memory.
//!
//! It is not one moment of the database: a job may be shown as it was before another one's page was read.

use sqlx::postgres::PgRow;

use super::{Client, unreadable};
use crate::database::workflow_rows::{count_up_to, dates, number_and_end, page};
use crate::record::{Cursor, Job, JobFilter, Order, State};
use crate::{Error, Reply};

/// The number of rows that are read at once.
const PAGE: usize = 500;

/// The same where most of them are not shown.
const PAGE_OF_DETAILS: usize = 5_000;

/// So many jobs are not few.
const FEW: i64 = 20_000;

/// A list of jobs as far as it has not been read.
pub struct Pages<'a> {
    client: &'a Client,
    filter: JobFilter,
    /// The number of jobs that may still be shown.
    left: usize,
    is_narrow: bool,
    is_over: bool,
}

/// A number of jobs, as far as they were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobCount {
    /// So many.
    Exactly(u64),
    /// More than so many.
    Over(u64),
}

impl Client {
    /// Lists jobs, whatever their queue and their type.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn list<'a>(&'a self, filter: &'a JobFilter) -> Reply<'a, Vec<Job>> {
        Box::pin(async move {
            let mut pages = self.pages(filter);
            let mut jobs = Vec::new();
            while let Some(page) = pages.next().await? {
                jobs.extend(page);
            }
            Ok(jobs)
        })
    }

    /// Lists jobs as [`Client::list`] does, a page at a time.
    #[must_use]
    pub fn pages(&self, filter: &JobFilter) -> Pages<'_> {
        Pages {
            client: self,
            filter: filter.clone(),
            left: filter.limit.map_or(usize::MAX, |limit| limit as usize),
            is_narrow: false,
            is_over: false,
        }
    }

    /// Counts the jobs that a filter means, whatever its limit, up to a number.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub fn count<'a>(&'a self, filter: &'a JobFilter, most: u64) -> Reply<'a, JobCount> {
        Box::pin(async move {
            let counted = if filter.needs_jobs() {
                self.count_jobs(filter, most).await?
            } else {
                self.count_rows(filter, most.saturating_add(1)).await?
            };
            Ok(if counted > most {
                JobCount::Over(most)
            } else {
                JobCount::Exactly(counted)
            })
        })
    }

    /// Freezes a filter: as it comes back it means the jobs that are there now and no later ones, so many as it says, the
    /// oldest first. So no more is changed than somebody agreed to.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub(super) fn freeze(&self, filter: JobFilter) -> Reply<'_, (JobFilter, u64)> {
        Box::pin(async move {
            let mut query = number_and_end(&filter);
            let counted = self
                .database
                .by_index("counting jobs", self.timeout, |connection| {
                    Box::pin(async move { query.build_query_as().fetch_one(connection).await })
                });
            let (count, end): (i64, Option<i64>) = counted.await?;
            let mut frozen = JobFilter {
                // The date of the last job that is there and not of now: another client's clock may be ahead.
                until_ms: end.or(filter.until_ms),
                order: Order::OldestFirst,
                ..filter
            };
            let count = if frozen.needs_jobs() {
                self.count_jobs(&frozen, u64::MAX).await?
            } else {
                count.unsigned_abs()
            };
            frozen.limit = Some(u32::try_from(count).unwrap_or(u32::MAX));
            Ok((frozen, count))
        })
    }

    async fn count_rows(&self, filter: &JobFilter, most: u64) -> Result<u64, Error> {
        let mut query = count_up_to(filter, i64::try_from(most).unwrap_or(i64::MAX));
        let counted = self
            .database
            .by_index("counting jobs", self.timeout, |connection| {
                Box::pin(async move { query.build_query_scalar::<i64>().fetch_one(connection).await })
            });
        Ok(counted.await?.unsigned_abs())
    }

    /// Adds the dates between which jobs were submitted of which there are few; without them, a page of a batch of last year is
    /// looked for among all jobs since.
    async fn narrowed(&self, filter: JobFilter) -> Result<JobFilter, Error> {
        let mut query = dates(&filter, FEW);
        let dates = self
            .database
            .by_index("looking for jobs", self.timeout, |connection| {
                Box::pin(async move { query.build_query_as().fetch_one(connection).await })
            });
        let dates: (i64, Option<i64>, Option<i64>) = dates.await?;
        Ok(match dates {
            (FEW.., ..) => filter,
            (_, first, last) => JobFilter {
                since_ms: first.or(filter.since_ms),
                until_ms: last.or(filter.until_ms),
                ..filter
            },
        })
    }

    /// Counts by reading, since the database does not know details.
    async fn count_jobs(&self, filter: &JobFilter, most: u64) -> Result<u64, Error> {
        let mut pages = self.pages(&JobFilter {
            limit: None,
            ..filter.clone()
        });
        let mut count = 0;
        while count <= most
            && let Some(jobs) = pages.next().await?
        {
            count += jobs.len() as u64;
        }
        Ok(count)
    }
}

impl Pages<'_> {
    /// Reads the next page, which has at least one job; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    #[expect(clippy::should_implement_trait, reason = "its answer is awaited")]
    pub fn next(&mut self) -> Reply<'_, Option<Vec<Job>>> {
        Box::pin(async move {
            while self.left > 0 && !self.is_over {
                let mut jobs = self.read().await?;
                jobs.retain(|job| self.filter.admits(job));
                jobs.truncate(self.left);
                self.left -= jobs.len();
                // Back to the last one that is shown: what the limit cut off is the first of another list.
                if let Some(last) = jobs.last() {
                    self.filter.after = Some(Cursor::within(self.filter.order, last));
                    return Ok(Some(jobs));
                }
            }
            Ok(None)
        })
    }

    /// The place from which another list goes on after the jobs of the last page; absent before the first.
    #[must_use]
    pub fn place(&self) -> Option<&Cursor> {
        self.filter.after.as_ref()
    }

    /// Reads the rows that come next, and moves on.
    async fn read(&mut self) -> Result<Vec<Job>, Error> {
        // With details or a text, the limit says nothing of the rows.
        let asked = if self.filter.needs_jobs() {
            PAGE_OF_DETAILS
        } else {
            PAGE.min(self.left)
        };
        let client = self.client;
        if !self.is_narrow && has_index(&self.filter) {
            self.filter = client.narrowed(self.filter.clone()).await?;
        }
        self.is_narrow = true;
        let mut query = page(&self.filter, i64::try_from(asked).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&client.database.pool);
        let rows: Vec<PgRow> = client
            .database
            .bounded("listing jobs", client.timeout, rows)
            .await?;
        let jobs: Result<Vec<Job>, _> = rows.iter().map(|row| client.job_of(row)).collect();
        let jobs = jobs.map_err(|error| unreadable(&error))?;
        self.is_over = jobs.len() < asked;
        if let Some(last) = jobs.last() {
            self.filter.after = Some(Cursor::within(self.filter.order, last));
        }
        Ok(jobs)
    }
}

/// Tests whether an index, other than that of the dates, finds what is meant.
fn has_index(filter: &JobFilter) -> bool {
    let is_open = |state: &State| !state.is_final();
    filter.ids.is_empty()
        && (filter.batch.is_some()
            || !filter.tags.is_empty()
            || !filter.states.is_empty() && filter.states.iter().all(is_open))
}
