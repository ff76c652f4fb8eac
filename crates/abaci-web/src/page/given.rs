//! The fields of the form of new jobs, read and refused one by one.

use durable_jobs::JobId;
use durable_jobs::client::{Delay, NewJob, Priority};
use durable_jobs::record::{Date, Label, shorten};
use fibonacci_jobs::Limits;
use fibonacci_jobs::record::{Algorithm, Entry, parse_priority};
use serde::Deserialize;

use super::words::{self, counted, grouped, shown};
use crate::api::MAX_JOBS;

/// The number of refused lines that are told.
const MOST_ERRORS: usize = 5;

/// The fields as they were given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    pub(super) numbers: String,
    pub(super) algorithm: String,
    pub(super) priority: String,
    pub(super) tag: String,
    /// The time to wait, or the moment, before the jobs may start.
    pub(super) delay: String,
    /// The id that makes a second click the same submission.
    pub(super) key: String,
    pub(super) action: String,
}

/// The refusals of each field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) numbers: Vec<String>,
    pub(super) algorithm: Option<String>,
    pub(super) priority: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) delay: Option<String>,
    /// The refusal that is of no field.
    pub(super) whole: Option<String>,
}

/// Jobs that were read from the form.
pub(super) struct ReadJobs {
    pub(super) entries: Vec<Entry>,
    pub(super) delay: Option<Delay>,
    priority: Priority,
    tags: Vec<Label>,
}

impl ReadJobs {
    /// Makes the job of an entry.
    pub(super) fn job(&self, entry: &Entry, id: JobId) -> NewJob {
        let mut job = entry.request.job_as(id);
        job.priority = entry.priority.unwrap_or(self.priority);
        job.tags.clone_from(&entry.tags);
        let more = self.tags.iter().filter(|tag| !entry.tags.contains(tag));
        job.tags.extend(more.cloned());
        job
    }
}

impl Given {
    /// Tests whether the form has this algorithm chosen.
    pub(super) fn has_algorithm(&self, name: &str) -> bool {
        self.algorithm == name
    }

    /// Reads the form; every refusal at once.
    pub(super) fn read(&self, limits: Limits) -> Result<ReadJobs, Box<Errors>> {
        // A refused field goes on with its default, so that the others are read and refused as well.
        let mut errors = Errors::default();
        let algorithm = match self.algorithm.trim() {
            "" => None,
            name => Algorithm::ALL
                .into_iter()
                .find(|algorithm| algorithm.name() == name)
                .or_else(|| {
                    errors.algorithm = Some(format!("{name:?} is no algorithm; choose one of the list"));
                    None
                }),
        };
        let priority = match self.priority.trim() {
            "" => Priority::default(),
            text => parse_priority(text).unwrap_or_else(|message| {
                errors.priority = Some(message);
                Priority::default()
            }),
        };
        let tags = self.tag.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let tags: Result<Vec<Label>, _> = tags.map(str::parse).collect();
        let tags = tags.unwrap_or_else(|error: durable_jobs::record::LabelError| {
            errors.tag = Some(error.to_string());
            Vec::new()
        });
        let delay = delay_in(&self.delay).unwrap_or_else(|message| {
            errors.delay = Some(message);
            None
        });
        let (entries, refused) = self.entries(algorithm, limits);
        errors.numbers = refused;
        if errors == Errors::default() {
            return Ok(ReadJobs {
                entries,
                delay,
                priority,
                tags,
            });
        }
        Err(Box::new(errors.visible()))
    }

    fn entries(&self, algorithm: Option<Algorithm>, limits: Limits) -> (Vec<Entry>, Vec<String>) {
        let lines = self
            .numbers
            .lines()
            .enumerate()
            // Numbered before empty lines are left out, as the field shows them.
            .map(|(position, line)| (position + 1, line.trim()));
        let lines: Vec<(usize, &str)> = lines.filter(|(_, line)| !line.is_empty()).collect();
        let (mut entries, mut refused) = (Vec::new(), Vec::new());
        if lines.is_empty() {
            refused.push("there is no number; give n, or several, one a line".to_owned());
        }
        if lines.len() > MAX_JOBS {
            refused.push(format!(
                "{} lines are too many; give {} at a time",
                grouped(lines.len() as u64),
                grouped(MAX_JOBS as u64)
            ));
            return (entries, refused);
        }
        let has_many = lines.len() > 1;
        for (number, line) in lines {
            match read_line(line, algorithm, limits) {
                Ok(entry) => entries.push(entry),
                Err(message) if has_many => refused.push(format!("line {number}: {message}")),
                Err(message) => refused.push(message),
            }
        }
        if refused.len() > MOST_ERRORS {
            let more = refused.len() - MOST_ERRORS;
            refused.truncate(MOST_ERRORS);
            refused.push(format!("{} more", counted(more as u64, "line")));
        }
        (entries, refused)
    }
}

