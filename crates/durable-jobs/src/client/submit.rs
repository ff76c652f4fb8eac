//! Submission: one row per job, written once whatever is retried.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryScalar;
use tracing::debug;

use super::{Client, Delay, NewJob, SubmitOptions};
use crate::database::is_broken;
use crate::database::workflow_rows::WRITE;
use crate::job::JobType;
use crate::presence::CHANNEL;
use crate::record::{APPLICATION, Failure, JobId, MAX_INPUT_BYTES, milliseconds};
use crate::{Error, Reply};

/// So many jobs are written by one statement.
pub(super) const AT_ONCE: usize = 1_000;

/// The queue is ordered by dates of milliseconds, so the jobs of one submission are dated apart, the first of many this long
/// before now: not later than now, when they might run, and not so long that they pass many jobs of others.
pub(super) const OLDEST_MS: i64 = 1_000;

/// The pause before a statement whose connection broke is sent again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The form of a row's input: plain JSON, which every reader of the schema understands.
const SERIALIZATION: &str = "rust_serde";

impl Client {
    /// Submits a job of type `T` under a fresh id.
    ///
    /// # Errors
    /// As [`Client::submit_all`].
    pub async fn submit<T: JobType>(&self, input: &T::Input, options: SubmitOptions) -> Result<JobId, Error> {
        let job = NewJob::of::<T>(JobId::fresh(), input)?;
        self.submit_all(std::slice::from_ref(&job), options).await?;
        Ok(job.id)
    }

