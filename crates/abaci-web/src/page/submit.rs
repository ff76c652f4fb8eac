//! The form of new jobs, with what they would cost.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use durable_jobs::client::{NewJob, Priority, SubmitOptions};
use durable_jobs::record::{Batch, Label};
use durable_jobs::{Error, JobId};
use fibonacci_jobs::record::{Algorithm, Entry, parse_priority};
use fibonacci_jobs::{Limits, Request};
use serde::Deserialize;

use super::form::Fields;
use super::frame::{Frame, go, render};
use super::refusal::{Refusal, View};
use super::rows::job_path;
use super::words::{self, bytes, counted, grouped, shown};
use crate::problem::Problem;
use crate::state::{Shared, Web};
use crate::views::segment;

/// The most lines of a form.
const MOST_LINES: usize = 10_000;

/// The number of refused lines that are told.
const MOST_ERRORS: usize = 5;

/// The fields as they were given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    numbers: String,
    algorithm: String,
    priority: String,
    tag: String,
    /// The id that makes a second click the same submission.
    key: String,
    action: String,
}

/// The refusals of each field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) numbers: Vec<String>,
    pub(super) algorithm: Option<String>,
    pub(super) priority: Option<String>,
    pub(super) tag: Option<String>,
    /// The refusal that is of no field.
    pub(super) whole: Option<String>,
}

#[derive(Template)]
#[template(path = "submit.html")]
pub(super) struct SubmitPage {
    pub(super) frame: Frame,
    pub(super) given: Given,
    pub(super) errors: Errors,
    pub(super) algorithms: Vec<(&'static str, &'static str)>,
    /// The cost of the jobs, in lines.
    pub(super) estimate: Vec<String>,
}

/// Jobs that were read from the form.
struct Read {
    entries: Vec<Entry>,
    priority: Priority,
    tags: Vec<Label>,
}

/// Shows the empty form.
pub(super) async fn form(frame: Frame) -> Response {
    let given = Given {
        key: JobId::fresh().to_string(),
        ..Given::default()
    };
    page(frame.at("Submit"), given, Errors::default(), Vec::new())
}

/// Says what the jobs of the form would cost, or queues them.
pub(super) async fn submit(
    State(web): State<Shared>,
    frame: Frame,
    fields: Result<Fields<Given>, Problem>,
) -> View {
    let frame = frame.at("Submit");
    let Fields(given) = fields.map_err(|problem| Refusal::new(&frame, problem))?;
    let read = match given.read(web.limits) {
        Ok(read) => read,
        Err(errors) => return Ok(page(frame, given, errors, Vec::new())),
    };
    if given.action == "estimate" {
        let estimate = estimate(&read.entries);
        return Ok(page(frame, given, Errors::default(), estimate));
    }
    match queue(&web, &read, &given.key).await {
        Ok(path) => Ok(go(&path, "queued")),
        Err(problem) if problem.status == 422 => {
            let errors = Errors {
                whole: Some(problem.detail),
                ..Errors::default()
            };
            let key = JobId::fresh().to_string();
            Ok(page(frame, Given { key, ..given }, errors, Vec::new()))
        }
        Err(problem) => Err(Refusal::new(&frame, problem)),
    }
}

fn page(frame: Frame, given: Given, errors: Errors, estimate: Vec<String>) -> Response {
    let is_refused = errors != Errors::default();
    let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.name(), about(algorithm)));
    let mut response = render(&SubmitPage {
        frame,
        given,
        errors,
        algorithms: algorithms.to_vec(),
        estimate,
    });
    if is_refused {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    response
}

/// Queues the jobs under ids that follow from the key, and returns the path that shows them.
async fn queue(web: &Web, read: &Read, key: &str) -> Result<String, Problem> {
    let client = web.client().await?;
    if let [entry] = read.entries.as_slice() {
        let id = match &entry.id {
            Some(id) => id.clone(),
            None => key.parse().unwrap_or_else(|_| JobId::fresh()),
        };
        let path = job_path(id.as_str());
        client.submit_job(read.job(entry, id)).await.map_err(taken)?;
        return Ok(path);
    }
    let batch: Batch = key.parse().unwrap_or_else(|_| Batch::fresh());
    let ids = batch.ids();
    let jobs = read.entries.iter().zip(ids).map(|(entry, id)| NewJob {
        batch: Some(batch.clone()),
        ..read.job(entry, entry.id.clone().unwrap_or(id))
    });
    let jobs: Vec<NewJob> = jobs.collect();
    client
        .submit_all(&jobs, SubmitOptions::default())
        .await
        .map_err(taken)?;
    Ok(format!("/jobs?batch={}", segment(batch.as_str())))
}