impl Errors {
    fn visible(self) -> Self {
        let fit = |text: Option<String>| text.map(|text| shown(&text));
        Self {
            numbers: self.numbers.iter().map(|text| shown(text)).collect(),
            algorithm: fit(self.algorithm),
            priority: fit(self.priority),
            tag: fit(self.tag),
            delay: fit(self.delay),
            whole: fit(self.whole),
        }
    }
}

/// Reads how long the jobs wait, or until when; nothing where they need not.
fn delay_in(text: &str) -> Result<Option<Delay>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // A time has units, and a date is written without, so that none is taken for the other.
    if let Ok(time) = humantime::parse_duration(text) {
        return Ok(Some(Delay::For(time)));
    }
    let date = Date::utc(&words::whole_moment(text));
    date.map(|at_ms| Some(Delay::Until(at_ms))).map_err(|_| {
        format!("{text:?} is no time; give how long to wait, such as 30s or 2h, or a moment in UTC, such as 2026-12-24 18:00")
    })
}

fn read_line(line: &str, algorithm: Option<Algorithm>, limits: Limits) -> Result<Entry, String> {
    // Digits may be in groups, as the page itself writes them; the commas of JSON are its own.
    let plain = match words::ungrouped(line) {
        Some(plain) => plain,
        None if line.starts_with('{') => line.to_owned(),
        None => {
            let given = shorten(line);
            return Err(format!(
                "n is {given:?}, which is no number; give one number a line, with commas as in 1,000,000 or without"
            ));
        }
    };
    let entry = Entry::read(&plain, algorithm).map_err(|error| error.message)?;
    limits.check(&entry.request).map_err(|error| error.to_string())?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(numbers: &str) -> Given {
        Given {
            numbers: numbers.to_owned(),
            ..Given::default()
        }
    }

    #[test]
    fn lines_are_read_and_each_wrong_one_is_named() {
        let read = given("10\n\n1,000\n{\"n\": 30, \"tag\": \"x\"}\n")
            .read(Limits::default())
            .ok()
            .unwrap();
        let indices: Vec<u64> = read.entries.iter().map(|entry| entry.request.n).collect();
        assert_eq!(indices, [10, 1000, 30]);
        let errors = given("10\n-1\nx\u{202e}").read(Limits::default()).err().unwrap();
        assert_eq!(errors.numbers.len(), 2, "{errors:?}");
        assert!(
            errors
                .numbers
                .iter()
                .zip(["line 2", "line 3"])
                .all(|(error, line)| error.starts_with(line))
        );
        assert!(!errors.numbers.concat().contains('\u{202e}'));
    }

    #[test]
    fn several_numbers_in_a_line_are_no_number() {
        let errors = given("7\n10,20,30").read(Limits::default()).err().unwrap();
        let said = errors.numbers.concat();
        assert!(
            said.starts_with("line 2: ") && said.contains("10,20,30") && said.contains("one number a line"),
            "{said}"
        );
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let wrong = Given {
            priority: "high".to_owned(),
            tag: "é".to_owned(),
            algorithm: "magic".to_owned(),
            delay: "soon".to_owned(),
            ..given("")
        };
        let errors = wrong.read(Limits::default()).err().unwrap();
        assert!(
            !errors.numbers.is_empty()
                && errors.priority.is_some()
                && errors.tag.is_some()
                && errors.algorithm.is_some()
                && errors.delay.is_some()
        );
    }

    #[test]
    fn a_delay_is_a_time_or_a_moment() {
        for (text, delay) in [
            ("", None),
            (" 2h ", Some(Delay::For(std::time::Duration::from_hours(2)))),
            ("2026-11-23", Some(Delay::Until(1_795_392_000_000))),
            ("2026-11-23 04:55", Some(Delay::Until(1_795_409_700_000))),
            ("2026-11-23T04:55:00Z", Some(Delay::Until(1_795_409_700_000))),
        ] {
            assert_eq!(delay_in(text), Ok(delay), "{text}");
        }
        for text in ["soon", "-2h", "18:00", "1960-01-01"] {
            assert!(
                delay_in(text).is_err_and(|message| message.contains(text)),
                "{text}"
            );
        }
    }
}
