//! The changes of jobs as Server-Sent Events.
//!
//! The id of an event is a moment in the history of the database; a listener that comes back with it, to whichever server,
//! gets what it missed.

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

use crate::messages::{ChangeSet, JoinEvent, Message, NO_CHANGES, PendingSubscription, Subscription};
use crate::place::{JobPath, Params};
use crate::problem::{Kind, Problem};
use crate::state::{Shared, Web};
use crate::views::{JobDetailView, ProgressView};
use crate::watched::JobWatch;

/// A comment is sent after so long without an event.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The header in which a listener that comes back names the last event that it had.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The reason of the end where there is nothing left to listen to.
const DELETED: &str = "the job was deleted";

/// The reason where the server stops.
const ENDING: &str = "the server is ending";

/// The reason of the end where a change could not be read.
const UNREAD: &str = "the database does not answer; come back with the last id";

/// The parameter that says where a stream begins.
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

/// Sends what changes of all jobs and workers: events `changes`, `outage` and `end`.
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
    let pending = join(&web, last_event(&since, &headers)?).await?;
    // The stream begins before its subscription is there, or an outage would hold back even the headers.
    let stage = ListenerStage::Pending(pending);
    Ok(streamed(Listener::new(stage, Topic::All)))
}

/// Sends what becomes of a job: events `state`, `progress` and `outage`, at last `result`, and then `end`. A listener that
/// comes back after the last one is answered 204, which tells a browser not to come again.
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
    let last = last_event(&since, &headers)?;
    let comes_back = last.is_some();
    let mut subscription = match join(&web, last).await?.next().await {
        JoinEvent::Admitted(subscription) => subscription,
        JoinEvent::Outage(_) => return Err(Problem::unanswered()),
        JoinEvent::End => return Err(ending()),
    };
    let detail = web.detail(&id).await?;
    // A set that is cut names no jobs, so this one may have changed, too.
    let was_told = comes_back && !subscription.missed.iter().any(|set| set.is_cut || set.has(&id));
    if was_told && detail.job.state.is_final() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // The state of now tells all that was missed, up to the same moment.
    let last = if was_told {
        None
    } else {
        subscription.missed.drain(..).next_back()
    };
    let mut listener = Listener::new(ListenerStage::Subscribed(subscription), Topic::Job(web, watch));
    if !was_told {
        // The state before the moment: the id goes to the last event that is waiting.
        listener.push_state(&detail);
        if let Some(set) = last {
            listener.mark(&set.moment.to_string());
        }
    }
    Ok(streamed(listener))
}

async fn join(web: &Web, last: Option<Moment>) -> Result<PendingSubscription, Problem> {
    web.feed.join(last).await.ok_or_else(ending)
}

fn ending() -> Problem {
    Problem::new(Kind::Unavailable, ENDING)
}

