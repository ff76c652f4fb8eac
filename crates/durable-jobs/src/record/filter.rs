//! A choice among all jobs.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::Value;

use super::{Batch, Details, Job, JobId, Label, State, shorten};

/// A choice among jobs, and their order. The default means all of them, the newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only these jobs; empty for all.
    pub ids: Vec<JobId>,
    /// Only these states; empty for all.
    pub states: Vec<State>,
    /// Only jobs whose id begins so; absent for all.
    pub id_prefix: Option<String>,
    /// Only jobs of this batch; absent for all.
    pub batch: Option<Batch>,
    /// Only jobs that have all of these tags.
    pub tags: Vec<Label>,
    /// Only jobs of this queue, also those that have left it; absent for all.
    pub queue: Option<String>,
    /// Only jobs of this workflow; absent for all.
    pub workflow: Option<String>,
    /// Only jobs that this worker has or had last; absent for all.
    pub executor_id: Option<String>,
    /// Only jobs with this text in their id, a tag, their batch, or a detail that they were submitted with; absent for all. No
    /// index has it: every other job that is meant is read for it.
    pub text: Option<String>,
    /// Only jobs that were submitted at this time or later; milliseconds since 1970-01-01 UTC by the database's clock.
    pub since_ms: Option<i64>,
    /// Only jobs that were submitted at this time or earlier, by the same clock.
    pub until_ms: Option<i64>,
    /// Only jobs that ended at this time or later, by the same clock. One that the engine itself put aside has no such time.
    pub completed_since_ms: Option<i64>,
    /// Only jobs that ended at this time or earlier, by the same clock.
    pub completed_until_ms: Option<i64>,
    /// Only jobs with such details. The database does not know them: every other job that is meant is read for them.
    pub details: Vec<DetailFilter>,
    /// Only jobs that come after this place in the order.
    pub after: Option<Cursor>,
    /// The order.
    pub order: Order,
    /// At most this many; absent for all.
    pub limit: Option<u32>,
}

/// An order of jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By the date of the submission, the newest first.
    #[default]
    NewestFirst,
    /// By the date of the submission, the oldest first.
    OldestFirst,
    /// By the date of the end, the last first; only jobs that have one.
    LastEndedFirst,
    /// By the date of the end, the first first; only jobs that have one.
    FirstEndedFirst,
}

/// A condition on one detail of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum DetailFilter {
    /// The detail of this name has this value.
    Is(String, Value),
    /// The detail of this name is a number of this range.
    Within(String, RangeInclusive<u64>),
}

/// A place in an order of jobs: that of one job, whether or not it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// True if the date is that of the end, not of the submission.
    pub(crate) is_ended: bool,
    /// The job's date; milliseconds since 1970-01-01 UTC by the database's clock.
    pub(crate) date_ms: i64,
    /// The job's id.
    pub(crate) id: JobId,
}

/// The refusal of a text that is no place in a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place in a list; give one that a list has named")]
pub struct CursorError(String);

impl JobFilter {
    /// Tests whether it means every job.
    #[must_use]
    pub fn means_all(&self) -> bool {
        self.ids.is_empty()
            && self.states.is_empty()
            && self.id_prefix.is_none()
            && self.batch.is_none()
            && self.tags.is_empty()
            && self.queue.is_none()
            && self.workflow.is_none()
            && self.executor_id.is_none()
            && self.text.is_none()
            && self.completed_since_ms.is_none()
            && self.completed_until_ms.is_none()
            && self.since_ms.is_none()
            && self.until_ms.is_none()
            && self.details.is_empty()
            && self.after.is_none()
    }
}

impl JobFilter {
    /// Tests whether jobs have to be read to know which of them are meant.
    pub(crate) fn needs_jobs(&self) -> bool {
        !self.details.is_empty() || self.text.is_some()
    }

    /// Tests what the database does not know of a job.
    pub(crate) fn admits(&self, job: &Job) -> bool {
        // The statement knows a parked job by a pattern, which the failure of another client may match.
        (self.states.is_empty() || self.states.contains(&job.state))
            && self.details.iter().all(|detail| detail.admits(&job.details))
            && self.text.as_ref().is_none_or(|text| has_text(job, text))
    }
}

/// Tests whether a text is in what a job is called.
fn has_text(job: &Job, text: &str) -> bool {
    job.workflow_id.as_str().contains(text)
        || job.tags.iter().any(|tag| tag.as_str().contains(text))
        || job
            .batch
            .as_ref()
            .is_some_and(|batch| batch.as_str().contains(text))
        || job.details.contain(text)
}

impl Order {
    /// Tests whether it is by the date of the end.
    pub(crate) fn is_by_end(self) -> bool {
        matches!(self, Self::LastEndedFirst | Self::FirstEndedFirst)
    }
}

impl DetailFilter {
    /// Tests whether details meet the condition.
    #[must_use]
    pub(crate) fn admits(&self, details: &Details) -> bool {
        match self {
            Self::Is(name, value) => details.get(name) == Some(value),
            Self::Within(name, range) => {
                let number = details.get(name).and_then(Value::as_u64);
                number.is_some_and(|number| range.contains(&number))
            }
        }
    }
}

impl Cursor {
    /// The place of a job in an order by submission.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self::within(Order::default(), job)
    }

    /// The place of a job in an order.
    #[must_use]
    pub fn within(order: Order, job: &Job) -> Self {
        let ended = job.completed_at_ms.filter(|_| order.is_by_end());
        Self {
            is_ended: order.is_by_end(),
            date_ms: ended.unwrap_or(job.created_at_ms),
            id: job.workflow_id.clone(),
        }
    }

    /// Tests whether it is a place in this order; in another one a list after it means nothing.
    #[must_use]
    pub fn is_within(&self, order: Order) -> bool {
        self.is_ended == order.is_by_end()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.is_ended { "ended:" } else { "" };
        write!(f, "{order}{}/{}", self.date_ms, self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let is_id = |id: &str| !id.is_empty() && !id.contains(char::is_control);
        let ended = text.strip_prefix("ended:");
        // At the first slash: an id may have more of them.
        let place = ended.unwrap_or(text).split_once('/').filter(|(_, id)| is_id(id));
        let place = place.and_then(|(date, id)| {
            Some(Self {
                is_ended: ended.is_some(),
                date_ms: date.parse().ok()?,
                id: JobId::new(id),
            })
        });
        place.ok_or_else(|| CursorError(shorten(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_is_read_as_it_is_written() {
        for text in ["1795748145723/01a21aee", "-1/a/b", "ended:5/ended:6/c"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "01a21aee",
            "x/y",
            "0/",
            "ended:",
            "ended:ended:1/x",
            "9223372036854775808/a",
        ] {
            assert!(text.parse::<Cursor>().unwrap_err().to_string().contains(text));
        }
    }

    #[test]
    fn a_detail_is_compared_as_what_it_is() {
        let details = Details::default().with("n", 30).with("algorithm", "doubling");
        let is = |name: &str, value: Value| DetailFilter::Is(name.to_owned(), value).admits(&details);
        assert!(is("algorithm", "doubling".into()) && !is("algorithm", "doubl".into()));
        assert!(!is("n", "30".into()) && !is("other", Value::Null));
        let within = |name: &str, range| DetailFilter::Within(name.to_owned(), range).admits(&details);
        assert!(within("n", 30..=30) && within("n", 0..=u64::MAX));
        assert!(
            !within("n", 31..=40) && !within("algorithm", 0..=u64::MAX) && !within("other", 0..=u64::MAX)
        );
    }
}
