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
    /// Only jobs that were submitted at this time or later; milliseconds since 1970-01-01 UTC by the database's clock.
    pub since_ms: Option<i64>,
    /// Only jobs that were submitted at this time or earlier, by the same clock.
    pub until_ms: Option<i64>,
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
    /// When the job was submitted; milliseconds since 1970-01-01 UTC by the database's clock.
    pub(crate) created_at_ms: i64,
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
            && self.since_ms.is_none()
            && self.until_ms.is_none()
            && self.details.is_empty()
            && self.after.is_none()
    }
}

impl DetailFilter {
    /// Tests whether details meet the condition.
    #[must_use]
    pub fn admits(&self, details: &Details) -> bool {
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
    /// The place of a job.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self {
            created_at_ms: job.created_at_ms,
            id: job.workflow_id.clone(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.created_at_ms, self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let is_id = |id: &str| !id.is_empty() && !id.contains(char::is_control);
        let place = text.split_once('/').filter(|(_, id)| is_id(id));
        let place = place.and_then(|(date, id)| {
            Some(Self {
                created_at_ms: date.parse().ok()?,
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
        for text in ["1795748145723/01a21aee", "-1/a/b"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", "01a21aee", "x/y", "0/", "9223372036854775808/a"] {
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