fn last_event(since: &Since, headers: &HeaderMap) -> Result<Option<Moment>, Problem> {
    let given = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    // A browser that has heard nothing may send an empty id.
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

/// The subject of a stream.
enum Topic {
    All,
    Job(Shared, JobWatch),
}

/// The stage of a listener.
enum ListenerStage {
    Pending(PendingSubscription),
    Subscribed(Subscription),
}

/// One open stream of events.
struct Listener {
    stage: ListenerStage,
    topic: Topic,
    /// The events to be sent next.
    next: VecDeque<Event>,
    /// The last state and progress that were sent of the one job.
    last: (String, Option<ProgressView>),
    /// When the last id was sent.
    marked: Instant,
    /// True from an outage to the next change that is sent.
    is_out: bool,
    is_over: bool,
}

impl Listener {
    fn new(stage: ListenerStage, topic: Topic) -> Self {
        Self {
            stage,
            topic,
            next: VecDeque::new(),
            last: (String::new(), None),
            marked: Instant::now(),
            is_out: false,
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
            match &mut self.stage {
                ListenerStage::Pending(pending) => match pending.next().await {
                    JoinEvent::Admitted(subscription) => self.stage = ListenerStage::Subscribed(subscription),
                    JoinEvent::Outage(since_ms) => self.push_outage(since_ms),
                    JoinEvent::End => self.end(ENDING),
                },
                ListenerStage::Subscribed(subscription) => match next_of(subscription).await {
                    Ok(Message::Changes(set)) => self.handle(&set).await,
                    Ok(Message::Deleted(ids)) => self.handle_deleted(&ids),
                    Ok(Message::Outage(since_ms)) => self.push_outage(since_ms),
                    // Messages were dropped: only a question after the last id closes the gap.
                    Err(RecvError::Lagged(_)) => {
                        self.end("too slow: read faster, and come back with the last id");
                    }
                    Err(RecvError::Closed) => self.end(ENDING),
                },
            }
        }
    }

    fn push_outage(&mut self, since_ms: i64) {
        let data = format!("{{\"since_ms\":{since_ms}}}");
        self.next.push_back(Event::default().event("outage").data(data));
        self.is_out = true;
    }

    async fn handle(&mut self, set: &ChangeSet) {
        let id = set.moment.to_string();
        let was_out = std::mem::take(&mut self.is_out);
        match &self.topic {
            Topic::All => {
                let event = Event::default().id(id);
                // A browser dispatches no event without data, so a change without jobs takes an outage back.
                let json = set.json.as_deref().or(was_out.then_some(NO_CHANGES));
                self.next.push_back(match json {
                    Some(json) => event.event("changes").data(json),
                    None => event,
                });
            }
            Topic::Job(web, watch) => {
                // Cloned, since the pushes below need the whole listener.
                let (web, job) = (Arc::clone(web), watch.id().clone());
                if was_out {
                    // The state is sent though it may be the same: it takes the outage back.
                    self.last.0.clear();
                }
                if was_out || set.is_cut || set.has(&job) {
                    // Boxed, or each open stream would have room for all that a reading of a job needs.
                    let read = watch.read(&set.moment, Box::pin(web.detail(&job))).await;
                    match read {
                        Ok(detail) => self.push_state(&detail),
                        Err(problem) if problem.status() == StatusCode::NOT_FOUND => self.end(DELETED),
                        // Without the moment, so that whoever comes back hears of this change.
                        Err(_) => return self.end(UNREAD),
                    }
                } else if let Some(progress) =
                    set.progress.iter().find(|progress| progress.id == job.as_str())
                {
                    self.push_progress(progress);
                }
                self.mark(&id);
            }
        }
    }

    /// Gives the id to the last event that is to be sent, so that whoever had it missed nothing; without one a listener gets
    /// the id alone from time to time.
    fn mark(&mut self, id: &str) {
        match self.next.pop_back() {
            Some(event) => self.next.push_back(event.id(id)),
            None if self.marked.elapsed() >= KEEP_ALIVE => self.next.push_back(Event::default().id(id)),
            None => return,
        }
        self.marked = Instant::now();
    }

    fn handle_deleted(&mut self, ids: &HashSet<JobId>) {
        if let Topic::Job(_, watch) = &self.topic
            && ids.contains(watch.id())
        {
            self.end(DELETED);
        }
    }

    /// Pushes the state of the job, and ends after its last one.
    fn push_state(&mut self, detail: &JobDetailView) {
        let name = if detail.job.state.is_final() {
            "result"
        } else {
            "state"
        };
        let json = serde_json::to_string(detail).unwrap_or_default();
        if json != self.last.0 {
            self.next.push_back(Event::default().event(name).data(&json));
            self.last.0 = json;
        }
        if detail.job.state.is_final() {
            self.end("the job has ended");
        }
    }

    fn push_progress(&mut self, progress: &ProgressView) {
        // The seconds grow with each beat, and alone they are no news.
        let still = ProgressView {
            seconds: 0.0,
            ..progress.clone()
        };
        if self.last.1.as_ref() != Some(&still) {
            let json = serde_json::to_string(progress).unwrap_or_default();
            self.next.push_back(Event::default().event("progress").data(json));
            self.last.1 = Some(still);
        }
    }

    fn end(&mut self, reason: &'static str) {
        let json = serde_json::to_string(&EndJson { reason }).unwrap_or_default();
        self.next.push_back(Event::default().event("end").data(json));
        self.is_over = true;
    }
}

/// Waits for the next message, of those that were missed first.
async fn next_of(subscription: &mut Subscription) -> Result<Message, RecvError> {
    match subscription.missed.pop_front() {
        Some(set) => Ok(Message::Changes(set)),
        None => subscription.messages.recv().await,
    }
}
