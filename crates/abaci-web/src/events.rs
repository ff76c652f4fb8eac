//! The changes of jobs as Server-Sent Events.
//!
//! The id of an event is a moment in the history of the database; a listener that comes back with it, to whichever server,
//! is told what it missed.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use durable_jobs::JobId;
use durable_jobs::client::Moment;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use crate::feed::{Message, Seat, Told};
use crate::place::{JobPath, Params};
use crate::problem::{Kind, Problem};
use crate::state::{Shared, Web};
use crate::views::{JobDetailView, ProgressView};
use crate::watched::Watch;

/// A comment is sent after so long without an event.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The header in which a listener that comes back names the last event that it had.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The reason of the end where there is nothing left to listen to.
const DELETED: &str = "the job was deleted";

/// The reason of the end where a change could not be read.
const UNREAD: &str = "the database does not answer; come back with the last id";

/// Where a listener begins.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// The id of the last event that is known; the header `Last-Event-ID` says the same and goes before.
    after: Option<String>,
}

impl Since {
    fn read(mut params: Params) -> Result<Self, Problem> {
        let after = params.take("after")?;
        params.end("after")?;
        Ok(Self { after })
    }
}

/// The reason why a stream ends.
#[derive(Serialize)]
struct EndJson {
    reason: &'static str,
}

