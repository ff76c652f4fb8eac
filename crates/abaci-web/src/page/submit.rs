//! The form of new jobs, with what they would cost.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use durable_jobs::client::{NewJob, SubmitOptions};
use durable_jobs::record::Batch;
use durable_jobs::{Error, JobId};
use fibonacci_jobs::record::Algorithm;

use super::estimate::estimate;
use super::form::FormFields;
use super::frame::{Frame, go, render};
use super::given::{Errors, Given, ReadJobs};
use super::refusal::{Refusal, View};
use super::rows::job_path;
use crate::problem::Problem;
use crate::state::{Shared, Web};
use crate::views::segment;

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
    fields: Result<FormFields<Given>, Problem>,
) -> View {
    let frame = frame.at("Submit");
    let FormFields(given) = fields.map_err(|problem| Refusal::new(&frame, problem))?;
    let read = match given.read(web.limits) {
        Ok(read) => read,
        Err(errors) => return Ok(page(frame, given, *errors, Vec::new())),
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
            // Under the old key, which names jobs that are there, a changed form would be refused again.
            let key = JobId::fresh().to_string();
            Ok(page(frame, Given { key, ..given }, errors, Vec::new()))
        }
        Err(problem) => Err(Refusal::new(&frame, problem)),
    }
}

fn page(frame: Frame, given: Given, errors: Errors, estimate: Vec<String>) -> Response {
    let is_refused = errors != Errors::default();
    let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm.about()));
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
async fn queue(web: &Web, read: &ReadJobs, key: &str) -> Result<String, Problem> {
    let client = web.client().await?;
    let options = SubmitOptions {
        delay: read.delay,
        ..SubmitOptions::default()
    };
    if let [entry] = read.entries.as_slice() {
        let id = match &entry.id {
            Some(id) => id.clone(),
            // A key that somebody changed to no id protects from no second click, and does no other harm.
            None => key.parse().unwrap_or_else(|_| JobId::fresh()),
        };
        let path = job_path(id.as_str());
        let job = [read.job(entry, id)];
        client.submit_all(&job, options).await.map_err(taken)?;
        return Ok(path);
    }
    let batch: Batch = key.parse().unwrap_or_else(|_| Batch::fresh());
    let ids = batch.ids();
    let jobs = read.entries.iter().zip(ids).map(|(entry, id)| NewJob {
        batch: Some(batch.clone()),
        ..read.job(entry, entry.id.clone().unwrap_or(id))
    });
    let jobs: Vec<NewJob> = jobs.collect();
    client.submit_all(&jobs, options).await.map_err(taken)?;
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
