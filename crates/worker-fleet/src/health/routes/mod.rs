//! The paths and their answers.

pub(crate) mod document;
pub(crate) mod metrics;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use durable_jobs::record::visible_json;
use serde::Serialize;

use document::{Answerer, Document};

use super::application::Application;
use super::current_view::CurrentView;
use super::probe::DatabaseProbe;
use super::sample::SnapshotSource;
use super::verdict::{HealthStatus, HealthVerdict};

/// The sources of the answers.
pub(crate) struct Endpoints {
    pub(crate) application: Application,
    pub(crate) source: Box<dyn SnapshotSource>,
    pub(crate) probe: DatabaseProbe,
}

impl Endpoints {
    fn view(&self) -> CurrentView {
        CurrentView::new(self.source.sample())
    }
}

/// The answer of `/livez` and `/readyz`.
#[derive(Serialize)]
struct ReadinessAnswer {
    status: &'static str,
    reasons: Vec<String>,
}

/// The answer to what is not there.
#[derive(Serialize)]
struct RefusedRequest {
    error: &'static str,
}

pub(crate) fn router(endpoints: Arc<Endpoints>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(wrong_path)
        .with_state(endpoints)
}

async fn livez(State(endpoints): State<Arc<Endpoints>>) -> Response {
    let reasons = endpoints.view().silence.into_iter().collect();
    yes_or_no(["alive", "not alive"], reasons)
}

async fn readyz(State(endpoints): State<Arc<Endpoints>>) -> Response {
    let probed = endpoints.probe.fresh().await;
    // The view is taken after the wait, so that its ages are those of now.
    let verdict = HealthVerdict::of(&endpoints.view(), &probed);
    yes_or_no(["ready", "not ready"], verdict.obstacles)
}

async fn health(State(endpoints): State<Arc<Endpoints>>) -> Response {
    // A fresh answer takes a second where the database hangs; here what is known is enough.
    let probed = endpoints.probe.recent().await;
    let view = endpoints.view();
    let verdict = HealthVerdict::of(&view, &probed);
    let code = match verdict.status {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Draining | HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(
        code,
        &Document::new(&view, &probed, &verdict, &answerer(endpoints.application)),
    )
}

async fn metrics(State(endpoints): State<Arc<Endpoints>>) -> Response {
    let probed = endpoints.probe.recent().await;
    let view = endpoints.view();
    let verdict = HealthVerdict::of(&view, &probed);
    let page = metrics::page(endpoints.application, &view, &probed, &verdict);
    text(StatusCode::OK, metrics::CONTENT_TYPE, page)
}

async fn wrong_path() -> Response {
    let error = "there is nothing here; try /livez, /readyz, /health or /metrics";
    json(StatusCode::NOT_FOUND, &RefusedRequest { error })
}

async fn wrong_method() -> Response {
    let error = "only GET and HEAD are answered";
    let allow = [(header::ALLOW, "GET, HEAD")];
    (
        allow,
        json(StatusCode::METHOD_NOT_ALLOWED, &RefusedRequest { error }),
    )
        .into_response()
}

/// Answers yes, or no with the reasons.
fn yes_or_no([yes, no]: [&'static str; 2], reasons: Vec<String>) -> Response {
    let (code, status) = match reasons.as_slice() {
        [] => (StatusCode::OK, yes),
        _ => (StatusCode::SERVICE_UNAVAILABLE, no),
    };
    json(code, &ReadinessAnswer { status, reasons })
}

fn answerer(application: Application) -> Answerer {
    Answerer {
        version: application.version,
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
