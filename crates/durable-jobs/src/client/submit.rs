//! Submission: one row per job, written once whatever is retried.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{WorkflowFilter, WorkflowRecord};
use serde_json::Value;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryScalar;
use tracing::debug;

use super::Client;
use crate::Error;
use crate::database::is_broken;
use crate::database::workflow_rows::WRITE;
use crate::job::JobType;
use crate::presence::CHANNEL;
use crate::record::{APPLICATION, Failure, JobId, MAX_INPUT_BYTES};

/// The shortest timeout of a job: the database counts milliseconds.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest timeout of a job: a hundred years.
const MAX_TIMEOUT: Duration = Duration::from_hours(100 * 366 * 24);

/// Up to this many jobs are written a millisecond apart, which keeps their order and takes a fifth of a second.
const PACED: usize = 100;

/// More are written so many at a time, by one statement.
const AT_ONCE: usize = 500;

/// The pause before a statement whose connection broke is sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The form of a row's input: plain JSON, which every reader of the schema understands.
const SERIALIZATION: &str = "rust_serde";

/// The options of a submission.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubmitOptions {
    /// The time that the job may take from its first start, over restarts; it is cancelled after that.
    pub timeout: Option<Duration>,
}

impl SubmitOptions {
    /// Refuses a timeout that no clock can hold, and one that ends the job before it begins.
    fn check(&self) -> Result<(), Error> {
        match self.timeout {
            Some(timeout) if timeout < MIN_TIMEOUT || timeout > MAX_TIMEOUT => Err(Error::Timeout),
            _ => Ok(()),
        }
    }
}

/// A job to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id, which names no other job.
    pub id: JobId,
    /// The name of its type.
    pub workflow: &'static str,
    /// Its input as JSON, in the form that is recorded.
    pub input: String,
}

impl NewJob {
    /// Makes a job of type `T` under this id.
    ///
    /// # Errors
    /// [`Error::Input`] where the input has no form in JSON.
    pub fn of<T: JobType>(id: JobId, input: &T::Input) -> Result<Self, Error> {
        let input = serde_json::to_string(input).map_err(|error| Error::Input {
            reason: error.to_string(),
        })?;
        Ok(Self {
            id,
            workflow: T::WORKFLOW,
            input,
        })
    }
}

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
    pub async fn submit_job(&self, job: NewJob) -> Result<JobId, Error> {
        self.submit_all(std::slice::from_ref(&job), SubmitOptions::default())
            .await?;
        Ok(job.id)
    }

    /// Submits jobs under the ids given; submitting the same again changes nothing.
    ///
    /// Up to a hundred are queued in the order given; of more, those of the same millisecond may change places.
    ///
    /// Every job is checked before the first is queued.
    ///
    /// # Errors
    /// [`Error::Input`] or [`Error::Timeout`] when something is refused (nothing is queued); [`Error::Unreachable`] or
    /// [`Error::Database`] when the database could not be asked; [`Error::IdTaken`] when an id names a job that asks for
    /// something else; [`Error::CutShort`] when some of several jobs were queued before another of these errors: the same
    /// call again completes them.
    pub async fn submit_all(&self, jobs: &[NewJob], options: SubmitOptions) -> Result<(), Error> {
        for job in jobs {
            self.admit(job)?;
        }
        options.check()?;
        self.refuse_contradictions(jobs)?;
        let at_once = if jobs.len() <= PACED { 1 } else { AT_ONCE };
        for (position, some) in jobs.chunks(at_once).enumerate() {
            if position > 0 {
                next_millisecond().await;
            }
            let written = self.enqueue(some, options).await;
            written.map_err(|cause| cut_short(position * at_once, jobs.len(), cause))?;
        }
        self.announce(&self.queue).await;
        Ok(())
    }

    /// Refuses a job that its type, as this client knows it, does not admit.
    fn admit(&self, job: &NewJob) -> Result<(), Error> {
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
    async fn enqueue(&self, jobs: &[NewJob], options: SubmitOptions) -> Result<(), Error> {
        let written = self.write(&Rows::of(jobs, options)).await?;
        if written.len() == jobs.len() {
            return Ok(());
        }
        let written: HashSet<String> = written.into_iter().collect();
        let others = jobs.iter().filter(|job| !written.contains(job.id.as_str()));
        self.refuse_others(&others.collect::<Vec<_>>()).await
    }

    /// Writes those of the rows that are not there, and returns their ids.
    async fn write(&self, rows: &Rows<'_>) -> Result<Vec<String>, Error> {
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
            (Err(_), Some(error)) => Err(failed(&error)),
            (Err(_), None) => Err(address.silence(self.timeout).await),
        }
    }

    /// Refuses an id that names a job which asks for something else.
    async fn refuse_others(&self, asked: &[&NewJob]) -> Result<(), Error> {
        let filter = WorkflowFilter {
            workflow_ids: asked.iter().map(|job| job.id.as_str()).collect(),
            load_input: true,
            load_output: false,
            ..WorkflowFilter::default()
        };
        let rows = self.database.engine.list_workflows(&filter, None);
        let rows = self
            .database
            .bounded("looking at the jobs of the same ids", self.timeout, rows)
            .await?;
        let mut stored = HashMap::with_capacity(rows.len());
        for mut row in rows {
            self.restore_input(&mut row).await?;
            let request = self.request_of(&row);
            stored.insert(row.workflow_id, request);
        }
        let is_other = |job: &&&NewJob| {
            stored
                .get(job.id.as_str())
                .is_some_and(|stored| *stored != self.request(job.workflow, &job.input))
        };
        match asked.iter().find(is_other) {
            Some(job) => Err(Error::IdTaken {
                id: job.id.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Refuses an id that is given twice for different jobs.
    fn refuse_contradictions(&self, jobs: &[NewJob]) -> Result<(), Error> {
        let mut asked = HashMap::with_capacity(jobs.len());
        let request = |job: &NewJob| self.request(job.workflow, &job.input);
        for job in jobs {
            let other = asked.insert(&job.id, job).filter(|other| *other != job);
            if other.is_some_and(|other| request(other) != request(job)) {
                return Err(Error::IdTaken {
                    id: job.id.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Returns the request of a row, if it makes sense.
    fn request_of(&self, row: &WorkflowRecord) -> Option<(&'static str, Value)> {
        self.request(row.name.as_deref()?, row.input.as_deref()?)
    }

    /// Returns the request of an input, however it is written.
    fn request(&self, workflow: &str, input: &str) -> Option<(&'static str, Value)> {
        let (name, job_type) = self.job_types.find(workflow)?;
        let input = serde_json::from_str(input).ok()?;
        Some((name, job_type.canonical(&input)?))
    }
}

/// Rows to be written, column by column.
struct Rows<'a> {
    ids: Vec<&'a str>,
    names: Vec<&'static str>,
    inputs: Vec<&'a str>,
    timeout_ms: Option<i64>,
}

impl<'a> Rows<'a> {
    fn of(jobs: &'a [NewJob], options: SubmitOptions) -> Self {
        let milliseconds = |timeout: Duration| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        Self {
            ids: jobs.iter().map(|job| job.id.as_str()).collect(),
            names: jobs.iter().map(|job| job.workflow).collect(),
            inputs: jobs.iter().map(|job| job.input.as_str()).collect(),
            timeout_ms: options.timeout.map(milliseconds),
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
            .bind(SERIALIZATION)
            .bind(queue)
            .bind(version)
            .bind(APPLICATION)
            .bind(self.timeout_ms)
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

/// Lets a millisecond pass: the queue is ordered by the time of submission, which is kept in milliseconds.
async fn next_millisecond() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
