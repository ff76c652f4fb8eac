//! The report of an experiment, and the findings that it is made of.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::actor::Form;

/// A finished experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name, such as `ex1`.
    pub experiment: String,
    /// Its subject.
    pub title: String,
    /// Its question.
    pub question: String,
    /// Its method.
    pub method: String,
    /// Decided where the crashes were.
    pub seed: u64,
    /// Observations, by name.
    pub facts: Map<String, Value>,
    /// Lines of its table: expected and happened.
    pub cases: Vec<Case>,
    /// The advice that follows.
    pub pattern: String,
    /// Its claim.
    pub claim: String,
    /// True when the claim was observed.
    pub observed: bool,
    /// Its duration.
    pub seconds: f64,
}

/// One line of the table of an experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The form that did it, `broken` or `right`.
    pub form: String,
    /// The action.
    pub case: String,
    /// The result that one might expect.
    pub expected: String,
    /// The result.
    pub happened: String,
    /// The reason.
    pub why: String,
}

/// Returns the elements of a list with commas between them, texts without quotes.
pub(crate) fn listed(items: impl Serialize) -> String {
    let items = serde_json::to_value(items).unwrap_or_default();
    let items = items.as_array().into_iter().flatten();
    let words = items.map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
    words.collect::<Vec<_>>().join(", ")
}

/// Something that happened just now.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The process that it happened in or to.
    pub pid: u32,
    /// The form that the process runs.
    pub form: String,
    /// The event in a word, such as `step`.
    pub event: String,
    /// Its circumstances.
    pub details: Map<String, Value>,
}

/// The findings of an experiment, so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) facts: Map<String, Value>,
    pub(crate) cases: Vec<Case>,
    pub(crate) observed: bool,
}

impl Findings {
    /// Notes a fact.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Adds a line to the table: what a form did, what one might expect, what happened and why.
    pub(crate) fn case(&mut self, form: Form, [case, expected, happened, why]: [&str; 4]) {
        self.cases.push(Case {
            form: form.name().to_owned(),
            case: case.to_owned(),
            expected: expected.to_owned(),
            happened: happened.to_owned(),
            why: why.to_owned(),
        });
    }
}
