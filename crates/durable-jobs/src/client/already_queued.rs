//! Jobs of a submission that are there already: they are counted if they were submitted the same, and refused if not.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{Timestamp, WorkflowFilter, WorkflowRecord};
use serde_json::Value;

use super::submit::{AT_ONCE, OLDEST_MS};
use super::{Client, Delay, NewJob, SubmitOptions};
use crate::record::{Attributes, ENGINE_QUEUE, Label, milliseconds, shorten};
use crate::{Difference, Error, Reply, Stated, Term};

impl Client {
    /// Counts those of the jobs that were queued before, such as by the same submission when it was cut short.
    ///
    /// # Errors
    /// [`Error::IdTwice`]; [`Error::IdTaken`] when one of them is there and was submitted otherwise; [`Error::Unreachable`] or
    /// [`Error::Database`].
    pub fn count_queued<'a>(&'a self, jobs: &'a [NewJob], options: SubmitOptions) -> Reply<'a, usize> {
        Box::pin(async move {
            refuse_twice(jobs)?;
            let is_known_new = |job: &&NewJob| {
                let batch = job.batch.as_ref().filter(|_| options.has_fresh_batch);
                batch.is_some_and(|batch| batch.numbers(&job.id))
            };
            let asked: Vec<&NewJob> = jobs.iter().filter(|job| !is_known_new(job)).collect();
            let mut queued = 0;
            for some in asked.chunks(AT_ONCE) {
                queued += self.refuse_others(some, options).await?;
            }
            Ok(queued)
        })
    }

    /// Refuses an id that names a job which was submitted otherwise, and counts the jobs that are there.
    pub(super) async fn refuse_others(
        &self,
        asked: &[&NewJob],
        options: SubmitOptions,
    ) -> Result<usize, Error> {
        let filter = WorkflowFilter {
            workflow_ids: asked.iter().map(|job| job.id.as_str()).collect(),
            load_input: true,
            load_output: false,
            ..WorkflowFilter::default()
        };
        let rows = self.rows_of(&filter).await?;
        let stored: HashMap<&str, &WorkflowRecord> =
            rows.iter().map(|row| (row.workflow_id.as_str(), row)).collect();
        for job in asked {
            let row = stored.get(job.id.as_str());
            let difference = row.and_then(|row| self.difference(row, job, options));
            if difference.is_some() {
                let id = job.id.to_string();
                return Err(Error::IdTaken { id, difference });
            }
        }
        Ok(stored.len())
    }

    /// Reads rows with their inputs, wherever these are.
    pub(super) async fn rows_of(&self, filter: &WorkflowFilter<'_>) -> Result<Vec<WorkflowRecord>, Error> {
        let rows = self.database.engine.list_workflows(filter, None);
        let mut rows = self
            .database
            .bounded("looking at the jobs that are there", self.timeout, rows)
            .await?;
        self.restore_inputs(&mut rows).await?;
        Ok(rows)
    }

    /// Returns the request of a row, if it makes sense.
    pub(super) fn request_of(&self, row: &WorkflowRecord) -> Option<(&'static str, Value)> {
        self.request(row.name.as_deref()?, row.input.as_deref()?)
    }

    /// Returns the request of an input, however it is written.
    pub(super) fn request(&self, workflow: &str, input: &str) -> Option<(&'static str, Value)> {
        let (name, job_type) = self.job_types.find(workflow)?;
        let input = serde_json::from_str(input).ok()?;
        Some((name, job_type.canonical(&input)?))
    }

    /// Finds the first thing in which a row is not as the job is submitted now.
    fn difference(&self, row: &WorkflowRecord, job: &NewJob, options: SubmitOptions) -> Option<Difference> {
        // Compared as requests: another client may have written the same one in other words.
        if self.request_of(row) != self.request(job.workflow, &job.input) {
            let stands = row.input.as_deref().unwrap_or("unreadable");
            return differs(Term::Input, text(&shorten(stands)), text(&shorten(&job.input)));
        }
        let stands = Attributes::of_row(row.attributes.as_deref());
        self.of_queue(row, job)
            .or_else(|| of_words(&stands, job, options))
            .or_else(|| of_timeout(row, options))
            .or_else(|| of_delay(row, options))
    }

