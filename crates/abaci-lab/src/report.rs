//! What an experiment says.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::actor::Form;

/// A finished experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name, such as `ex1`.
    pub experiment: String,
    /// What it is about.
    pub title: String,
    /// What it asks.
    pub question: String,
    /// What it does.
    pub method: String,
    /// What decided where the crashes were.
    pub seed: u64,
    /// What was observed, by name.
    pub facts: Map<String, Value>,
    /// What might be expected, and what happened.
    pub cases: Vec<Case>,
    /// What to do.
    pub pattern: String,
    /// What it claims.
    pub claim: String,
    /// Whether that was observed.
    pub observed: bool,
    /// How long it took.
    pub seconds: f64,
}

/// One line of the table of an experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The form that did it, `broken` or `right`.
    pub form: String,
    /// What was done.
    pub case: String,
    /// What one might expect.
    pub expected: String,
    /// What happened.
    pub happened: String,
    /// Why.
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
    /// What happened, in a word, such as `step`.
    pub event: String,
    /// Its circumstances.
    pub details: Map<String, Value>,
}

/// What the directing side of an experiment has found.
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
