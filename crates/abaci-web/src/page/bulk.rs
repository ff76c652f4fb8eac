//! Changes of many jobs: those that somebody selected, or all of a choice.
//!
//! A change is shown before it is made: how many jobs, the first of them, and what happens. It then means the jobs of that
//! moment and no later ones. The page after it names those that were not changed, one by one.

use askama::Template;
use axum::extract::State;
use durable_jobs::client::{BulkAction, BulkPreview, BulkReport, JobCount};
use durable_jobs::{Client, JobFilter, JobId, State as JobState};

use super::choice::{self, Choice, Field};
use super::form::FormFields;
use super::frame::{Frame, render};
use super::refusal::{Refusal, View};
use super::rows::{JobRow, job_path};
use super::words::{class_of, counted, grouped, shown};
use crate::clock::now_ms;
use crate::place::Params;
use crate::problem::Problem;
use crate::state::Shared;

/// The changes that a list leads to.
#[derive(Default)]
pub(super) struct Offer {
    /// The fields of the form of those that are selected.
    pub(super) fields: Vec<Field>,
    pub(super) links: Vec<PreviewLink>,
    /// All jobs in words; absent where no condition means fewer than every job.
    pub(super) all: Option<String>,
}

/// A change, with the address of its preview for all jobs of a choice.
pub(super) struct PreviewLink {
    pub(super) action: &'static str,
    pub(super) verb: &'static str,
    pub(super) href: String,
}

/// The jobs that a change is to be about.
#[derive(Debug)]
struct Asked {
    action: BulkAction,
    choice: Choice,
    /// Those that were selected; absent where all are meant.
    ids: Option<Vec<JobId>>,
    /// The moment of the preview.
    as_of_ms: i64,
}

#[derive(Template)]
#[template(path = "bulk.html")]
pub(super) struct PreviewPage {
    pub(super) frame: Frame,
    pub(super) heading: String,
    pub(super) conditions: Vec<String>,
    /// True for those that were selected, false for all that meet the conditions.
    pub(super) is_selection: bool,
    pub(super) effect: &'static str,
    pub(super) jobs: Vec<JobRow>,
    /// The number of the jobs that are not shown; absent for none.
    pub(super) more: Option<String>,
    pub(super) left_out: Vec<LeftOut>,
    /// The choice, for the button.
    pub(super) fields: Vec<Field>,
    /// Absent where there is nothing to change.
    pub(super) button: Option<String>,
    pub(super) is_danger: bool,
    pub(super) back: String,
}

#[derive(Template)]
#[template(path = "bulk_done.html")]
pub(super) struct DonePage {
    pub(super) frame: Frame,
    pub(super) heading: String,
    pub(super) left_out: Vec<LeftOut>,
    /// The number of those that were not changed and are not named; absent for none.
    pub(super) more: Option<String>,
    pub(super) back: String,
}

/// A job that was meant and is not changed.
pub(super) struct LeftOut {
    pub(super) id: String,
    /// Absent for one that is gone.
    pub(super) href: Option<String>,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
}

/// Says which changes a list of this choice can lead to.
pub(super) fn offer(choice: &Choice, count: Option<JobCount>) -> Offer {
    let possible = BulkAction::ALL
        .into_iter()
        .filter(|action| is_possible(*action, choice));
    let links = possible.map(|action| PreviewLink {
        action: action.name(),
        verb: verb(action),
        href: choice.path(
            "/bulk",
            &[("action", action.name().to_owned()), ("of", "all".to_owned())],
        ),
    });
    let words = match count {
        Some(JobCount::Exactly(count)) => format!("all {} that match", grouped(count)),
        Some(JobCount::Over(count)) => format!("all that match, over {}", grouped(count)),
        None => "all that match".to_owned(),
    };
    Offer {
        fields: choice.fields().to_vec(),
        links: links.collect(),
        all: (!choice.means_all()).then_some(words),
    }
}

/// Shows what a change of many jobs would change.
pub(super) async fn preview(
    State(web): State<Shared>,
    frame: Frame,
    params: Result<Params, Problem>,
) -> View {
    let frame = frame.at("Jobs");
    let page = async {
        let (mut params, client) = (params?, web.client().await?);
        params.take_all("did");
        let asked = Asked::take(params, client.clock().now_ms())?;
        let seen = asked.seen(&client).await?;
        Ok::<_, Problem>(asked.preview_page(frame.clone(), seen))
    };
    match page.await {
        Ok(page) => Ok(render(&page)),
        Err(problem) => Err(Refusal::new(&frame, problem)),
    }
}

