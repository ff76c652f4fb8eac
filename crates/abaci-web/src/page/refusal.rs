//! Refusals and failures as pages, for browsers that show one.

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::frame::{Frame, render};
use crate::guard::{Rights, is_for_people};
use crate::problem::{Problem, RETRY_AFTER, is_worth_another_try};
use crate::state::Shared;

/// The answer of a view.
pub(super) type View = Result<Response, Refusal>;

/// A refusal or a failure as a page.
#[derive(Debug)]
pub(super) struct Refusal {
    frame: Box<Frame>,
    problem: Problem,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    title: String,
    detail: String,
    /// True if the database may answer soon.
    is_passing: bool,
    /// True if a session lets it through.
    is_for_login: bool,
}

impl RefusalPage {
    fn of(frame: Frame, problem: Problem) -> Self {
        let status = problem.status();
        Self {
            frame,
            title: problem.title,
            detail: problem.detail,
            is_passing: is_worth_another_try(status),
            is_for_login: status == StatusCode::UNAUTHORIZED,
        }
    }
}

impl Refusal {
    pub(super) fn new(frame: &Frame, problem: impl Into<Problem>) -> Self {
        Self {
            frame: Box::new(frame.clone()),
            problem: problem.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.problem.status();
        let mut response = render(&RefusalPage::of(*self.frame, self.problem));
        *response.status_mut() = status;
        if is_worth_another_try(status) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

/// Shows browsers as a page what was refused outside of the views.
pub(crate) async fn refusals(State(web): State<Shared>, request: Request, next: Next) -> Response {
    let (is_for_people, method) = (is_for_people(&request), request.method().clone());
    let mut response = next.run(request).await;
    // A view that fails is a page already, and leaves no problem behind.
    let problem = response.extensions_mut().remove::<Problem>();
    let Some(problem) = problem.filter(|_| is_for_people) else {
        return response;
    };
    // One who was not let in has none, and learns nothing.
    let rights = response.extensions().get::<Rights>().copied();
    let mut frame = Frame::new(&web.access, rights.unwrap_or(Rights::LogIn), &web.database);
    frame.is_address = method == Method::GET;
    let page = RefusalPage::of(frame, problem).render();
    let (mut parts, body) = response.into_parts();
    // Where no page can be written, the JSON still says what is wrong.
    let Ok(text) = page else {
        return Response::from_parts(parts, body);
    };
    // A length that is set is that of the JSON; other headers, such as Retry-After, hold for the page, too.
    parts.headers.remove(header::CONTENT_LENGTH);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, html);
    Response::from_parts(parts, Body::from(text))
}
