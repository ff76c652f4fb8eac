//! The list of jobs, filtered by its address.

use std::fmt::Write;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use durable_jobs::record::{Cursor, DetailFilter};
use durable_jobs::{JobFilter, State as JobState};
use serde::Deserialize;

use super::frame::{Frame, Refusal, View, render};
use super::rows::JobRow;
use super::words::{now_ms, shown};
use crate::problem::Problem;
use crate::state::Shared;
use crate::views::segment;

/// The number of jobs on a page.
const PAGE: u32 = 50;

/// The states in the order of a job's life.
const STATES: [JobState; 7] = [
    JobState::Queued,
    JobState::Delayed,
    JobState::Running,
    JobState::Succeeded,
    JobState::Failed,
    JobState::Parked,
    JobState::Cancelled,
];

/// The query of an address.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Asked {
    /// An index, or the beginning of an id.
    q: Option<String>,
    state: Option<String>,
    tag: Option<String>,
    queue: Option<String>,
    batch: Option<String>,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "jobs.html")]
pub(super) struct JobsPage {
    pub(super) frame: Frame,
    pub(super) search: String,
    /// The conditions beside the search, which goes on with them.
    pub(super) kept: Vec<(&'static str, String)>,
    pub(super) states: Vec<Chip>,
    pub(super) conditions: Vec<Chip>,
    pub(super) jobs: Vec<JobRow>,
    pub(super) is_first: bool,
    pub(super) first: String,
    pub(super) next: Option<String>,
}

/// A condition on the jobs, as a link.
pub(super) struct Chip {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) is_set: bool,
}

/// Lists jobs.
pub(super) async fn jobs(
    State(web): State<Shared>,
    frame: Frame,
    asked: Result<Query<Asked>, QueryRejection>,
) -> View {
    let frame = frame.at("Jobs");
    let refuse = |problem: Problem| Refusal::new(&frame, problem);
    let Query(asked) = asked.map_err(|error| refuse(Problem::of_part("query", error.body_text(), None)))?;
    let asked = asked.cleaned();
    let filter = asked.filter().map_err(refuse)?;
    let client = web.client().await.map_err(refuse)?;
    let mut jobs = client.list(&filter).await.map_err(|error| refuse(error.into()))?;
    let is_more = jobs.len() > PAGE as usize;
    jobs.truncate(PAGE as usize);
    let next = jobs.last().filter(|_| is_more).map(Cursor::of);
    let now = now_ms();
    Ok(render(&JobsPage {
        search: asked.q.as_deref().map(shown).unwrap_or_default(),
        kept: asked.kept(),
        states: asked.states(),
        conditions: asked.conditions(),
        jobs: jobs.iter().map(|job| JobRow::of(job, now)).collect(),
        is_first: asked.after.is_none(),
        first: Asked {
            after: None,
            ..asked.clone()
        }
        .path(),
        next: next.map(|place| {
            Asked {
                after: Some(place.to_string()),
                ..asked.clone()
            }
            .path()
        }),
        frame,
    }))
}