/// Changes the jobs of a preview, and tells what became of them.
pub(super) async fn change(
    State(web): State<Shared>,
    frame: Frame,
    fields: Result<FormFields<Vec<(String, String)>>, Problem>,
) -> View {
    let frame = frame.at("Jobs");
    let page = async {
        let (FormFields(pairs), client) = (fields?, web.client().await?);
        let asked = Asked::take(Params::checked("body", pairs)?, client.clock().now_ms())?;
        let SeenPreview {
            preview, left_out, ..
        } = asked.seen(&client).await?;
        // A job that leaves the choice after the preview above counts as unchanged in the report.
        let report = client.bulk(preview).await?;
        Ok::<_, Problem>(asked.done_page(frame.clone(), &report, left_out))
    };
    match page.await {
        Ok(page) => Ok(render(&page)),
        Err(problem) => Err(Refusal::new(&frame, problem)),
    }
}

/// The jobs of a preview.
struct SeenPreview {
    preview: BulkPreview,
    /// The ones of those that were selected; absent where all are meant.
    ids: Option<Vec<JobId>>,
    /// The others that were selected.
    left_out: Vec<LeftOut>,
}

impl Asked {
    fn take(mut params: Params, now_ms: i64) -> Result<Self, Problem> {
        let action = params.read("action", |given| {
            let known = BulkAction::ALL.into_iter().find(|action| action.name() == given);
            known.ok_or("no change of jobs; give cancel, resume or delete")
        })?;
        let as_of_ms = params.read("as_of", |given| {
            let moment = given.parse();
            moment.map_err(|_| "no moment in milliseconds; take the button of the preview")
        })?;
        let of = params.take("of")?.unwrap_or_default();
        let ids: Vec<JobId> = params.take_all("id").into_iter().map(JobId::new).collect();
        let choice = Choice::take(&mut params)?;
        params.end("action, of, id, as_of and the conditions of a list")?;
        let wrong = |field: &str, message: &str| Problem::of_part(field, message, None);
        let action =
            action.ok_or_else(|| wrong("action", "no change is named; take a button of the list"))?;
        let ids = match (&*of, ids.is_empty()) {
            ("selected", true) => return Err(wrong("id", "no job is selected; mark some in the list")),
            ("selected", false) => Some(ids),
            ("all", true) if choice.means_all() => {
                let message =
                    "no condition is set, so that every job would be meant; choose a state or another one";
                return Err(wrong("of", message));
            }
            ("all", true) => None,
            _ => return Err(wrong("of", "the jobs are not named; take a button of the list")),
        };
        Ok(Self {
            action,
            choice,
            ids,
            as_of_ms: as_of_ms.unwrap_or(now_ms),
        })
    }

    /// Means the jobs that were there when the preview was shown.
    fn filter(&self) -> Result<JobFilter, Problem> {
        // Ages are seen from the preview as well, so that both requests mean the same jobs.
        let filter = self.choice.filter(self.as_of_ms)?;
        // The earlier of both, or a date in the future would let in later jobs than those of the preview.
        let until = filter.until_ms.unwrap_or(i64::MAX);
        Ok(JobFilter {
            // No ids means every job, which `take` lets through only with `of=all`.
            ids: self.ids.clone().unwrap_or_default(),
            until_ms: Some(until.min(self.as_of_ms)),
            ..filter
        })
    }

    async fn seen(&self, client: &Client) -> Result<SeenPreview, Problem> {
        let filter = self.filter()?;
        let preview = client.bulk_preview(filter.clone(), self.action).await?;
        let Some(ids) = &self.ids else {
            return Ok(SeenPreview {
                preview,
                ids: None,
                left_out: Vec::new(),
            });
        };
        let named = JobFilter {
            ids: ids.clone(),
            ..JobFilter::default()
        };
        // The first finds also those that meet the conditions no more: their states are named.
        let (there, matching) = (client.list(&named).await?, client.list(&filter).await?);
        let is_meant = |id: &&JobId| {
            let job = matching.iter().find(|job| job.workflow_id == **id);
            job.is_some_and(|job| self.action.states().contains(&job.state))
        };
        let (meant, others): (Vec<&JobId>, Vec<&JobId>) = ids.iter().partition(is_meant);
        let state = |id: &JobId| {
            there
                .iter()
                .find(|job| job.workflow_id == *id)
                .map(|job| job.state)
        };
        Ok(SeenPreview {
            preview,
            ids: Some(meant.into_iter().cloned().collect()),
            left_out: others.into_iter().map(|id| LeftOut::of(id, state(id))).collect(),
        })
    }

