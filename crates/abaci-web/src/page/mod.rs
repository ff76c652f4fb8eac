//! The page: views that are rendered here and work without scripts.
//!
//! Every text that comes from a job is escaped by the template and shows its hidden characters by their numbers. A button is
//! a form, which leads back to what it changed. The script writes states and progress at once, and
//! fetches a view again after a change.
//!
//! # Layout
//!
//! | module | what it does |
//! |---|---|
//! | `overview`, `list`, `job`, `workers`, `queues` | the views |
//! | `bulk` | changes of many jobs, each after a preview |
//! | `choice` | the conditions of a list, in its address |
//! | `submit` | the form of new jobs |
//! | `given` | its fields, read and refused |
//! | `estimate` | the cost of jobs in words |
//! | `change` | the buttons |
//! | `login` | sessions |
//! | `timeline` | what happened to a job, drawn |
//! | `chart` | the jobs that ended, drawn |
//! | `health` | one sentence that says how things are |
//! | `rows` | jobs as rows, workers as cards |
//! | `refusal` | refusals and failures as pages |
//! | `frame` | what is around every view |
//! | `form` | the fields of a form |
//! | `words` | numbers, times and reasons as people read them |
//! | `assets` | style and script |

mod assets;
mod bulk;
mod change;
mod chart;
mod choice;
mod estimate;
mod form;
mod frame;
mod given;
mod health;
mod job;
mod list;
mod login;
mod overview;
mod queues;
mod refusal;
mod rows;
mod submit;
#[cfg(test)]
mod tests;
mod timeline;
mod words;
mod workers;

pub(crate) use refusal::refusals;

use axum::Router;
use axum::routing::{get, post};

use crate::state::Shared;

/// Returns the views, which only read, and sessions.
pub(crate) fn reading() -> Router<Shared> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/jobs", get(list::jobs))
        .route("/jobs/{id}", get(job::job))
        .route("/workers", get(workers::workers))
        .route("/queues", get(queues::queues))
        .route("/login", get(login::login).post(login::take_token))
        .route("/logout", post(login::logout))
        .route("/static/{name}", get(assets::asset))
}

/// Returns the form that kills a worker, for demonstrations.
pub(crate) fn demonstrating() -> Router<Shared> {
    Router::new().route("/workers/kill", post(change::kill))
}

/// Returns the forms, which change something.
pub(crate) fn changing() -> Router<Shared> {
    Router::new()
        .route("/submit", get(submit::form).post(submit::submit))
        .route("/bulk", get(bulk::preview).post(bulk::change))
        .route("/jobs/{id}/cancel", post(change::cancel))
        .route("/jobs/{id}/resume", post(change::resume))
        .route("/jobs/{id}/fork", post(change::fork))
        .route("/jobs/{id}/verify", post(change::verify))
        .route("/queues/{name}/pause", post(change::pause))
        .route("/queues/{name}/resume", post(change::unpause))
        .route("/queues/{name}/limit", post(change::limit))
}
