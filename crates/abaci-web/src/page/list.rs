//! The list of jobs, filtered by its address.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use durable_jobs::client::JobCount;
use durable_jobs::record::Cursor;
use durable_jobs::{Client, Error, Job, JobFilter, State as JobState};
use tokio::time::timeout;

use super::bulk::{self, Offer};
use super::choice::{self, Choice, Field};
use super::frame::{Frame, render};
use super::refusal::{Refusal, View};
use super::rows::JobRow;
use super::words::{grouped, shown};
use crate::clock::now_ms;
use crate::place::Params;
use crate::problem::Problem;
use crate::state::Shared;

/// The number of jobs on a page.
const PAGE: u32 = 50;

/// Jobs are counted up to so many.
const MOST: u64 = 1_000;

/// The time in which jobs are looked for: conditions on the request have every other job that is meant read.
const LONGEST: Duration = Duration::from_secs(3);

#[derive(Template)]
#[template(path = "jobs.html")]
pub(super) struct JobsPage {
    pub(super) frame: Frame,
    pub(super) heading: String,
    pub(super) form: SearchForm,
    pub(super) states: Vec<Chip>,
    pub(super) conditions: Vec<Chip>,
    /// The changes of those that are selected, and of all.
    pub(super) offer: Offer,
    pub(super) jobs: Vec<JobRow>,
    /// True if there may be more jobs between these and the next page.
    pub(super) is_cut: bool,
    pub(super) is_first: bool,
    pub(super) first: String,
    pub(super) next: Option<String>,
}

/// The fields of a search, as they are set.
#[derive(Default)]
pub(super) struct SearchForm {
    pub(super) search: String,
    /// The conditions that have no field here; a new search keeps them.
    pub(super) kept: Vec<Field>,
    pub(super) more: Vec<MoreField>,
    pub(super) is_open: bool,
}

/// A field for a condition that is not asked for each time.
pub(super) struct MoreField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) value: String,
}

/// A condition on the jobs, as a link.
pub(super) struct Chip {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) is_set: bool,
}

/// The jobs that were found.
struct FoundJobs {
    jobs: Vec<Job>,
    next: Option<Cursor>,
    /// True if the time was over before all were looked at.
    is_cut: bool,
    /// The number of all that match, as far as it is counted.
    count: Option<JobCount>,
}

/// Lists jobs.
pub(super) async fn jobs(State(web): State<Shared>, frame: Frame, params: Result<Params, Problem>) -> View {
    let frame = frame.at("Jobs");
    let refuse = |problem: Problem| Refusal::new(&frame, problem);
    let mut params = params.map_err(refuse)?;
    let has_blank = params.has_blank();
    let choice = Choice::take(&mut params).map_err(refuse)?;
    let after = params.read("after", str::parse::<Cursor>).map_err(refuse)?;
    // It is the frame's: the word for the change just made, and no condition.
    params.take_all("did");
    params.end(choice::KNOWN).map_err(refuse)?;
    // The new address has no empty field, so that it leads on no more than once.
    if has_blank {
        // The address of a form has all of its fields; this one can be shared.
        return Ok(Redirect::to(&choice.path("/jobs", &[])).into_response());
    }
    let client = web.client().await.map_err(refuse)?;
    let filter = choice.filter(client.clock().now_ms()).map_err(refuse)?;
    let is_first = after.is_none();
    let found = FoundJobs::read(&client, JobFilter { after, ..filter }).await;
    let found = found.map_err(|error| refuse(error.into()))?;
    Ok(render(&found.page(frame, &choice, is_first)))
}

impl FoundJobs {
    async fn read(client: &Client, filter: JobFilter) -> Result<Self, Error> {
        // One more tells whether there are more.
        let limit = Some(PAGE + 1);
        let mut pages = client.pages(&JobFilter {
            limit,
            ..filter.clone()
        });
        // Outside of the future, so that what was found in the time is kept when it is over.
        let mut jobs = Vec::new();
        let all = async {
            while let Some(page) = pages.next().await? {
                jobs.extend(page);
            }
            Ok::<_, Error>(())
        };
        let ended = timeout(LONGEST, all).await;
        let is_cut = ended.is_err();
        ended.unwrap_or(Ok(()))?;
        let has_more = jobs.len() > PAGE as usize;
        jobs.truncate(PAGE as usize);
        // Where the time was over, the list goes on at the place that was looked at last, found or not.
        let next = match jobs.last() {
            Some(last) if has_more => Some(Cursor::of(last)),
            _ => pages.place().filter(|_| is_cut).cloned(),
        };
        // A first page that is the last one has all jobs, and no statement has to count them.
        let is_whole = filter.after.is_none() && !has_more && !is_cut;
        let count = if is_whole {
            Some(JobCount::Exactly(jobs.len() as u64))
        } else {
            count(client, filter).await?
        };
        Ok(Self {
            jobs,
            next,
            is_cut: is_cut && !has_more,
            count,
        })
    }

