//! A choice among jobs, as addresses and forms of the page have it.

use std::fmt::{Display, Write};
use std::ops::RangeInclusive;

use durable_jobs::record::{DateError, DetailFilter};
use durable_jobs::{JobFilter, State};
use fibonacci_jobs::IndexRange;

use super::words::{grouped, shown, ungrouped, whole_moment};
use crate::api;
use crate::place::Params;
use crate::problem::Problem;
use crate::views::segment;

/// The conditions in the order in which an address has them.
const CONDITIONS: [&str; 11] = [
    "q",
    "state",
    "tag",
    "queue",
    "batch",
    "worker",
    "text",
    "since",
    "until",
    "ended_since",
    "ended_until",
];

/// The names of the conditions, for those who give another one.
pub(super) const KNOWN: &str =
    "q, state, tag, queue, batch, worker, text, since, until, ended_since, ended_until and after";

/// Those of which a job may have to meet several: one of the states, all of the tags.
const REPEATED: [&str; 2] = ["state", "tag"];

/// Conditions on jobs, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    fields: Vec<(&'static str, String)>,
}

/// A field of a form or an address.
pub(super) type Field = (&'static str, String);

impl Choice {
    /// Takes the conditions out of parameters; those that were left empty are none.
    pub(super) fn take(params: &mut Params) -> Result<Self, Problem> {
        let mut fields = Vec::new();
        for name in CONDITIONS {
            let values = params.take_all(name).into_iter();
            let values = values.map(|value| value.trim().to_owned());
            let values: Vec<String> = values.filter(|value| !value.is_empty()).collect();
            if let [_, again, ..] = values.as_slice()
                && !REPEATED.contains(&name)
            {
                return Err(params.refuse(name, "given twice; give it once", again));
            }
            fields.extend(values.into_iter().map(|value| (name, value)));
        }
        Ok(Self { fields })
    }

    /// Reads the choice; times that are given as ages are seen from `now_ms`.
    pub(super) fn filter(&self, now_ms: i64) -> Result<JobFilter, Problem> {
        let moment = |text: &str| moment(text, now_ms);
        let sought = self.value("q");
        let indices = sought.and_then(indices_in);
        Ok(JobFilter {
            states: self.all("state", state)?,
            tags: self.all("tag", str::parse)?,
            queue: self.value("queue").map(str::to_owned),
            batch: self.one("batch", str::parse)?,
            executor_id: self.value("worker").map(str::to_owned),
            text: self.value("text").map(str::to_owned),
            since_ms: self.one("since", moment)?,
            until_ms: self.one("until", moment)?,
            completed_since_ms: self.one("ended_since", moment)?,
            completed_until_ms: self.one("ended_until", moment)?,
            id_prefix: sought.filter(|_| indices.is_none()).map(str::to_owned),
            details: indices
                .map(|range| DetailFilter::Within("n".to_owned(), range))
                .into_iter()
                .collect(),
            ..JobFilter::default()
        })
    }

    /// Tests whether it means every job.
    pub(super) fn means_all(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the choice with this one value under a name, or with none.
    pub(super) fn with(&self, name: &'static str, value: Option<&str>) -> Self {
        let others = self.fields.iter().filter(|(known, _)| *known != name).cloned();
        let fields = others.chain(value.map(|value| (name, value.to_owned())));
        let mut fields: Vec<Field> = fields.collect();
        // Equal choices have equal addresses; the sort is stable, so that several tags keep their order.
        fields.sort_by_key(|(name, _)| CONDITIONS.iter().position(|known| known == name));
        Self { fields }
    }

    /// Returns the choice without one of its fields.
    pub(super) fn without(&self, field: &Field) -> Self {
        let others = self.fields.iter().filter(|known| *known != field);
        Self {
            fields: others.cloned().collect(),
        }
    }

    /// Writes the address of a view with these fields before the choice.
    pub(super) fn path(&self, view: &str, before: &[Field]) -> String {
        let mut path = view.to_owned();
        for (position, (name, value)) in before.iter().chain(&self.fields).enumerate() {
            let sign = if position == 0 { '?' } else { '&' };
            // A string takes whatever is written.
            let _ = write!(path, "{sign}{name}={}", segment(value));
        }
        path
    }

    fn one<T, E: Display>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        Ok(self.all(name, read)?.pop())
    }

    fn all<T, E: Display>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Problem> {
        let values = self.fields.iter().filter(|(known, _)| *known == name);
        let read = values.map(|(_, value)| read(value).map_err(|error| wrong(name, error, value)));
        read.collect()
    }
}

/// Says a condition in words, such as `tag nightly`.
pub(super) fn words((name, value): &Field) -> String {
    match *name {
        "q" => match indices_in(value) {
            Some(range) if range.start() == range.end() => format!("n {}", grouped(*range.start())),
            Some(range) => format!("n {} to {}", grouped(*range.start()), grouped(*range.end())),
            None => format!("id {}…", shown(value)),
        },
        "state" => shown(value),
        "text" => format!("with “{}”", shown(value)),
        "since" | "until" => format!("submitted {name} {}", when(value)),
        "ended_since" => format!("ended since {}", when(value)),
        "ended_until" => format!("ended until {}", when(value)),
        name => format!("{name} {}", shown(value)),
    }
}

/// Writes a moment as it was given; an age says that it is one.
fn when(given: &str) -> String {
    let is_age = humantime::parse_duration(given).is_ok();
    shown(given) + if is_age { " ago" } else { "" }
}

fn wrong(name: &str, error: impl Display, value: &str) -> Problem {
    Problem::of_part(
        format!("query.{name}"),
        format!("{name} is {value:?}: {error}"),
        Some(value.into()),
    )
}

fn state(name: &str) -> Result<State, &'static str> {
    let known = State::ALL.into_iter().find(|state| state.name() == name);
    known.ok_or("no state of a job; choose one of the list")
}

