//! The paths and their answers.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::Source;
use super::document::{Answerer, Document};
use super::metrics;
use super::questions::Questions;
use super::seen::Seen;
use super::verdict::{Status, Verdict};
use crate::output::visible_json;

/// What the answers are made of.
pub(super) struct Known {
    pub(super) source: Box<dyn Source>,
    pub(super) questions: Questions,
}

impl Known {
    fn seen(&self) -> Seen {
        Seen::new(self.source.look())
    }
}

/// The answer of `/livez` and `/readyz`.
#[derive(Serialize)]
struct Word {
    status: &'static str,
    reasons: Vec<String>,
}

/// The answer to what is not there.
#[derive(Serialize)]
struct Refusal {
    error: &'static str,
}

pub(super) fn router(known: Arc<Known>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(wrong_path)
        .with_state(known)
}

async fn livez(State(known): State<Arc<Known>>) -> Response {
    let reasons = known.seen().silence.into_iter().collect();
    word(["alive", "not alive"], reasons)
}

async fn readyz(State(known): State<Arc<Known>>) -> Response {
    let asked = known.questions.fresh().await;
    let verdict = Verdict::of(&known.seen(), &asked);
    word(["ready", "not ready"], verdict.obstacles)
}

async fn health(State(known): State<Arc<Known>>) -> Response {
    let asked = known.questions.recent().await;
    let seen = known.seen();
    let verdict = Verdict::of(&seen, &asked);
    let code = match verdict.status {
        Status::Healthy | Status::Degraded => StatusCode::OK,
        Status::Draining | Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, &Document::new(&seen, &asked, &verdict, &answerer()))
}

async fn metrics(State(known): State<Arc<Known>>) -> Response {
    let asked = known.questions.recent().await;
    let seen = known.seen();
    let verdict = Verdict::of(&seen, &asked);
    let page = metrics::page(&seen, &asked, &verdict);
    text(StatusCode::OK, metrics::CONTENT_TYPE, page)
}

async fn wrong_path() -> Response {
    let error = "there is nothing here; try /livez, /readyz, /health or /metrics";
    json(StatusCode::NOT_FOUND, &Refusal { error })
}

async fn wrong_method() -> Response {
    let error = "only GET and HEAD are answered";
    let allow = [(header::ALLOW, "GET, HEAD")];
    (allow, json(StatusCode::METHOD_NOT_ALLOWED, &Refusal { error })).into_response()
}

/// Says yes, or no with the reasons.
fn word([yes, no]: [&'static str; 2], reasons: Vec<String>) -> Response {
    let (code, status) = match reasons.as_slice() {
        [] => (StatusCode::OK, yes),
        _ => (StatusCode::SERVICE_UNAVAILABLE, no),
    };
    json(code, &Word { status, reasons })
}

fn answerer() -> Answerer {
    Answerer {
        since_1970: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
        pid: std::process::id(),
        ppid: rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()),
    }
}

fn json(code: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).expect("every key is a string and no number is infinite");
    let line = format!("{}\n", visible_json(&body));
    text(code, "application/json", line)
}

fn text(code: StatusCode, content_type: &'static str, body: String) -> Response {
    let headers: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (code, headers, body).into_response()
}