    fn page(self, frame: Frame, choice: &Choice, is_first: bool) -> JobsPage {
        let now = now_ms();
        JobsPage {
            heading: heading(self.count),
            form: SearchForm::of(choice),
            states: states(choice),
            conditions: conditions(choice),
            offer: bulk::offer(choice, self.count),
            jobs: self.jobs.iter().map(|job| JobRow::of(job, now)).collect(),
            is_cut: self.is_cut,
            is_first,
            first: choice.path("/jobs", &[]),
            next: self
                .next
                .map(|place| choice.path("/jobs", &[("after", place.to_string())])),
            frame,
        }
    }
}

/// Counts all jobs of a list, unless each would have to be read.
async fn count(client: &Client, filter: JobFilter) -> Result<Option<JobCount>, Error> {
    if !filter.details.is_empty() || filter.text.is_some() {
        return Ok(None);
    }
    let all = JobFilter {
        // The heading counts the whole list, on each of its pages.
        after: None,
        ..filter
    };
    client.count(&all, MOST).await.map(Some)
}

fn heading(count: Option<JobCount>) -> String {
    match count {
        None => "Jobs".to_owned(),
        Some(JobCount::Exactly(1)) => "1 job".to_owned(),
        Some(JobCount::Exactly(count)) => format!("{} jobs", grouped(count)),
        Some(JobCount::Over(count)) => format!("Over {} jobs", grouped(count)),
    }
}

impl SearchForm {
    fn of(choice: &Choice) -> Self {
        let value = |name: &str| choice.value(name).map(shown).unwrap_or_default();
        let more = MORE.map(|(name, label, hint)| MoreField {
            name,
            label,
            hint,
            // Another tag is one more.
            value: if name == "tag" { String::new() } else { value(name) },
        });
        let has_field =
            |name: &str| name == "q" || name != "tag" && MORE.iter().any(|(known, ..)| *known == name);
        let kept = choice.fields().iter().filter(|(name, _)| !has_field(name));
        Self {
            search: value("q"),
            kept: kept.cloned().collect(),
            is_open: more.iter().any(|field| !field.value.is_empty()),
            more: more.into(),
        }
    }
}

/// The fields beside the search: name, label, hint.
const MORE: [(&str, &str, &str); 8] = [
    ("tag", "Tag", ""),
    ("queue", "Queue", ""),
    ("worker", "Worker", "host/1"),
    ("text", "Text in id, tag, batch or request", ""),
    ("since", "Submitted since", "2h, 2026-12-24 18:00"),
    ("until", "Submitted until", "UTC"),
    ("ended_since", "Ended since", "15m"),
    ("ended_until", "Ended until", "UTC"),
];

fn states(choice: &Choice) -> Vec<Chip> {
    let is_set = |name: Option<&str>| match name {
        Some(name) => choice.fields().contains(&("state", name.to_owned())),
        None => choice.value("state").is_none(),
    };
    let chip = |name: Option<&str>| Chip {
        text: name.unwrap_or("all").to_owned(),
        is_set: is_set(name),
        href: choice.with("state", name).path("/jobs", &[]),
    };
    let names = JobState::ALL.map(|state| Some(state.name()));
    std::iter::once(None).chain(names).map(chip).collect()
}

/// The other conditions, each with the address of the list without it.
fn conditions(choice: &Choice) -> Vec<Chip> {
    let others = choice.fields().iter().filter(|(name, _)| *name != "state");
    let chips = others.map(|field| Chip {
        text: choice::words(field),
        href: choice.without(field).path("/jobs", &[]),
        is_set: true,
    });
    chips.collect()
}