    fn of_queue(&self, row: &WorkflowRecord, job: &NewJob) -> Option<Difference> {
        // One that was cancelled has left its queue, and the engine's own is that of no submission.
        let queue = row
            .queue_name
            .as_deref()
            .filter(|queue| !["", ENGINE_QUEUE].contains(queue));
        queue
            .and_then(|queue| differs(Term::Queue, text(queue), text(&self.queue)))
            .or_else(|| {
                differs(
                    Term::Priority,
                    text(&row.priority.max(0)),
                    text(&job.priority.number()),
                )
            })
    }
}

/// Refuses an id that two jobs of a submission have.
fn refuse_twice(jobs: &[NewJob]) -> Result<(), Error> {
    match NewJob::first_twice(jobs) {
        None => Ok(()),
        Some((first, second)) => Err(Error::IdTwice {
            id: jobs[second].id.to_string(),
            first,
            second,
        }),
    }
}

fn of_words(stands: &Attributes, job: &NewJob, options: SubmitOptions) -> Option<Difference> {
    let tags = |tags: &[Label]| {
        let tags: BTreeSet<&str> = tags.iter().map(Label::as_str).collect();
        let tags: Vec<&str> = tags.into_iter().collect();
        if tags.is_empty() {
            return Stated::Nothing;
        }
        text(&tags.join(", "))
    };
    // A batch that is new has a job that names its own id, whatever that one was submitted with.
    let batch = job.batch.as_ref().filter(|_| !options.has_fresh_batch);
    let in_batch = batch.and_then(|batch| {
        let stands = stands.batch.as_ref().map_or(Stated::Nothing, text);
        differs(Term::Batch, stands, text(batch))
    });
    in_batch.or_else(|| differs(Term::Tags, tags(&stands.tags), tags(&job.tags)))
}

fn of_timeout(row: &WorkflowRecord, options: SubmitOptions) -> Option<Difference> {
    // Rows count milliseconds.
    let whole =
        |period: Duration| Duration::from_millis(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
    let period =
        |period: Option<Duration>| period.map_or(Stated::Nothing, |given| Stated::Period(whole(given)));
    differs(Term::Timeout, period(row.timeout), period(options.timeout))
}

/// Compares a delay with the one in the row, whose date may be a little before the moment from which it was counted.
fn of_delay(row: &WorkflowRecord, options: SubmitOptions) -> Option<Difference> {
    let dated = row.created_at.as_epoch_ms();
    // A submission dates its rows less than `OLDEST_MS` before it writes them.
    let is_untouched = (0..OLDEST_MS).contains(&(row.updated_at.as_epoch_ms() - dated));
    let due = row.delay_until.map(Timestamp::as_epoch_ms);
    let period = |due: i64| Stated::Period(Duration::from_millis((due - dated).max(0).unsigned_abs()));
    let (stands, asked) = match (
        due,
        options.delay.filter(|delay| *delay != Delay::For(Duration::ZERO)),
    ) {
        (None, None) => return None,
        (Some(due), None) => (period(due), Stated::Nothing),
        (Some(due), Some(Delay::Until(moment))) => (Stated::Moment(due), Stated::Moment(moment)),
        (Some(due), Some(Delay::For(delay))) => {
            let asked_ms = milliseconds(delay);
            if (0..OLDEST_MS).contains(&(due - dated - asked_ms)) {
                return None;
            }
            (period(due), Stated::Period(delay))
        }
        // A job that is resumed waits no more; and a moment that has passed delays nothing.
        (None, Some(_)) if !is_untouched => return None,
        (None, Some(Delay::Until(moment))) if moment < dated + OLDEST_MS => return None,
        (None, Some(Delay::Until(moment))) => (Stated::Nothing, Stated::Moment(moment)),
        (None, Some(Delay::For(delay))) => (Stated::Nothing, Stated::Period(delay)),
    };
    differs(Term::Delay, stands, asked)
}

fn differs(term: Term, stands: Stated, asked: Stated) -> Option<Difference> {
    (stands != asked).then_some(Difference { term, stands, asked })
}

fn text(value: &(impl ToString + ?Sized)) -> Stated {
    Stated::Text(value.to_string())
}