    /// Submits one job and returns its id.
    ///
    /// # Errors
    /// As [`Client::submit_all`].
    pub fn submit_job(&self, job: NewJob) -> Reply<'_, JobId> {
        Box::pin(async move {
            self.submit_all(std::slice::from_ref(&job), SubmitOptions::default())
                .await?;
            Ok(job.id)
        })
    }

    /// Submits jobs under the ids given; submitting the same again changes nothing.
    ///
    /// Up to a thousand are queued in the order given, the first of them dated up to a second before now; of more, those
    /// dated at the same millisecond may change places, such as ten of ten thousand.
    /// One statement writes a thousand jobs, as a whole or not at all.
    ///
    /// Every job is checked before the first is queued.
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::Timeout`] or [`Error::Delay`] when something is refused (nothing is queued);
    /// [`Error::Unreachable`] or [`Error::Database`] when the database could not be asked; [`Error::IdTaken`] when an id names a
    /// job that was submitted otherwise, [`Error::IdTwice`] when two of these have it (nothing is queued); [`Error::CutShort`]
    /// when some of several jobs were queued before another of these errors: the same call again completes them.
    pub fn submit_all<'a>(&'a self, jobs: &'a [NewJob], options: SubmitOptions) -> Reply<'a, ()> {
        Box::pin(async move {
            for job in jobs {
                self.admit(job)?;
            }
            options.check()?;
            // Of several, none is queued when one is refused; a single one is compared after its insert did nothing.
            if jobs.len() > 1 {
                self.count_queued(jobs, options).await?;
            }
            for (position, some) in jobs.chunks(AT_ONCE).enumerate() {
                let queued = position * AT_ONCE;
                let mut rows = Rows::of(some, options);
                rows.date_among(queued, jobs.len());
                let written = self.enqueue(some, options, &rows).await;
                written.map_err(|cause| cut_short(queued, jobs.len(), cause))?;
            }
            self.announce(&self.queue).await;
            Ok(())
        })
    }

    /// Refuses a job that its type, as this client knows it, does not admit.
    pub(super) fn admit(&self, job: &NewJob) -> Result<(), Error> {
        let bytes = job.input.len();
        if bytes > MAX_INPUT_BYTES {
            return Err(Error::Input {
                reason: format!(
                    "the input has {bytes} bytes, over the limit of {MAX_INPUT_BYTES}; keep it elsewhere and name the place"
                ),
            });
        }
        let admitted = match self.job_types.get(job.workflow) {
            Some(job_type) => input_of(job).and_then(|input| job_type.admit(&input, None).map(drop)),
            None => Err(Failure::invalid_request(format!(
                "the job type {:?} is not known here",
                job.workflow
            ))),
        };
        admitted.map_err(|failure| Error::Input {
            reason: failure.message,
        })
    }

    /// Tells workers that there is something to claim in `queue`. They would find it by themselves, a poll later.
    pub(super) async fn announce(&self, queue: &str) {
        let announce = sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(queue)
            .execute(&self.database.pool);
        if let Err(error) = self
            .database
            .bounded("announcing jobs", self.timeout, announce)
            .await
        {
            debug!(%error, "could not announce the jobs");
        }
    }

    /// Writes rows with one statement, again and again while the connection breaks.
    async fn enqueue(&self, jobs: &[NewJob], options: SubmitOptions, rows: &Rows<'_>) -> Result<(), Error> {
        let written = self.write(rows).await?;
        if written.len() == jobs.len() {
            return Ok(());
        }
        let written: HashSet<String> = written.into_iter().collect();
        let others = jobs.iter().filter(|job| !written.contains(job.id.as_str()));
        self.refuse_others(&others.collect::<Vec<_>>(), options)
            .await
            .map(drop)
    }

    /// Writes those of the rows that are not there, and returns their ids.
    pub(super) async fn write(&self, rows: &Rows<'_>) -> Result<Vec<String>, Error> {
        let mut broken = None;
        let written = async {
            loop {
                match rows
                    .insert(&self.queue, self.job_types.version())
                    .fetch_all(&self.database.pool)
                    .await
                {
                    // The rows may be there by now, which is what the statement passes over.
                    Err(error) if is_broken(&error) => {
                        self.database.drop_if_read_only(&error).await;
                        broken = Some(error);
                    }
                    written => return written,
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        let address = &self.database.address;
        let failed = |error: &sqlx::Error| address.failure("submitting jobs", error);
        match (tokio::time::timeout(self.timeout, written).await, broken) {
            (Ok(written), _) => written.map_err(|error| failed(&error)),
            // Why the last attempt failed says more than that the time is over.
            (Err(_), Some(error)) => Err(failed(&error)),
            (Err(_), None) => Err(address.silence(self.timeout).await),
        }
    }
}

/// Rows to be written, column by column.
pub(super) struct Rows<'a> {
    ids: Vec<&'a str>,
    names: Vec<&'static str>,
    inputs: Vec<&'a str>,
    priorities: Vec<i32>,
    attributes: Vec<Option<String>>,
    key: Option<&'a str>,
    timeout_ms: Option<i64>,
    delay_ms: Option<i64>,
    until_ms: Option<i64>,
    /// The time from the date of each until it is written.
    ages_ms: Vec<i64>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(jobs: &'a [NewJob], options: SubmitOptions) -> Self {
        let (delay_ms, until_ms) = match options.delay {
            Some(Delay::For(delay)) => (Some(milliseconds(delay)), None),
            Some(Delay::Until(moment)) => (None, Some(moment)),
            None => (None, None),
        };
        Self {
            ids: jobs.iter().map(|job| job.id.as_str()).collect(),
            names: jobs.iter().map(|job| job.workflow).collect(),
            inputs: jobs.iter().map(|job| job.input.as_str()).collect(),
            priorities: jobs.iter().map(|job| job.priority.column()).collect(),
            attributes: jobs.iter().map(NewJob::attributes).collect(),
            key: None,
            timeout_ms: options.timeout.map(milliseconds),
            delay_ms,
            until_ms,
            ages_ms: vec![0; jobs.len()],
        }
    }

    /// Dates them in their order among `all` jobs of one submission, of which `before` come before them.
    fn date_among(&mut self, before: usize, all: usize) {
        // A number that is too large is taken for so much that its product with `OLDEST_MS` still fits.
        let count = |jobs: usize| i64::try_from(jobs).unwrap_or(i64::MAX / OLDEST_MS);
        let apart = |after: i64| after * OLDEST_MS / count(all).max(OLDEST_MS);
        for (position, age) in (before + 1..).zip(&mut self.ages_ms) {
            *age = apart(count(all - position));
        }
    }

    /// Lets the only row hold a key.
    pub(super) fn under(self, key: &'a str) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// Builds the statement that writes them into `queue` and returns the ids of those it wrote.
    fn insert<'q>(
        &'q self,
        queue: &'q str,
        version: &'q str,
    ) -> QueryScalar<'q, Postgres, String, PgArguments> {
        sqlx::query_scalar(WRITE)
            .bind(&self.ids)
            .bind(&self.names)
            .bind(&self.inputs)
            .bind(&self.priorities)
            .bind(&self.attributes)
            .bind(SERIALIZATION)
            .bind(queue)
            .bind(version)
            .bind(APPLICATION)
            .bind(self.timeout_ms)
            .bind(self.delay_ms)
            .bind(self.until_ms)
            .bind(self.key)
            .bind(&self.ages_ms)
    }
}

/// Says how many of several jobs were queued before an error.
fn cut_short(queued: usize, jobs: usize, cause: Error) -> Error {
    if queued == 0 {
        return cause;
    }
    Error::CutShort {
        queued,
        jobs,
        cause: Box::new(cause),
    }
}

fn input_of(job: &NewJob) -> Result<Value, Failure> {
    serde_json::from_str(&job.input)
        .map_err(|error| Failure::invalid_request(format!("the input is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ages of all of so many jobs, as the statements date them.
    fn ages(all: usize) -> Vec<i64> {
        let jobs = vec![NewJob::recorded(JobId::new("a"), "w", String::new()); all];
        let chunks = jobs.chunks(AT_ONCE).enumerate().map(|(position, some)| {
            let mut rows = Rows::of(some, SubmitOptions::default());
            rows.date_among(position * AT_ONCE, all);
            rows.ages_ms
        });
        chunks.flatten().collect()
    }

    #[test]
    fn jobs_of_one_submission_are_dated_in_their_order() {
        assert_eq!(ages(1), [0]);
        assert_eq!(ages(3), [2, 1, 0]);
        assert!(ages(1000).into_iter().eq((0..1000).rev()));
        let ten_thousand = ages(10_000);
        assert!(ten_thousand.is_sorted_by(|a, b| a >= b), "their order is lost");
        assert_eq!((ten_thousand[0], ten_thousand[9_999]), (999, 0));
        assert!(
            ten_thousand.chunk_by(|a, b| a == b).all(|same| same.len() <= 11),
            "more share a date"
        );
    }
}