/// Tells what changes of all jobs and workers: events `changes`, `outage` and `end`.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(Since),
    responses(
        (status = 200, description = "The changes, as they come", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A refusal or a failure", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn all_events(
    State(web): State<Shared>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let since = Since::read(params)?;
    let seat = join(&web, &since, &headers).await?;
    Ok(streamed(Listener::new(seat, Topic::All)))
}

/// Tells what becomes of a job: events `state`, `progress`, at last `result`, and then `end`. A listener that comes back
/// after the last one is answered 204, which tells a browser not to come again.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/events",
    tag = "events",
    params(("id" = String, Path, description = "The id of the job"), Since),
    responses(
        (status = 200, description = "The changes, as they come", body = String, content_type = "text/event-stream"),
        (status = 204, description = "All was told"),
        (status = 404, description = "There is no such job", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "A refusal or a failure", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn job_events(
    State(web): State<Shared>,
    JobPath(id): JobPath,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let since = Since::read(params)?;
    // Both are taken before the job is read, so that nothing falls between.
    let watch = web.feed.watch(id.clone());
    let seat = join(&web, &since, &headers).await?;
    let detail = web.detail(&id).await?;
    let comes_back = last_event(&since, &headers)?.is_some();
    let was_told = comes_back && !seat.missed.iter().any(|told| told.is_cut || told.has(&id));
    if was_told && detail.job.is_final() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut listener = Listener::new(seat, Topic::Job(web, watch));
    if !was_told {
        // What was missed is told by what is, up to the same moment.
        let last = listener.seat.missed.drain(..).next_back();
        listener.say_state(&detail);
        if let Some(told) = last {
            listener.mark(&told.moment.to_string());
        }
    }
    Ok(streamed(listener))
}

async fn join(web: &Web, since: &Since, headers: &HeaderMap) -> Result<Seat, Problem> {
    let seat = web.feed.join(last_event(since, headers)?).await;
    seat.ok_or_else(|| Problem::new(Kind::Unavailable, "the server is ending"))
}

fn last_event(since: &Since, headers: &HeaderMap) -> Result<Option<Moment>, Problem> {
    let given = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    let given = given.or(since.after.as_deref()).filter(|id| !id.is_empty());
    let refused = |_| {
        let message = "not the id of an event; give one that an event had, or none";
        Problem::of_part("Last-Event-ID", message, given.map(Into::into))
    };
    given.map(|id| id.parse().map_err(refused)).transpose()
}

fn streamed(listener: Listener) -> Response {
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events).keep_alive(keep_alive).into_response()
}

/// The jobs that a listener wants to hear of.
enum Topic {
    All,
    Job(Shared, Watch),
}

/// Somebody who listens.
struct Listener {
    seat: Seat,
    topic: Topic,
    /// The events that are to be said next.
    next: VecDeque<Event>,
    /// The last state and progress that were said of the one job.
    said: (String, Option<ProgressView>),
    /// When the last id was said.
    marked: Instant,
    is_over: bool,
}

impl Listener {
    fn new(seat: Seat, topic: Topic) -> Self {
        Self {
            seat,
            topic,
            next: VecDeque::new(),
            said: (String::new(), None),
            marked: Instant::now(),
            is_over: false,
        }
    }

    /// Waits for the next event; none after the last.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if let Some(told) = self.seat.missed.pop_front() {
                self.hear(&told).await;
                continue;
            }
            match self.seat.messages.recv().await {
                Ok(Message::Changes(told)) => self.hear(&told).await,
                Ok(Message::Gone(ids)) => self.hear_of_gone(&ids),
                Ok(Message::Outage(since_ms)) => self.next.push_back(outage(since_ms)),
                Err(RecvError::Lagged(_)) => {
                    self.end("too slow: read faster, and come back with the last id");
                }
                Err(RecvError::Closed) => self.end("the server is ending"),
            }
        }
    }

    async fn hear(&mut self, told: &Told) {
        let id = told.moment.to_string();
        match &self.topic {
            Topic::All => {
                let event = Event::default().id(id);
                self.next.push_back(match &told.json {
                    Some(json) => event.event("changes").data(json),
                    None => event,
                });
            }
            Topic::Job(web, watch) => {
                let (web, job) = (Arc::clone(web), watch.id().clone());
                if told.is_cut || told.has(&job) {
                    match web.detail(&job).await {
                        Ok(detail) => self.say_state(&detail),
                        Err(problem) if problem.status() == StatusCode::NOT_FOUND => self.end(DELETED),
                        // Without the moment, so that whoever comes back hears of this change.
                        Err(_) => return self.end(UNREAD),
                    }
                } else if let Some(progress) =
                    told.progress.iter().find(|progress| progress.id == job.as_str())
                {
                    self.say_progress(progress);
                }
                self.mark(&id);
            }
        }
    }

    /// Gives the last event that is to be said the id, so that whoever had it missed nothing; without one a listener is told
    /// the id alone from time to time.
    fn mark(&mut self, id: &str) {
        match self.next.pop_back() {
            Some(event) => self.next.push_back(event.id(id)),
            None if self.marked.elapsed() >= KEEP_ALIVE => self.next.push_back(Event::default().id(id)),
            None => return,
        }
        self.marked = Instant::now();
    }

    fn hear_of_gone(&mut self, ids: &HashSet<JobId>) {
        if let Topic::Job(_, watch) = &self.topic
            && ids.contains(watch.id())
        {
            self.end(DELETED);
        }
    }

    /// Says how the job stands, and ends after its last state.
    fn say_state(&mut self, detail: &JobDetailView) {
        let name = if detail.job.is_final() { "result" } else { "state" };
        let json = serde_json::to_string(detail).unwrap_or_default();
        if json != self.said.0 {
            self.next.push_back(Event::default().event(name).data(&json));
            self.said.0 = json;
        }
        if detail.job.is_final() {
            self.end("the job has ended");
        }
    }

    fn say_progress(&mut self, progress: &ProgressView) {
        let still = ProgressView {
            seconds: 0.0,
            ..progress.clone()
        };
        if self.said.1.as_ref() != Some(&still) {
            let json = serde_json::to_string(progress).unwrap_or_default();
            self.next.push_back(Event::default().event("progress").data(json));
            self.said.1 = Some(still);
        }
    }

    fn end(&mut self, reason: &'static str) {
        let json = serde_json::to_string(&EndJson { reason }).unwrap_or_default();
        self.next.push_back(Event::default().event("end").data(json));
        self.is_over = true;
    }
}

fn outage(since_ms: u64) -> Event {
    Event::default()
        .event("outage")
        .data(format!("{{\"since_ms\":{since_ms}}}"))
}