    fn preview_page(&self, frame: Frame, seen: SeenPreview) -> PreviewPage {
        let (count, now) = (seen.preview.count, now_ms());
        let (verb, jobs) = (verb(self.action), counted(count, "job"));
        let shown = seen.preview.first.len() as u64;
        PreviewPage {
            frame,
            heading: match count {
                0 => format!("There is no job to {}", self.action.name()),
                _ => format!("{verb} {jobs}?"),
            },
            conditions: self.choice.fields().iter().map(choice::words).collect(),
            is_selection: self.ids.is_some(),
            effect: effect(self.action),
            fields: self.fields(seen.ids.unwrap_or_default()),
            jobs: seen
                .preview
                .first
                .iter()
                .map(|job| JobRow::of(job, now))
                .collect(),
            more: some(count.saturating_sub(shown)),
            left_out: seen.left_out,
            button: (count > 0).then(|| format!("{verb} {jobs}")),
            is_danger: !matches!(self.action, BulkAction::Resume(_)),
            back: self.choice.path("/jobs", &[]),
        }
    }

    /// The fields of the button that makes the change.
    fn fields(&self, ids: Vec<JobId>) -> Vec<Field> {
        let of = if self.ids.is_some() { "selected" } else { "all" };
        let mut fields = vec![
            ("action", self.action.name().to_owned()),
            ("of", of.to_owned()),
            ("as_of", self.as_of_ms.to_string()),
        ];
        fields.extend_from_slice(self.choice.fields());
        fields.extend(ids.into_iter().map(|id| ("id", id.to_string())));
        fields
    }

    fn done_page(&self, frame: Frame, report: &BulkReport, mut left_out: Vec<LeftOut>) -> DonePage {
        let unchanged = report.count.saturating_sub(report.changed);
        let done = self.action.done();
        let heading = match (report.changed, unchanged + left_out.len() as u64) {
            (0, _) => format!("No job was {done}"),
            (1, 0) => format!("1 job was {done}"),
            (changed, 0) => format!("{} were {done}", counted(changed, "job")),
            (changed, others) => format!(
                "{} of {} {} {done}",
                grouped(changed),
                counted(changed + others, "job"),
                if changed == 1 { "was" } else { "were" }
            ),
        };
        let named = report.refused.len() as u64;
        let refused = report.refused.iter();
        left_out.extend(refused.map(|(id, state)| LeftOut::of(id, *state)));
        DonePage {
            frame,
            heading,
            left_out,
            more: some(unchanged.saturating_sub(named)),
            back: self.choice.path("/jobs", &[]),
        }
    }
}

impl LeftOut {
    fn of(id: &JobId, state: Option<JobState>) -> Self {
        let state_name = state.map_or("gone", JobState::name);
        Self {
            id: shown(id.as_str()),
            href: state.map(|_| job_path(id.as_str())),
            state: state_name,
            class: class_of(state_name),
        }
    }
}

/// Tests whether any of the states of a choice allows a change.
fn is_possible(action: BulkAction, choice: &Choice) -> bool {
    let states = choice.fields().iter().filter(|(name, _)| *name == "state");
    let is_allowed = |(_, given): &Field| action.states().iter().any(|state| state.name() == given);
    // Of several states one is enough: jobs of the others are left out of the change.
    choice.value("state").is_none() || states.into_iter().any(is_allowed)
}

fn some(count: u64) -> Option<String> {
    (count > 0).then(|| grouped(count))
}

fn verb(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Cancel => "Cancel",
        BulkAction::Resume(_) => "Resume",
        BulkAction::Delete => "Delete",
    }
}

/// Says what happens to each job.
fn effect(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Cancel => {
            "Those that wait are not started, and what computes stops within half a second. Recorded steps are kept, so that each can be resumed."
        }
        BulkAction::Resume(_) => "Each waits in its queue again and goes on after its recorded steps.",
        BulkAction::Delete => "Each is deleted with its steps and its value. Nothing brings it back.",
    }
}