/// Reads a moment, also one that is a date, or a time of the day without its seconds.
fn moment(text: &str, now_ms: i64) -> Result<i64, DateError> {
    api::moment(&whole_moment(text), now_ms)
}

/// Reads a search for indices: digits, which may be in groups of three, with `n=` or without, or a range of them. The
/// beginning of an id may be of digits, too, but begins with a zero for the next centuries.
fn indices_in(text: &str) -> Option<RangeInclusive<u64>> {
    let text = text.strip_prefix("n=").unwrap_or(text);
    let plain = |index: &str| ungrouped(index.trim());
    let text = match text.split_once("..") {
        Some((first, end)) => {
            let (sign, last) = end.strip_prefix('=').map_or(("..", end), |last| ("..=", last));
            plain(first)? + sign + &plain(last)?
        }
        None => plain(text)?,
    };
    let is_index = text == "0" || text.starts_with("0..") || !text.starts_with('0');
    let range = IndexRange::or_index(&text).ok().filter(|_| is_index);
    range.map(IndexRange::indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_409_743_100;

    fn choice(pairs: &[(&str, &str)]) -> Result<Choice, Problem> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Choice::take(&mut Params::checked("query", pairs.collect())?)
    }

    #[test]
    fn a_search_is_for_indices_or_the_beginning_of_an_id() {
        for (text, range) in [
            ("46", Some(46..=46)),
            ("n=46", Some(46..=46)),
            ("1,000", Some(1000..=1000)),
            ("0", Some(0..=0)),
            ("10..=20", Some(10..=20)),
            ("10 .. 20", Some(10..=19)),
            ("0..=9", Some(0..=9)),
            ("1,000 ..= 2,000", Some(1000..=2000)),
            ("10,20,30", None),
            ("10 20", None),
            ("20..10", None),
            ("01", None),
            ("01a2", None),
            ("mine", None),
        ] {
            assert_eq!(indices_in(text), range, "{text}");
        }
    }

    #[test]
    fn an_address_keeps_every_condition_and_escapes_it() {
        let choice = choice(&[
            ("state", "queued"),
            ("q", " a b&c=\"< "),
            ("tag", ""),
            ("tag", "x"),
        ])
        .unwrap();
        assert_eq!(
            choice.path("/jobs", &[]),
            "/jobs?q=a%20b%26c%3D%22%3C&state=queued&tag=x"
        );
        assert_eq!(
            choice
                .with("state", None)
                .path("/bulk", &[("of", "all".to_owned())]),
            "/bulk?of=all&q=a%20b%26c%3D%22%3C&tag=x"
        );
        assert_eq!(
            choice
                .with("q", None)
                .without(&("tag", "x".to_owned()))
                .path("/jobs", &[]),
            "/jobs?state=queued"
        );
    }

    #[test]
    fn every_condition_reaches_the_filter() {
        let pairs = [
            ("q", "5..9"),
            ("state", "failed"),
            ("state", "parked"),
            ("tag", "a"),
            ("tag", "b"),
            ("queue", "fast"),
            ("batch", "b1"),
            ("worker", "laptop/1"),
            ("text", "night"),
            ("since", "2h"),
            ("until", "2026-11-23"),
            ("ended_since", "2026-11-23 04:55"),
            ("ended_until", "1795409743100"),
        ];
        let choice = choice(&pairs).unwrap();
        let filter = choice.filter(NOW).unwrap();
        assert_eq!(filter.states, [State::Failed, State::Parked]);
        assert_eq!((filter.tags.len(), filter.details.len()), (2, 1));
        assert_eq!(
            (filter.queue.as_deref(), filter.text.as_deref()),
            (Some("fast"), Some("night"))
        );
        assert_eq!(filter.executor_id.as_deref(), Some("laptop/1"));
        assert_eq!(filter.batch.map(|batch| batch.to_string()), Some("b1".to_owned()));
        assert_eq!(filter.since_ms, Some(NOW - 7_200_000));
        assert_eq!(filter.until_ms, Some(1_795_392_000_000));
        assert_eq!(filter.completed_since_ms, Some(1_795_409_700_000));
        assert_eq!(filter.completed_until_ms, Some(NOW));
        let words: Vec<String> = choice.fields().iter().map(words).collect();
        assert_eq!(words[0], "n 5 to 8");
        assert!(words.contains(&"submitted since 2h ago".to_owned()), "{words:?}");
        assert!(words.contains(&"worker laptop/1".to_owned()), "{words:?}");
    }

    #[test]
    fn a_condition_that_is_wrong_is_named_with_its_value() {
        for (name, value) in [
            ("state", "quick"),
            ("since", "yesterday"),
            ("ended_until", "2026-13-01"),
            ("tag", "é"),
            ("batch", "two words"),
        ] {
            let problem = choice(&[(name, value)]).unwrap().filter(NOW).unwrap_err();
            assert_eq!(problem.errors[0].location, format!("query.{name}"));
            assert!(problem.detail.contains(value), "{problem:?}");
        }
        assert!(choice(&[("queue", "a"), ("queue", "b")]).is_err());
    }
}
