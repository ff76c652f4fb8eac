//! Jobs to be submitted, and when they are to run.

use std::collections::HashMap;
use std::time::Duration;

use crate::Error;
use crate::job::JobType;
use crate::record::{Attributes, Batch, JobId, Label};

/// The shortest timeout of a job: the database counts milliseconds.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest timeout and the longest delay of a job: a hundred years.
const MAX_PERIOD: Duration = Duration::from_hours(100 * 366 * 24);

/// The options of a submission.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubmitOptions {
    /// The time that the job may take from its first start, over restarts; it is cancelled after that.
    pub timeout: Option<Duration>,
    /// The moment from which the job may be started; absent for at once.
    pub delay: Option<Delay>,
    /// True if the batch of the jobs was made for them ([`Batch::fresh`]): its ids are nobody's and are not looked up, and a
    /// job that names its own may be there in another batch.
    pub has_fresh_batch: bool,
}

/// The moment from which a job may be started, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// So long after its submission.
    For(Duration),
    /// At this moment, in milliseconds since 1970-01-01 UTC; one that has passed delays nothing.
    Until(i64),
}

/// The last moment to which a job is delayed: the end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

impl SubmitOptions {
    /// Refuses a timeout or a delay that no clock can hold, and a timeout that ends the job before it begins.
    pub(super) fn check(&self) -> Result<(), Error> {
        match (self.timeout, self.delay) {
            (Some(timeout), _) if timeout < MIN_TIMEOUT || timeout > MAX_PERIOD => Err(Error::Timeout),
            (_, Some(Delay::For(delay))) if delay > MAX_PERIOD => Err(Error::Delay),
            (_, Some(Delay::Until(at_ms))) if at_ms > LAST_MS => Err(Error::Delay),
            _ => Ok(()),
        }
    }
}

/// The rank of a job in its queue: a lower number is claimed sooner, and 0, that of most jobs, first of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Priority(i32);

impl Priority {
    /// The last of all.
    pub const LAST: u32 = i32::MAX.unsigned_abs();

    /// Takes a number up to [`Priority::LAST`].
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        i32::try_from(number).ok().map(Self)
    }

    pub(super) fn column(self) -> i32 {
        self.0
    }

    pub(super) fn number(self) -> u32 {
        self.0.unsigned_abs()
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
    /// Its rank in the queue.
    pub priority: Priority,
    /// Words that it can be found by.
    pub tags: Vec<Label>,
    /// The jobs that it is submitted with.
    pub batch: Option<Batch>,
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
        Ok(Self::recorded(id, T::WORKFLOW, input))
    }

    /// Makes a job of the type of this name, whose input is JSON in the form that is recorded.
    #[must_use]
    pub fn recorded(id: JobId, workflow: &'static str, input: String) -> Self {
        Self {
            id,
            workflow,
            input,
            priority: Priority::default(),
            tags: Vec::new(),
            batch: None,
        }
    }

    /// Returns the positions of the first two jobs that have the same id.
    #[must_use]
    pub fn first_twice<'a>(jobs: impl IntoIterator<Item = &'a Self>) -> Option<(usize, usize)> {
        let mut positions = HashMap::new();
        jobs.into_iter().enumerate().find_map(|(position, job)| {
            let before = positions.insert(&job.id, position)?;
            Some((before, position))
        })
    }

    /// Returns what the row says of it beside its input, as the engine's other tools show it; absent for nothing.
    pub(super) fn attributes(&self) -> Option<String> {
        Attributes::json(&self.tags, self.batch.as_ref())
    }
}
