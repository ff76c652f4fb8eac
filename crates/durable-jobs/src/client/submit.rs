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
use crate::database::is_broken;
use crate::presence::CHANNEL;
use crate::record::{JobId, Request, RequestError, WorkflowName};
use crate::{APPLICATION, APPLICATION_VERSION, Error};

/// The shortest timeout of a job: the database counts milliseconds.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest timeout of a job: a hundred years.
const MAX_TIMEOUT: Duration = Duration::from_hours(100 * 366 * 24);

/// Up to this many jobs are written a millisecond apart, which keeps their order and takes a fifth of a second.
const PACED: usize = 100;

/// More are written so many at a time, by one statement.
const AT_ONCE: usize = 500;

/// Writes rows as the engine does, but for those that are there.
const WRITE: &str = "insert into dbos.workflow_status (workflow_uuid, name, inputs, status, serialization, queue_name, \
         application_version, application_name, workflow_timeout_ms, created_at, updated_at, recovery_attempts, \
         priority, is_debounced, owner_xid) \
     select id, name, input, 'ENQUEUED', $4, $5, $6, $7, $8, now.ms, now.ms, 0, 0, false, \
         gen_random_uuid()::text \
     from unnest($1::text[], $2::text[], $3::text[]) with ordinality as jobs (id, name, input, position), \
         (select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms) as now \
     order by position \
     on conflict (workflow_uuid) do nothing returning workflow_uuid";

/// How soon a statement whose connection broke is sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How a row's input is written: plain JSON, which every reader of the schema understands.
const SERIALIZATION: &str = "rust_serde";

/// How a job is submitted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubmitOptions {
    /// How long the job may take from its first start, over restarts; it is cancelled after that.
    pub timeout: Option<Duration>,
}

impl SubmitOptions {
    /// Refuses a timeout that no clock can hold, and one that ends the job before it begins.
    fn check(&self) -> Result<(), RequestError> {
        match self.timeout {
            Some(timeout) if timeout < MIN_TIMEOUT || timeout > MAX_TIMEOUT => Err(RequestError::Timeout),
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Submits one job under a fresh id.
    ///
    /// # Errors
    /// [`Error::Request`] when the request is refused (nothing is queued); [`Error::Unreachable`] or
    /// [`Error::Database`] when the database could not be asked.
    pub async fn submit(&self, request: Request) -> Result<JobId, Error> {
        let id = JobId::fresh();
        self.submit_all(&[(id.clone(), request)], SubmitOptions::default())
            .await?;
        Ok(id)
    }

    /// Submits jobs under the ids given; submitting the same again changes nothing.
    ///
    /// Up to a hundred are queued in the order given; of more, those of the same millisecond may change places.
    ///
    /// Every request is checked before the first is queued.
    ///
    /// # Errors
    /// As [`Client::submit`]; [`Error::IdTaken`] when an id names a job that asks for something else; [`Error::CutShort`]
    /// when some of several jobs were queued before another of these errors: the same call again completes them.
    pub async fn submit_all(&self, jobs: &[(JobId, Request)], options: SubmitOptions) -> Result<(), Error> {
        for (_, request) in jobs {
            self.limits.check(request)?;
        }
        options.check()?;
        refuse_contradictions(jobs)?;
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
    async fn enqueue(&self, jobs: &[(JobId, Request)], options: SubmitOptions) -> Result<(), Error> {
        let written = self.write(&Rows::of(jobs, options)?).await?;
        if written.len() == jobs.len() {
            return Ok(());
        }
        let written: HashSet<String> = written.into_iter().collect();
        let others = jobs.iter().filter(|(id, _)| !written.contains(id.as_str()));
        self.refuse_others(others.map(|(id, request)| (id, request)).collect())
            .await
    }

    /// Writes those of the rows that are not there, and returns their ids.
    async fn write(&self, rows: &Rows<'_>) -> Result<Vec<String>, Error> {
        let mut broken = None;
        let written = async {
            loop {
                match rows.insert(&self.queue).fetch_all(&self.database.pool).await {
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
    async fn refuse_others(&self, asked: Vec<(&JobId, &Request)>) -> Result<(), Error> {
        let filter = WorkflowFilter {
            workflow_ids: asked.iter().map(|(id, _)| id.as_str()).collect(),
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
            let request = request_of(&row);
            stored.insert(row.workflow_id, request);
        }
        let taken = asked.iter().find(|(id, request)| {
            stored
                .get(id.as_str())
                .is_some_and(|stored| *stored != Some(**request))
        });
        match taken {
            Some((id, _)) => Err(Error::IdTaken { id: id.to_string() }),
            None => Ok(()),
        }
    }
}

/// Rows to be written, column by column.
struct Rows<'a> {
    ids: Vec<&'a str>,
    names: Vec<&'static str>,
    inputs: Vec<String>,
    timeout_ms: Option<i64>,
}

impl<'a> Rows<'a> {
    fn of(jobs: &'a [(JobId, Request)], options: SubmitOptions) -> Result<Self, Error> {
        let workflow = |request: &Request| WorkflowName::of(request.algorithm).name();
        let milliseconds = |timeout: Duration| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        Ok(Self {
            ids: jobs.iter().map(|(id, _)| id.as_str()).collect(),
            names: jobs.iter().map(|(_, request)| workflow(request)).collect(),
            inputs: jobs
                .iter()
                .map(|(_, request)| input_of(request))
                .collect::<Result<_, _>>()?,
            timeout_ms: options.timeout.map(milliseconds),
        })
    }

    /// Builds the statement that writes them into `queue` and returns the ids of those it wrote.
    fn insert<'q>(&'q self, queue: &'q str) -> QueryScalar<'q, Postgres, String, PgArguments> {
        sqlx::query_scalar(WRITE)
            .bind(&self.ids)
            .bind(&self.names)
            .bind(&self.inputs)
            .bind(SERIALIZATION)
            .bind(queue)
            .bind(APPLICATION_VERSION)
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

fn input_of(request: &Request) -> Result<String, Error> {
    serde_json::to_string(request).map_err(|error| Error::Database {
        operation: "writing a request",
        reason: error.to_string(),
    })
}

/// What a row asks for, if it makes sense.
fn request_of(row: &WorkflowRecord) -> Option<Request> {
    let input = serde_json::from_str::<Value>(row.input.as_deref()?).ok()?;
    let workflow = WorkflowName::parse(row.name.as_deref()?)?;
    Request::decode_for(workflow, &input).ok()
}

/// Refuses an id that is given twice for different requests.
fn refuse_contradictions(jobs: &[(JobId, Request)]) -> Result<(), Error> {
    let mut asked = HashMap::with_capacity(jobs.len());
    for (id, request) in jobs {
        if asked.insert(id, request).is_some_and(|other| other != request) {
            return Err(Error::IdTaken { id: id.to_string() });
        }
    }
    Ok(())
}

/// Lets a millisecond pass: the queue is ordered by the time of submission, which is kept in milliseconds.
async fn next_millisecond() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