impl Asked {
    /// Takes fields that were left empty for absent ones.
    fn cleaned(self) -> Self {
        let clean = |text: Option<String>| {
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        Self {
            q: clean(self.q),
            state: clean(self.state),
            tag: clean(self.tag),
            queue: clean(self.queue),
            batch: clean(self.batch),
            after: clean(self.after),
        }
    }

    fn filter(&self) -> Result<JobFilter, Problem> {
        let wrong = |field: &str, message: String| Problem::of_part(format!("query.{field}"), message, None);
        let mut filter = JobFilter {
            limit: Some(PAGE + 1),
            queue: self.queue.clone(),
            ..JobFilter::default()
        };
        if let Some(name) = &self.state {
            let known = STATES.into_iter().find(|state| state.name() == name);
            let state = known.ok_or_else(|| {
                wrong(
                    "state",
                    format!("{name:?} is no state of a job; choose one of the list"),
                )
            })?;
            filter.states = vec![state];
        }
        if let Some(tag) = &self.tag {
            filter.tags = vec![tag.parse().map_err(|error| wrong("tag", format!("{error}")))?];
        }
        if let Some(batch) = &self.batch {
            filter.batch = Some(
                batch
                    .parse()
                    .map_err(|error| wrong("batch", format!("{error}")))?,
            );
        }
        if let Some(after) = &self.after {
            filter.after = Some(
                after
                    .parse()
                    .map_err(|error| wrong("after", format!("{error}")))?,
            );
        }
        match self.q.as_deref().map(|text| (text, index_in(text))) {
            None => {}
            Some((_, Some(n))) => filter.details = vec![DetailFilter::Is("n".to_owned(), n.into())],
            Some((text, None)) => filter.id_prefix = Some(text.to_owned()),
        }
        Ok(filter)
    }

    /// The address of these jobs.
    fn path(&self) -> String {
        let fields = self.fields();
        let mut path = "/jobs".to_owned();
        for (position, (name, value)) in fields.iter().enumerate() {
            let sign = if position == 0 { '?' } else { '&' };
            // A string takes whatever is written.
            let _ = write!(path, "{sign}{name}={}", segment(value));
        }
        path
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let after = ("after", &self.after);
        let named = [
            ("q", &self.q),
            ("state", &self.state),
            ("tag", &self.tag),
            ("queue", &self.queue),
            ("batch", &self.batch),
            after,
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect()
    }

    /// The conditions that a new search keeps.
    fn kept(&self) -> Vec<(&'static str, String)> {
        let fields = self.fields().into_iter();
        fields
            .filter(|(name, _)| !matches!(*name, "q" | "after"))
            .collect()
    }

    fn states(&self) -> Vec<Chip> {
        let chip = |state: Option<JobState>| {
            let name = state.map(|state| state.name().to_owned());
            Chip {
                text: name.clone().unwrap_or_else(|| "all".to_owned()),
                is_set: self.state == name,
                href: Self {
                    state: name,
                    after: None,
                    ..self.clone()
                }
                .path(),
            }
        };
        std::iter::once(None).chain(STATES.map(Some)).map(chip).collect()
    }

    /// The other conditions, each with the address of the list without it.
    fn conditions(&self) -> Vec<Chip> {
        let without = |text: String, rest: Self| Chip {
            text,
            is_set: true,
            href: Self { after: None, ..rest }.path(),
        };
        let this = self.clone();
        let search = this.q.as_deref().map(|text| match index_in(text) {
            Some(n) => format!("n {n}"),
            None => format!("id {}…", shown(text)),
        });
        let named = |name: &str, value: &Option<String>| {
            value.as_deref().map(|value| format!("{name} {}", shown(value)))
        };
        let chips = [
            search.map(|text| {
                without(
                    text,
                    Self {
                        q: None,
                        ..this.clone()
                    },
                )
            }),
            named("tag", &this.tag).map(|text| {
                without(
                    text,
                    Self {
                        tag: None,
                        ..this.clone()
                    },
                )
            }),
            named("queue", &this.queue).map(|text| {
                without(
                    text,
                    Self {
                        queue: None,
                        ..this.clone()
                    },
                )
            }),
            named("batch", &this.batch).map(|text| {
                without(
                    text,
                    Self {
                        batch: None,
                        ..this.clone()
                    },
                )
            }),
        ];
        chips.into_iter().flatten().collect()
    }
}

/// Reads a search for an index: digits, which may be in groups, and `n=`. The beginning of an id may be of digits, too, but
/// begins with a zero for the next centuries.
fn index_in(text: &str) -> Option<u64> {
    let text = text.strip_prefix("n=").unwrap_or(text).replace(',', "");
    let is_index = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| is_index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_an_index_or_the_beginning_of_an_id() {
        for (text, n) in [
            ("46", Some(46)),
            ("n=46", Some(46)),
            ("1,000", Some(1000)),
            ("0", Some(0)),
            ("01", None),
            ("01a2", None),
            ("mine", None),
        ] {
            assert_eq!(index_in(text), n, "{text}");
        }
    }

    #[test]
    fn an_address_keeps_every_condition_and_escapes_it() {
        let asked = Asked {
            q: Some("a b&c=\"<".to_owned()),
            state: Some("queued".to_owned()),
            ..Asked::default()
        };
        assert_eq!(asked.path(), "/jobs?q=a%20b%26c%3D%22%3C&state=queued");
        assert_eq!(
            asked.states().first().map(|chip| chip.href.as_str()),
            Some("/jobs?q=a%20b%26c%3D%22%3C")
        );
    }
}