/// Says what a form that was changed after it was sent is to do.
fn taken(error: Error) -> Problem {
    let is_taken = matches!(error, Error::IdTaken { .. });
    let problem = Problem::from(error);
    if !is_taken {
        return problem;
    }
    let detail = format!(
        "{}; press Submit again to queue these as new jobs",
        problem.detail
    );
    Problem { detail, ..problem }
}

impl Read {
    fn job(&self, entry: &Entry, id: JobId) -> NewJob {
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

    fn read(&self, limits: Limits) -> Result<Read, Errors> {
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
        let (entries, refused) = self.entries(algorithm, limits);
        errors.numbers = refused;
        if errors == Errors::default() {
            return Ok(Read {
                entries,
                priority,
                tags,
            });
        }
        Err(errors.visible())
    }

    fn entries(&self, algorithm: Option<Algorithm>, limits: Limits) -> (Vec<Entry>, Vec<String>) {
        let lines = self
            .numbers
            .lines()
            .enumerate()
            .map(|(position, line)| (position + 1, line.trim()));
        let lines: Vec<(usize, &str)> = lines.filter(|(_, line)| !line.is_empty()).collect();
        let (mut entries, mut refused) = (Vec::new(), Vec::new());
        if lines.is_empty() {
            refused.push("there is no number; give n, or several, one a line".to_owned());
        }
        if lines.len() > MOST_LINES {
            refused.push(format!(
                "{} lines are too many; give {} at a time",
                grouped(lines.len() as u64),
                grouped(MOST_LINES as u64)
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
            whole: fit(self.whole),
        }
    }
}

fn read_line(line: &str, algorithm: Option<Algorithm>, limits: Limits) -> Result<Entry, String> {
    // Digits may be in groups, as the page itself writes them.
    let is_grouped = line.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    let plain = if is_grouped {
        line.replace(',', "")
    } else {
        line.to_owned()
    };
    let entry = Entry::read(&plain, algorithm).map_err(|error| error.message)?;
    limits.check(&entry.request).map_err(|error| error.to_string())?;
    Ok(entry)
}

/// Says what jobs would cost.
fn estimate(entries: &[Entry]) -> Vec<String> {
    if let [entry] = entries {
        let Request { n, algorithm, .. } = entry.request;
        let (digits, memory) = (entry.request.estimate().digits, entry.request.cost().memory_bytes);
        return vec![
            format!("F({}) has {}.", grouped(n), counted(digits, "digit")),
            format!(
                "It takes {} with {}, and up to {} of memory.",
                about_time(&[entry]),
                algorithm.name(),
                bytes(memory)
            ),
        ];
    }
    let all: Vec<&Entry> = entries.iter().collect();
    let digits = entries
        .iter()
        .map(|entry| entry.request.estimate().digits)
        .max()
        .unwrap_or_default();
    let memory = entries
        .iter()
        .map(|entry| entry.request.cost().memory_bytes)
        .max()
        .unwrap_or_default();
    vec![
        format!(
            "{}; the longest value has {}.",
            counted(entries.len() as u64, "job"),
            counted(digits, "digit")
        ),
        format!(
            "Together they take {} of one worker, and one of them up to {} of memory.",
            about_time(&all),
            bytes(memory)
        ),
    ]
}

/// Says how long jobs compute, no closer than is known.
fn about_time(entries: &[&Entry]) -> String {
    let seconds: f64 = entries.iter().map(|entry| entry.request.cost().seconds).sum();
    match seconds {
        ..0.1 => "well under a second".to_owned(),
        0.1..1.0 => "about a second".to_owned(),
        _ => words::about(seconds),
    }
}

/// Says what an algorithm is for.
fn about(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Doubling => "for any n, fast",
        Algorithm::Iterative => "n additions",
        Algorithm::Recursive => "work that burns a processor",
        Algorithm::Stepwise => "each addition a recorded step",
        Algorithm::Giant => "goes on where it was after a crash",
    }
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
    fn every_wrong_field_is_told_at_once() {
        let wrong = Given {
            priority: "high".to_owned(),
            tag: "é".to_owned(),
            algorithm: "magic".to_owned(),
            ..given("")
        };
        let errors = wrong.read(Limits::default()).err().unwrap();
        assert!(
            !errors.numbers.is_empty()
                && errors.priority.is_some()
                && errors.tag.is_some()
                && errors.algorithm.is_some()
        );
    }

    #[test]
    fn an_estimate_says_digits_time_and_memory() {
        let read = given("1000000").read(Limits::default()).ok().unwrap();
        let said = estimate(&read.entries).concat();
        for words in ["F(1,000,000) has 208,988 digits", "takes", "memory"] {
            assert!(said.contains(words), "{said}");
        }
    }
}
