//! Short texts that people choose and every list can show.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{JobId, shorten};

/// A tag of jobs, or a key that one job holds at a time: 1 to 128 printable characters of ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    const MAX_LEN: usize = 128;

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes what a row holds as it is: another client may have chosen any text.
    pub(crate) fn of_row(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The refusal of a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a label; give 1 to {} printable characters of ASCII, without a space at an end",
    Label::MAX_LEN
)]
pub struct LabelError {
    /// The label as it was given, shortened.
    given: String,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let is_printable = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if is_printable && text.trim() == text && (1..=Self::MAX_LEN).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(LabelError { given: shorten(text) })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The id of jobs that were submitted together; their own ids follow from it and from their position.
///
/// So the same submission, made again, names the same jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Batch(String);

impl Batch {
    /// The most jobs of one batch.
    pub const MAX_JOBS: usize = 9_999_999;

    /// The digits of a position, which let ids sort by it.
    const DIGITS: usize = 7;

    /// The longest id of a batch, which leaves room for the position.
    const MAX_LEN: usize = 128 - 1 - Self::DIGITS;

    /// Makes an id that no other batch has and that sorts by the millisecond of its making.
    #[must_use]
    pub fn fresh() -> Self {
        let (time, random) = uuid::Uuid::now_v7().as_u64_pair();
        // Between the time and the last four bytes is a counter, by which those of one millisecond hardly differ.
        Self(format!("{:012x}-{:08x}", time >> 16, random & 0xffff_ffff))
    }

    /// The id of the batch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the ids of its jobs, the first to the last; they sort by their order.
    pub fn ids(&self) -> impl Iterator<Item = JobId> {
        let digits = Self::DIGITS;
        (1..=Self::MAX_JOBS).map(move |position| JobId::new(format!("{}-{position:0digits$}", self.0)))
    }

    /// Tests whether an id is that of a position in the batch.
    #[must_use]
    pub fn numbers(&self, id: &JobId) -> bool {
        let position = id
            .as_str()
            .strip_prefix(&self.0)
            .and_then(|rest| rest.strip_prefix('-'));
        position.is_some_and(|digits| {
            digits.len() == Self::DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit())
        })
    }

    /// Takes what a row holds as it is.
    pub(crate) fn of_row(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The refusal of a batch's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not the id of a batch; give 1 to {} letters, digits and signs of ASCII, without spaces and not beginning with -",
    Batch::MAX_LEN
)]
pub struct BatchError {
    /// The id as it was given, shortened.
    given: String,
}

impl FromStr for Batch {
    type Err = BatchError;

    fn from_str(text: &str) -> Result<Self, BatchError> {
        match text.parse::<JobId>() {
            Ok(_) if text.len() <= Self::MAX_LEN => Ok(Self(text.to_owned())),
            _ => Err(BatchError { given: shorten(text) }),
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_be_shown_on_a_terminal_as_it_is() {
        let longest = "x".repeat(128);
        for text in ["nightly", "team a", "a=b,c", &longest] {
            assert_eq!(text.parse::<Label>().unwrap().as_str(), text);
        }
        let too_long = "x".repeat(129);
        for text in ["", " ", " a", "a\n", "x\u{1b}[2J", "é", "a\u{202e}b", &too_long] {
            let error = text.parse::<Label>().unwrap_err().to_string();
            assert!(
                !error.contains(char::is_control) && error.contains("128"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_ids_of_a_batch_follow_from_it_and_sort_by_position() {
        let batch: Batch = "nightly".parse().unwrap();
        let ids: Vec<JobId> = batch.ids().take(100_000).collect();
        assert_eq!(ids[0].as_str(), "nightly-0000001");
        assert_eq!(ids[99_999].as_str(), "nightly-0100000");
        assert!(ids.is_sorted(), "they do not sort by position");
        assert!(batch.ids().take(10).eq(ids.iter().take(10).cloned()));
        assert!(ids.iter().all(|id| batch.numbers(id)));
        for other in [
            "nightly",
            "nightly-",
            "nightly-1",
            "nightly-000000x",
            "nightly2-0000001",
        ] {
            assert!(!batch.numbers(&JobId::new(other)), "{other}");
        }
    }

    #[test]
    fn an_id_of_the_longest_batch_is_an_id() {
        let longest: Batch = "x".repeat(Batch::MAX_LEN).parse().unwrap();
        let id = longest.ids().next().unwrap();
        assert!(id.as_str().parse::<JobId>().is_ok(), "{id}");
        for text in ["", "-a", "two words", "a\tb", &"x".repeat(Batch::MAX_LEN + 1)] {
            let error = text.parse::<Batch>().unwrap_err().to_string();
            assert!(
                error.contains("120") && !error.contains(char::is_control),
                "{error}"
            );
        }
    }

    #[test]
    fn fresh_batches_differ_also_within_a_millisecond() {
        let batches: Vec<Batch> = (0..1000).map(|_| Batch::fresh()).collect();
        assert!(
            batches
                .iter()
                .all(|batch| batch.as_str().parse::<Batch>().is_ok())
        );
        let different: std::collections::HashSet<&str> = batches.iter().map(Batch::as_str).collect();
        assert_eq!(different.len(), batches.len());
        let times: Vec<&str> = batches.iter().map(|batch| &batch.as_str()[..12]).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}
